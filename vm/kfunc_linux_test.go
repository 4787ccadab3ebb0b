package vm_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
)

// variable and runner are what a test needs of a collection on either machine.
type variable interface {
	Set(any) error
	Get(any) error
}

type runner struct {
	name string
	run  func(*ebpf.RunOptions) (uint32, error)
	vars func(name string) variable
}

// kfuncRunners loads a program of testdata/kfunc into the kernel and into the
// machine, in each of its modes.
func kfuncRunners(t *testing.T, object, prog string) []runner {
	t.Helper()
	return kfuncRunnersIn(t, nil, object, prog)
}

// kfuncRunnersIn is kfuncRunners with an environment for the machine; nil: none.
func kfuncRunnersIn(t *testing.T, env *exec.Env, object, prog string) []runner {
	t.Helper()
	testenv.Kernel(t)
	open := func() *ebpf.CollectionSpec {
		p, err := program.Open(filepath.Join("testdata", "kfunc", object+".bpf.o"))
		if err != nil {
			t.Fatal(err)
		}
		p.Spec.Programs = map[string]*ebpf.ProgramSpec{prog: p.Spec.Programs[prog]}
		return p.Spec
	}
	kernel, err := ebpf.NewCollection(open())
	if err != nil && !testenv.Follows(t) {
		t.Skipf("the running kernel does not take the program: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kernel.Close)
	runners := []runner{{"kernel", kernel.Programs[prog].Run, func(name string) variable { return kernel.Variables[name] }}}
	for _, mode := range engine.Modes() {
		coll, err := vm.NewCollectionWithOptions(open(), vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode, Env: env}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(coll.Close)
		runners = append(runners, runner{mode.String(), coll.Programs[prog].Run, func(name string) variable { return coll.Variables[name] }})
	}
	return runners
}

// kfuncInput is what one run is given.
type kfuncInput struct {
	In   [8]uint64
	Text [2][64]byte
	Data []byte // a packet, or none
}

// kfuncResult is what it leaves.
type kfuncResult struct {
	Ret  uint32
	Out  [64]int64
	Text [2][64]byte
	Data []byte
}

func (r *runner) do(t *testing.T, in *kfuncInput) kfuncResult {
	t.Helper()
	var out kfuncResult
	for name, v := range map[string]any{"in": in.In, "text": in.Text, "out": out.Out} {
		if err := r.vars(name).Set(v); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
	}
	opts := &ebpf.RunOptions{}
	if in.Data != nil {
		opts.Data, opts.DataOut = in.Data, make([]byte, len(in.Data)+256)
	}
	var err error
	if out.Ret, err = r.run(opts); err != nil {
		t.Fatalf("%s: on %+v: %v", r.name, in.In, err)
	}
	for name, v := range map[string]any{"text": &out.Text, "out": &out.Out} {
		if err := r.vars(name).Get(v); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
	}
	out.Data = opts.DataOut
	return out
}

// compareKfuncs runs a program on n inputs on every machine, and wants the same
// of all.
func compareKfuncs(t *testing.T, object, prog string, n int, input func(rnd *rand.Rand) kfuncInput) {
	compareRunners(t, kfuncRunners(t, object, prog), n, input)
}

// compareRunners is compareKfuncs for a program that is loaded already.
func compareRunners(t *testing.T, runners []runner, n int, input func(rnd *rand.Rand) kfuncInput) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 11))
	for i := range n {
		in := input(rnd)
		want := runners[0].do(t, &in)
		for _, r := range runners[1:] {
			if diff := cmp.Diff(want, r.do(t, &in)); diff != "" {
				t.Fatalf("run %d on %#x, %q, %d bytes: kernel - / %s +\n%s", i, in.In, in.Text, len(in.Data), r.name, diff)
			}
		}
	}
}

// pick takes one of several numbers, or now and then any.
func pick(rnd *rand.Rand, of ...uint64) uint64 {
	if rnd.IntN(10) == 0 {
		return uint64(rnd.Uint32())
	}
	return of[rnd.IntN(len(of))]
}

func TestStringKfuncs(t *testing.T) {
	compareKfuncs(t, "string", "strings", 3000, func(rnd *rand.Rand) (in kfuncInput) {
		const letters = "aAbB\xe4\xc4\xd7"
		for i := range in.Text {
			for j := range rnd.IntN(1 + []int{3, 63}[rnd.IntN(2)]) {
				in.Text[i][j] = letters[rnd.IntN(len(letters))]
			}
		}
		// Linux's bpf_strrchr finds letters beyond ASCII or not, as the compiler
		// extended its argument.
		in.In = [8]uint64{pick(rnd, 'a', 'b', 'B', 0, 'x') & 0x7f, pick(rnd, 0, 1, 2, 5, 63, 64, 65536, 1<<64-1)}
		return in
	})
	for _, addr := range []uint64{0, 1, 0xfff, 0xffffffffffffff00} {
		t.Run(fmt.Sprintf("%#x", addr), func(t *testing.T) {
			compareKfuncs(t, "string", "wrong_strings", 1, func(*rand.Rand) kfuncInput {
				return kfuncInput{In: [8]uint64{addr}, Text: [2][64]byte{{'a', 'b'}}}
			})
		})
	}
}

func TestDynptrKfuncs(t *testing.T) {
	for _, prog := range []string{"dynptr_mem", "dynptr_skb", "dynptr_meta", "dynptr_xdp", "dynptr_ringbuf"} {
		t.Run(prog, func(t *testing.T) {
			compareKfuncs(t, "dynptr", prog, 1000, func(rnd *rand.Rand) (in kfuncInput) {
				at := func() uint64 { return pick(rnd, 0, 1, 7, 16, 40, 64, 111, 112, 128, 129, 200) }
				flags := func() uint64 { return []uint64{0, 0, 0, 0, 1, 2, 1 << 40}[rnd.IntN(7)] }
				in.In = [8]uint64{at(), at(), at(), at(), flags(), at(), flags(), pick(rnd, 0, 8, 64, 128, 4080, 4096, 1<<24)}
				if rnd.IntN(4) > 0 {
					in.In[6] = 0
				}
				for i := range in.Text {
					for j := range in.Text[i] {
						in.Text[i][j] = byte(rnd.Uint32())
					}
				}
				in.Data = make([]byte, 64+rnd.IntN(100))
				for i := range in.Data {
					in.Data[i] = byte(rnd.Uint32())
				}
				return in
			})
		})
	}
}

func TestNetfilterPacket(t *testing.T) {
	compareKfuncs(t, "netfilter", "judge", 500, func(rnd *rand.Rand) (in kfuncInput) {
		at := func() uint64 { return pick(rnd, 0, 1, 7, 16, 20, 24, 63, 64, 65) }
		in.In = [8]uint64{pick(rnd, 0, 0, 0, 1), at(), at(), at()}
		in.Data = make([]byte, 20+rnd.IntN(100))
		for i := range in.Data {
			in.Data[i] = byte(rnd.Uint32())
		}
		return in
	})
}

func TestIteratorKfuncs(t *testing.T) {
	t.Run("numbers", func(t *testing.T) {
		compareKfuncs(t, "iterator", "numbers", 300, func(rnd *rand.Rand) (in kfuncInput) {
			edge := func() uint64 { return pick(rnd, 0, 1, 10, 1<<31, 1<<31-1, 1<<32-1, 8<<20, 8<<20+1, 1<<32-100) }
			in.In, in.Data = [8]uint64{edge(), edge()}, make([]byte, 64)
			return in
		})
	})
	t.Run("bits", func(t *testing.T) {
		runners := kfuncRunners(t, "iterator", "bits")
		rnd := rand.New(rand.NewPCG(1, 3))
		for range 100 {
			var words [520]uint64
			for i := range words {
				words[i] = rnd.Uint64() & rnd.Uint64() & rnd.Uint64()
			}
			in := kfuncInput{In: [8]uint64{pick(rnd, 0, 1, 2, 3, 510, 511, 512)}, Data: make([]byte, 64)}
			var want kfuncResult
			for i, r := range runners {
				if err := r.vars("words").Set(words); err != nil {
					t.Fatal(err)
				}
				got := r.do(t, &in)
				if i == 0 {
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%d words: kernel - / %s +\n%s", in.In[0], r.name, diff)
				}
			}
		}
	})
}

func TestCPUMaskKfuncs(t *testing.T) {
	compareKfuncs(t, "cpumask", "masks", 300, func(rnd *rand.Rand) (in kfuncInput) {
		in.In = [8]uint64{pick(rnd, 0, 1, 2, 3, 63, 64, 8192, 1<<32-1), rnd.Uint64N(256), rnd.Uint64N(256)}
		return in
	})
}

func TestMapFields(t *testing.T) {
	compareKfuncs(t, "mapfield", "map_fields", 1, func(*rand.Rand) (in kfuncInput) { return in })
}

func TestExceptions(t *testing.T) {
	for _, prog := range []string{"rescued", "plain"} {
		t.Run(prog, func(t *testing.T) {
			compareKfuncs(t, "exception", prog, 50, func(rnd *rand.Rand) (in kfuncInput) {
				in.In = [8]uint64{pick(rnd, 0, 1, 5, 6, 7, 1<<40), pick(rnd, 0, 0, 1, 2, 1<<63+1), rnd.Uint64N(9)}
				in.Data = make([]byte, 64)
				return in
			})
		})
	}
}

func TestTaskKfuncs(t *testing.T) {
	compareKfuncs(t, "tasks", "signals", 200, func(rnd *rand.Rand) (in kfuncInput) {
		in.In = [8]uint64{pick(rnd, 0, 65, 1<<32-1) &^ 0x7f, pick(rnd, 0, 1, 2, 1<<32-1), rnd.Uint64(), pick(rnd, 0, 0, 1<<31, 1<<22+1)}
		return in
	})
}

func TestMapCountKfunc(t *testing.T) {
	compareKfuncs(t, "tasks", "counts", 500, func(rnd *rand.Rand) (in kfuncInput) {
		in.In = [8]uint64{rnd.Uint64N(90), rnd.Uint64N(3)}
		return in
	})
}

// TestStreamKfuncs compares what programs are told that write to their streams. Linux
// may have no memory for that at the moment, as it may not sleep for any.
func TestStreamKfuncs(t *testing.T) {
	runners := kfuncRunners(t, "stream", "print")
	rnd := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		in := kfuncInput{In: [8]uint64{pick(rnd, 0, 1, 1, 1, 2, 2, 3), rnd.Uint64N(4), pick(rnd, 0, 8, 16, 24, 7, 96, 97), rnd.Uint64()}}
		copy(in.Text[0][:], "text")
		want := runners[0].do(t, &in)
		for _, r := range runners[1:] {
			got := r.do(t, &in)
			if want.Out[0] == -int64(errno.ENOMEM) && got.Out[0] == 0 {
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%d: kernel - / %s +\n%s", in.In, r.name, diff)
			}
		}
	}
}

// TestTaskWorkKfuncs has work done when a run is over. Linux may have no memory for it at
// the moment, as for streams.
func TestTaskWorkKfuncs(t *testing.T) {
	runners := kfuncRunners(t, "taskwork", "schedule")
	rnd := rand.New(rand.NewPCG(7, 11))
	for range 100 {
		in := kfuncInput{In: [8]uint64{rnd.Uint64N(2), rnd.Uint64N(2), rnd.Uint64N(2)}}
		want := runners[0].do(t, &in)
		if want.Out[0] == -int64(errno.ENOMEM) {
			t.Skip("the running kernel has no memory for task work")
		}
		for _, r := range runners[1:] {
			if diff := cmp.Diff(want, r.do(t, &in)); diff != "" {
				t.Fatalf("%d: kernel - / %s +\n%s", in.In, r.name, diff)
			}
		}
	}
}
