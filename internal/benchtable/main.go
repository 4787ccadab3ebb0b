// Command benchtable turns the output of go test -bench into tables of ratios.
//
// Each work is a row, each worker a column, and beside a worker stands how many
// times a peer's time (Linux's, that of clang's code, a plain loader's) it took in the same run. A
// benchmark either names its workers in the units of what it reports
// ("fast-ns/run", "linux-ns/run"), or is one worker's, which the last element of
// its name is ("Lookup/fast", "Lookup/linux"). One that ran several times (-count)
// counts with its best time. Below a table stand the geometric means of its ratios,
// and below all tables what the benchmarks said, such as why a column is missing.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// peers are the workers that others are held against.
var peers = []string{"linux", "clang", "loader"}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	tables, notes, failed, err := read(in, out)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.write(out); err != nil {
			return err
		}
	}
	for _, note := range notes {
		if _, err := fmt.Fprintf(out, "\n%s\n", note); err != nil {
			return err
		}
	}
	if failed {
		return fmt.Errorf("a benchmark failed")
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

// logged is a line that a benchmark logged.
var logged = regexp.MustCompile(`^ +\w+_test\.go:\d+: (.*)`)

// read gathers the tables, and what the benchmarks said, once each. Failures are
// passed on.
func read(in io.Reader, out io.Writer) (tables []*table, notes []string, failed bool, err error) {
	lines := bufio.NewScanner(in)
	failing, on := false, ""
	for lines.Scan() {
		line := lines.Text()
		fields := strings.Fields(line)
		if len(fields) >= 4 && strings.HasPrefix(line, "Benchmark") {
			if err := add(&tables, fields); err != nil {
				return nil, nil, false, fmt.Errorf("%q: %w", line, err)
			}
			continue
		}
		m := logged.FindStringSubmatch(line)
		failing = failing && m != nil || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL")
		switch {
		case failing:
			failed = true
			fmt.Fprintln(out, line)
		case m != nil && !slices.Contains(notes, m[1]):
			notes = append(notes, m[1])
		}
		if cpu, ok := strings.CutPrefix(line, "cpu: "); ok && cpu != on {
			on = cpu
			fmt.Fprintln(out, "on", on)
		}
	}
	return tables, notes, failed, lines.Err()
}

// add adds a result: a name, a count, and pairs of a number and its unit.
func add(tables *[]*table, fields []string) error {
	name := strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of CPUs
		name = name[:i]
	}
	name, work, _ := strings.Cut(name, "/")
	var time, unit string // of the one worker
	shared := false
	for i := 2; i+1 < len(fields); i += 2 {
		worker, own, ok := strings.Cut(fields[i+1], "-")
		switch {
		case ok && (strings.HasPrefix(own, "ns/") || strings.HasPrefix(own, "bytes/")):
			if err := set(tables, name, own, work, worker, fields[i]); err != nil {
				return err
			}
			shared = true
		case !strings.HasPrefix(fields[i+1], "ns/"):
		case unit == "" || unit == "ns/op": // a unit of the benchmark's own says more
			time, unit = fields[i], fields[i+1]
		}
	}
	if shared || unit == "" {
		return nil
	}
	worker := ""
	if i := strings.LastIndexByte(work, '/'); i >= 0 {
		work, worker = work[:i], work[i+1:]
	} else if work != "" {
		work, worker = "", work
	}
	return set(tables, name, unit, work, worker, time)
}

// set notes what a worker took.
func set(tables *[]*table, name, unit, work, worker, time string) error {
	n, err := strconv.ParseFloat(time, 64)
	if err == nil {
		find(tables, name, unit).set(work, worker, n)
	}
	return err
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
	slices.SortStableFunc(t.workers, func(a, b string) int { // peers stand behind the others
		return slices.Index(peers, a) - slices.Index(peers, b)
	})
	rows := [][]string{{t.name + ", " + t.unit}}
	means := []string{"geometric mean"}
	for _, worker := range t.workers {
		rows[0], means = append(rows[0], worker), append(means, "")
		for _, peer := range t.heldAgainst(worker) {
			rows[0], means = append(rows[0], "/"+peer), append(means, t.mean(worker, peer))
		}
	}
	for _, work := range t.works {
		row := []string{work}
		for _, worker := range t.workers {
			row = append(row, t.time(work, worker))
			for _, peer := range t.heldAgainst(worker) {
				row = append(row, t.ratioText(work, worker, peer))
			}
		}
		rows = append(rows, row)
	}
	if len(t.works) > 1 && slices.ContainsFunc(means[1:], func(s string) bool { return s != "" }) {
		rows = append(rows, means)
	}
	return writeColumns(out, rows)
}

// writeColumns writes rows behind an empty line, the first column to the left and
// the others to the right.
func writeColumns(out io.Writer, rows [][]string) error {
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

// heldAgainst are the peers of a worker in this table.
func (t *table) heldAgainst(worker string) []string {
	var all []string
	for i, peer := range peers {
		if !slices.Contains(t.workers, peer) || slices.Contains(peers[i:], worker) {
			continue
		}
		all = append(all, peer)
	}
	return all
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

// ratio is a time in times of a peer's for the same work.
func (t *table) ratio(work, worker, peer string) (float64, bool) {
	ours, ok := t.best[[2]string{work, worker}]
	theirs := t.best[[2]string{work, peer}]
	return ours / theirs, ok && theirs > 0
}

func (t *table) ratioText(work, worker, peer string) string {
	r, ok := t.ratio(work, worker, peer)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.2fx", r)
}

// mean is the geometric mean of a worker's ratios; "" where there are none.
func (t *table) mean(worker, peer string) string {
	sum, n := 0.0, 0
	for _, work := range t.works {
		if r, ok := t.ratio(work, worker, peer); ok && r > 0 {
			sum += math.Log(r)
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.2fx", math.Exp(sum/float64(n)))
}
