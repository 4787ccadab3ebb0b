// Command benchtable turns the output of go test -bench into tables of ratios.
//
// The last element of a benchmark's name is who did the work ("fast", "linux"),
// what stands before it the work. Each work is a row, each worker a column, and
// beside a worker stands how many times Linux's time it took in the same run.
// A benchmark that ran several times (-count) counts with its best time.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// peer is the worker that others are held against.
const peer = "linux"

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	tables, err := read(in, out)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.write(out); err != nil {
			return err
		}
	}
	return nil
}

// table is one benchmark function.
type table struct {
	name, unit string
	works      []string // in the order of their first appearance, as are the workers
	workers    []string
	best       map[[2]string]float64 // by work and worker
}

// read gathers the tables. What is neither a result nor go test's frame, such as
// a failure, is passed on.
func read(in io.Reader, out io.Writer) ([]*table, error) {
	var tables []*table
	lines := bufio.NewScanner(in)
	failed, on := false, ""
	for lines.Scan() {
		line := lines.Text()
		fields := strings.Fields(line)
		if len(fields) >= 4 && strings.HasPrefix(line, "Benchmark") {
			if err := add(&tables, fields); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			continue
		}
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL") {
			failed = true
		}
		if failed {
			fmt.Fprintln(out, line)
		}
		if cpu, ok := strings.CutPrefix(line, "cpu: "); ok && cpu != on {
			on = cpu
			fmt.Fprintln(out, "on", on)
		}
	}
	if failed {
		return nil, fmt.Errorf("a benchmark failed")
	}
	return tables, lines.Err()
}

// add adds a result: a name, a count, and pairs of a number and its unit. A unit
// of the benchmark's own comes before ns/op.
func add(tables *[]*table, fields []string) error {
	value, unit := fields[2], fields[3]
	for i := 2; i+1 < len(fields); i += 2 {
		if u := fields[i+1]; strings.HasPrefix(u, "ns/") && u != "ns/op" {
			value, unit = fields[i], u
		}
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of CPUs
		name = name[:i]
	}
	parts := strings.Split(name, "/")
	work, worker := strings.Join(parts[1:], "/"), ""
	if len(parts) > 1 {
		work, worker = strings.Join(parts[1:len(parts)-1], "/"), parts[len(parts)-1]
	}
	find(tables, parts[0], unit).set(work, worker, n)
	return nil
}

func find(tables *[]*table, name, unit string) *table {
	for _, t := range *tables {
		if t.name == name && t.unit == unit {
			return t
		}
	}
	t := &table{name: name, unit: unit, best: make(map[[2]string]float64)}
	*tables = append(*tables, t)
	return t
}

func (t *table) set(work, worker string, n float64) {
	if !slices.Contains(t.works, work) {
		t.works = append(t.works, work)
	}
	if !slices.Contains(t.workers, worker) {
		t.workers = append(t.workers, worker)
	}
	at := [2]string{work, worker}
	if old, ok := t.best[at]; !ok || n < old {
		t.best[at] = n
	}
}

func (t *table) write(out io.Writer) error {
	rows := [][]string{{t.name + ", " + t.unit}}
	for _, worker := range t.workers {
		rows[0] = append(rows[0], worker)
		if t.hasRatio(worker) {
			rows[0] = append(rows[0], "/"+peer)
		}
	}
	for _, work := range t.works {
		row := []string{work}
		for _, worker := range t.workers {
			row = append(row, t.time(work, worker))
			if t.hasRatio(worker) {
				row = append(row, t.ratio(work, worker))
			}
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	b.WriteByte('\n')
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			width := 0
			for _, r := range rows {
				width = max(width, len(r[i]))
			}
			if i == 0 {
				line += fmt.Sprintf("%-*s", width, cell)
			} else {
				line += fmt.Sprintf("  %*s", width, cell)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (t *table) hasRatio(worker string) bool {
	return worker != peer && slices.Contains(t.workers, peer)
}

// time is what a worker took, to three digits.
func (t *table) time(work, worker string) string {
	n, ok := t.best[[2]string{work, worker}]
	switch {
	case !ok:
		return ""
	case n < 1:
		return strconv.FormatFloat(n, 'f', 3, 64)
	case n < 10:
		return strconv.FormatFloat(n, 'f', 2, 64)
	case n < 100:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// ratio is a time in times of Linux's for the same work.
func (t *table) ratio(work, worker string) string {
	ours, ok := t.best[[2]string{work, worker}]
	theirs := t.best[[2]string{work, peer}]
	if !ok || theirs == 0 {
		return ""
	}
	return fmt.Sprintf("%.2fx", ours/theirs)
}
