package report

import (
	"testing"
	"time"
)

func TestBench(t *testing.T) {
	ours := []BenchEngine{
		{Name: "checked", Ns: 453.25, Compile: 49_400 * time.Nanosecond},
		{Name: "jit", Ns: 9.5, Bytes: 1200, Compile: 123_456 * time.Nanosecond},
	}
	both(t, "bench", func(w *Writer) error {
		return w.Bench(&Bench{
			Program: "firewall", Insns: 308, Packets: 16, Ran: 96.5,
			Engines: append(ours[:2:2], BenchEngine{Name: "linux", Ns: 38, Bytes: 1431}),
		})
	})
	both(t, "bench_alone", func(w *Writer) error {
		return w.Bench(&Bench{
			Program: "opens", Insns: 42, Ran: 40,
			Engines: append(ours[:2:2], BenchEngine{Name: "linux", Missing: "operation not permitted"}),
		})
	})
}
