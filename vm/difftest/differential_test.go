package difftest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/engine"
)

var (
	seedFlag     = flag.Uint64("seed", 0, "first seed of the random programs; 0: SKEP_SEED, or chance")
	programsFlag = flag.Int("programs", 5000, "number of random programs; a tenth with -short")
)

const (
	// acceptance is the least share of programs that the kernel has to accept.
	acceptance = 0.95
	// minimised is how many differences are made smaller and written down.
	minimised = 3
)

// engines are all engines of the machine.
func engines(t *testing.T, cpus int) []Engine {
	t.Helper()
	var all []Engine
	for _, mode := range engine.Modes() {
		e, err := Machine(mode, cpus)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// diff says how an engine's result differs from want; "" where it does not.
func diff(e Engine, c *progen.Case, want *Result) string {
	got, err := e.Run(c)
	switch {
	case err != nil:
		return err.Error()
	case cmp.Equal(want, got):
		return ""
	}
	return cmp.Diff(want, got)
}

// differing names the parts of a result in which an engine differs from want.
func differing(e Engine, c *progen.Case, want *Result) []string {
	got, err := e.Run(c)
	if err != nil {
		return []string{"error"}
	}
	var parts []string
	for _, p := range []struct {
		name string
		same bool
	}{
		{"refused", want.Refused == got.Refused},
		{"ret", want.Ret == got.Ret},
		{"packet", bytes.Equal(want.Packet, got.Packet)},
		{"ctx", bytes.Equal(want.Ctx, got.Ctx)},
	} {
		if !p.same {
			parts = append(parts, p.name)
		}
	}
	for name, contents := range want.Maps {
		if !cmp.Equal(contents, got.Maps[name]) {
			parts = append(parts, "map "+name)
		}
	}
	return parts
}

// TestRandomPrograms runs random programs in the kernel and in the machine. A
// difference is written to testdata, where TestCases finds it from then on.
// -seed and -programs 1 repeat one.
func TestRandomPrograms(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "bpf_csum_diff gave other sums")
	kernel, cpus, err := Kernel()
	if err != nil {
		t.Fatal(err)
	}
	all, twins := engines(t, cpus), engines(t, cpus)
	seed := *seedFlag
	if seed == 0 {
		seed = testenv.Seed(t) >> 1
	}
	n := *programsFlag
	if testing.Short() {
		n /= 10
	}
	t.Logf("-seed %d -programs %d", seed, n)
	start, refused, found := time.Now(), 0, 0
	for i := range uint64(n) {
		c := progen.New(seed + i)
		want, err := kernel.Run(c)
		if rejected := (*kernelrun.Rejected)(nil); errors.As(err, &rejected) {
			refused++
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %v", c.Seed, err)
		}
		for i, e := range all {
			d := diff(e, c, want)
			if d == "" {
				continue
			}
			t.Errorf("seed %d, %s program: %s differs from the kernel\n%s", c.Seed, c.Type, e.Name, d)
			if found++; found <= minimised {
				save(t, kernel, e, twins[i], c)
			}
			break
		}
		if found > 10*minimised {
			t.Fatal("more differences than it makes sense to list")
		}
	}
	took := time.Since(start)
	t.Logf("%d programs, %.0f a second; the kernel refused %d (%.1f %%)", n, float64(n)/took.Seconds(), refused, 100*float64(refused)/float64(n))
	if float64(refused) > (1-acceptance)*float64(n) {
		t.Errorf("the kernel refused %d of %d programs", refused, n)
	}
}

// save makes a case on which e differs smaller, and writes it to testdata. The
// twin is e in other memory: where the two differ, the smaller case has come to
// show an address.
func save(t *testing.T, kernel, e, twin Engine, c *progen.Case) {
	t.Helper()
	want, err := kernel.Run(c)
	if err != nil {
		t.Error(err)
		return
	}
	parts := differing(e, c, want)
	small := Minimise(c, func(c *progen.Case) bool {
		if !Stable(c) {
			return false
		}
		want, err := kernel.Run(c)
		if err != nil {
			return false
		}
		if own, err := e.Run(c); err == nil && diff(twin, c, own) != "" {
			return false
		}
		return slices.ContainsFunc(differing(e, c, want), func(p string) bool { return slices.Contains(parts, p) })
	})
	if want, err = kernel.Run(small); err != nil {
		t.Error(err)
		return
	}
	var b bytes.Buffer
	why := fmt.Sprintf("%s differs from the kernel:\n%s", e.Name, diff(e, small, want))
	if err := Write(&b, small, want, why); err != nil {
		t.Error(err)
		return
	}
	path := filepath.Join("testdata", fmt.Sprintf("seed-%d.case", c.Seed))
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Error(err)
	}
	t.Logf("minimised to %s:\n%s", path, b.String())
}

// TestCases holds every engine against what the kernel gave for the cases that
// are kept, and the kernel itself where there is one.
func TestCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.case")
	if err != nil {
		t.Fatal(err)
	}
	// The cases have the per-CPU values of two CPUs.
	all := engines(t, 2)
	if kernel, cpus, err := Kernel(); err == nil && cpus >= 2 {
		all = append(all, kernel)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c, want, err := Read(f)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, e := range all {
				t.Run(e.Name, func(t *testing.T) {
					if e.Name == "kernel" {
						testenv.KernelFrom(t, 6, 18, "helpers gave other results")
					}
					soil(t, e, c.Type)
					if d := diff(e, c, want); d != "" {
						t.Error(d)
					}
				})
			}
		})
	}
}

// soil fills the memory of packets with a run before: what it leaves must not
// show.
func soil(t *testing.T, e Engine, typ ebpf.ProgramType) {
	t.Helper()
	_, err := e.Run(&progen.Case{
		Type:   typ,
		Packet: bytes.Repeat([]byte{0xff}, 1500),
		Progs: [][]isa.Instruction{{
			{Op: isa.ClassALU64 | isa.AluMOV, Dst: isa.R0},
			{Op: isa.ClassJMP | isa.JmpEXIT},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStable: what generated cases leave in the kernel depends on nothing but
// the case.
func TestStable(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "some helpers left what was in memory before")
	for seed := range uint64(200) {
		if !Stable(progen.New(seed)) {
			t.Errorf("seed %d gives two results", seed)
		}
	}
}
