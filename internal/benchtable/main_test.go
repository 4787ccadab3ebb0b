package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	in := `goos: linux
cpu: AMD EPYC
BenchmarkInsn/alu/fast-2         	     200	    146415 ns/op	         1.500 ns/insn
BenchmarkInsn/alu/fast-2         	     200	    146415 ns/op	         1.200 ns/insn
BenchmarkInsn/alu/linux-2        	     200	    195234 ns/op	         0.1000 ns/insn
BenchmarkInsn/mem/fast-2         	     200	     53538 ns/op	         1.600 ns/insn
BenchmarkAlone-2                 	     200	      1234 ns/op	       0 B/op	       0 allocs/op
PASS
`
	want := `on AMD EPYC

Insn, ns/insn  fast  /linux  linux
alu            1.20  12.00x  0.100
mem            1.60

Alone, ns/op
              1234
`
	var out strings.Builder
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Fatal(diff)
	}
}

func TestRunFails(t *testing.T) {
	for _, in := range []string{
		"--- FAIL: BenchmarkX\nFAIL\n",
		"BenchmarkX 1 many ns/op\n",
	} {
		if err := run(strings.NewReader(in), &strings.Builder{}); err == nil {
			t.Errorf("%q passed", in)
		}
	}
}
