package report

import (
	"fmt"
	"strconv"
	"time"
)

// Bench is a program in several engines side by side.
type Bench struct {
	Program string
	Insns   int     // instructions of the program
	Packets int     // a run is the mean of so many; 0: it takes none
	Ran     float64 // instructions that a run executes
	Engines []BenchEngine
}

// BenchEngine is what one engine needs.
type BenchEngine struct {
	Name    string
	Ns      float64       // a run
	Bytes   int           // of machine code; 0: none, or not told
	Compile time.Duration // without verifying; 0: not told
	Missing string        // why it did not run; empty: it did
}

type jsonBench struct {
	Type    string            `json:"type"`
	Program string            `json:"program"`
	Insns   int               `json:"instructions"`
	Packets int               `json:"packets,omitempty"`
	Ran     float64           `json:"executed"`
	Engines []jsonBenchEngine `json:"engines"`
}

type jsonBenchEngine struct {
	Name      string  `json:"engine"`
	Ns        float64 `json:"ns,omitempty"`
	Ratio     float64 `json:"times_linux,omitempty"`
	Bytes     int     `json:"code_bytes,omitempty"`
	CompileNs int64   `json:"compile_ns,omitempty"`
	Missing   string  `json:"missing,omitempty"`
}

// linux is the engine that others are held against.
const linux = "linux"

// ratio is how many times Linux's time an engine takes; 0: Linux did not run.
func (b *Bench) ratio(e *BenchEngine) float64 {
	for i := range b.Engines {
		if l := &b.Engines[i]; l.Name == linux && l.Ns > 0 {
			return e.Ns / l.Ns
		}
	}
	return 0
}

func (b *Bench) json() *jsonBench {
	j := &jsonBench{Type: "bench", Program: b.Program, Insns: b.Insns, Packets: b.Packets, Ran: b.Ran}
	for i := range b.Engines {
		e := &b.Engines[i]
		j.Engines = append(j.Engines, jsonBenchEngine{e.Name, e.Ns, b.ratio(e), e.Bytes, e.Compile.Nanoseconds(), e.Missing})
	}
	return j
}

// Bench writes what the engines need, a row each, and why one did not run.
func (w *Writer) Bench(b *Bench) error {
	if w.form == JSON {
		return w.object(b.json())
	}
	w.buf = fmt.Appendf(w.buf[:0], "%s: %d instructions, of which a run executes %.4g", harmless(b.Program), b.Insns, b.Ran)
	switch {
	case b.Packets == 1:
		w.buf = append(w.buf, "; 1 packet"...)
	case b.Packets > 1:
		w.buf = fmt.Appendf(w.buf, "; the mean of %d packets", b.Packets)
	}
	w.buf = append(w.buf, "\n\n"...)
	t := table{head: []string{"engine", "ns a run", "times Linux's", "ns an instruction", "bytes of code", "µs to compile"}}
	for i := range b.Engines {
		e := &b.Engines[i]
		if e.Missing != "" {
			continue
		}
		cells := []string{e.Name, digits(e.Ns), "-", digits(e.Ns / max(b.Ran, 1)), "-", "-"}
		if r := b.ratio(e); r > 0 {
			cells[2] = fmt.Sprintf("%.2f", r)
		}
		if e.Bytes > 0 {
			cells[4] = strconv.Itoa(e.Bytes)
		}
		if e.Compile > 0 {
			cells[5] = digits(float64(e.Compile.Nanoseconds()) / 1000)
		}
		t.add(cells...)
	}
	w.buf = t.append(w.buf, "")
	for _, e := range b.Engines {
		if e.Missing != "" {
			w.buf = fmt.Appendf(w.buf, "\n%s did not run it: %s\n", e.Name, harmlessLines(e.Missing))
		}
	}
	return w.flush()
}

// digits is a time to three digits.
func digits(ns float64) string {
	switch {
	case ns < 1:
		return strconv.FormatFloat(ns, 'f', 3, 64)
	case ns < 10:
		return strconv.FormatFloat(ns, 'f', 2, 64)
	case ns < 100:
		return strconv.FormatFloat(ns, 'f', 1, 64)
	}
	return strconv.FormatFloat(ns, 'f', 0, 64)
}
