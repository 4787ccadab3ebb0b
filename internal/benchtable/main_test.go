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
BenchmarkRun/alu-2     10  8.0 jit-ns/run  0.8 jit-ns/insn  2.0 linux-ns/run  0.2 linux-ns/insn
BenchmarkRun/pkt-2     10  6.0 clang-ns/run  18 jit-ns/run  2.0 linux-ns/run
BenchmarkAlone-2                 	     200	      1234 ns/op	       0 B/op	       0 allocs/op
--- BENCH: BenchmarkAlone-2
    alone_test.go:7: without Linux: not allowed
    alone_test.go:7: without Linux: not allowed
PASS
`
	want := `on AMD EPYC

Insn, ns/insn   fast  /linux  linux
alu             1.20  12.00x  0.100
mem             1.60
geometric mean        12.00x

Run, ns/run      jit  /linux  /clang  linux  /clang  clang
alu             8.00   4.00x           2.00
pkt             18.0   9.00x   3.00x   2.00   0.33x   6.00
geometric mean         6.00x   3.00x          0.33x

Run, ns/insn    jit  /linux  linux
alu           0.800   4.00x  0.200

Alone, ns/op
              1234

without Linux: not allowed
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
		"BenchmarkX 1 many fast-ns/run\n",
	} {
		if err := run(strings.NewReader(in), &strings.Builder{}); err == nil {
			t.Errorf("%q passed", in)
		}
	}
}
