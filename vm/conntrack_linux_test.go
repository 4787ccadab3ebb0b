package vm_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm/exec"
)

// inNewNetwork gives this test's thread a network namespace of its own, in which
// nothing is tracked yet.
func inNewNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for ever: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("make a network namespace: %v", err)
	}
}

// ctInput is the n-th tuple and options, most of them right, and what is set and changed.
func ctInput(rnd *rand.Rand, n int) kfuncInput {
	one := func(usual uint64, others ...uint64) uint64 {
		if rnd.IntN(6) > 0 {
			return usual
		}
		return others[rnd.IntN(len(others))]
	}
	in := kfuncInput{Data: make([]byte, 64)}
	in.Data[12] = 8
	size := []uint64{12, 36}[rnd.IntN(2)]
	tuple, opts := in.Text[0][:], in.Text[1][:]
	if size == 12 {
		copy(tuple, []byte{10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2})
		tuple[3], tuple[11] = byte(1+rnd.IntN(3)), byte(1+rnd.IntN(3))
		if rnd.IntN(2) == 0 { // a reply
			copy(tuple, []byte{10, 0, 0, 2, 10, 0, 0, 1, 0, 2, 0, 1})
			tuple[7], tuple[9] = byte(1+rnd.IntN(3)), byte(1+rnd.IntN(3))
		}
	} else {
		tuple[0], tuple[15], tuple[16], tuple[31], tuple[33], tuple[35] = 0xfd, byte(1+rnd.IntN(3)), 0xfd, 9, 1, byte(1+rnd.IntN(3))
	}
	in.In[0] = one(size, 0, 11, 13, 48-size, 63)
	// Of fewer than 8 bytes Linux wrote the error behind the options until it was mended.
	in.In[1] = one([]uint64{12, 16, 16, 16}[rnd.IntN(4)], 8, 15, 20)
	copy(opts, "\xff\xff\xff\xff\x00\x00\x00\x00")
	opts[0] = byte(one(0xff, 0xfe)) // the namespace
	if one(1, 0) == 0 {
		copy(opts, "\x99\x99\x99\x00")
	}
	opts[8] = byte(one([]uint64{6, 17}[rnd.IntN(2)], 0, 1, 132))
	opts[10] = byte(one(0, 1, 2))
	opts[12] = byte(one(0, 1, 2, 3, 4))
	opts[13+rnd.IntN(3)] = byte(one(0, 0, 1))
	// A port is taken by chance where another connection has it: only one that is asked
	// for may be another's.
	copy(opts[32:], []byte{192, byte(n >> 8), byte(n), 1})
	copy(opts[48:], []byte{192, byte(n >> 8), byte(n), 2})

	// None ends meanwhile: Linux collects those that have ended when it likes.
	in.In[2] = one(0, 60_000, 20_001, 1<<31, 1<<32-1)
	statuses := []uint64{0, 1, 2, 4, 6, 8, 16, 1 << 7, 1 << 9, 1 << 10, 1<<10 | 2, 1 << 11, 1 << 13, 0xfff6}
	in.In[3] = one(0, statuses...)
	if rnd.IntN(3) == 0 {
		in.In[4] = one(1<<32, 2<<32, 1<<32|5555, 2<<32|5555, 3<<32, 1<<32|0x80000000)
		if port := in.In[4] << 32; port != 0 {
			copy(opts[32:], []byte{192, 0, 2, byte(rnd.IntN(2))})
			copy(opts[48:], []byte{192, 0, 2, 9})
		}
	}
	in.In[5] = rnd.Uint64() & 0xffff
	in.In[6] = one(0, 30_000, 90_000, 1<<32-1)
	in.In[7] = one(8, append(statuses, 10, 12, 14, 8|1<<10, 8|1<<7)...)
	return in
}

// TestConntrackAsInKernel makes the same connections in Linux and in each mode of the
// machine, and looks for them.
func TestConntrackAsInKernel(t *testing.T) {
	for _, hook := range []string{"xdp", "tc"} {
		t.Run(hook, func(t *testing.T) {
			inNewNetwork(t)
			var insert, lookup []runner
			env := make([]*exec.Env, 8)
			for i := range env {
				env[i] = &exec.Env{Conntrack: exec.NewConntrack()}
			}
			insert = ctRunners(t, env, hook+"_insert")
			lookup = ctRunners(t, env, hook+"_lookup")
			rnd := rand.New(rand.NewPCG(3, 5))
			kinds := map[int64]int{}
			for n := range 2000 {
				in, runners := ctInput(rnd, n), insert
				if rnd.IntN(2) == 0 {
					runners = lookup
				}
				want := runners[0].do(t, &in)
				kinds[want.Out[0]<<32|int64(want.Text[1][4])]++
				for _, r := range runners[1:] {
					got := r.do(t, &in)
					for _, at := range []int{10, 34} { // time goes on
						if d := got.Out[at] - want.Out[at]; -500 < d && d < 500 {
							got.Out[at] = want.Out[at]
						}
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("%s on %x\n%x: kernel - / machine +\n%s", r.name, in.In, in.Text, diff)
					}
				}
			}
			if len(kinds) < 6 {
				t.Errorf("few kinds of results: %v", kinds)
			}
		})
	}
}

// ctRunners is kfuncRunners where each mode of the machine has an environment that
// its programs share.
func ctRunners(t *testing.T, env []*exec.Env, prog string) []runner {
	t.Helper()
	var all []runner
	for i, e := range env {
		runners := kfuncRunnersIn(t, e, "conntrack", prog)
		if i+1 >= len(runners) {
			break
		}
		if i == 0 {
			all = append(all, runners[0])
		}
		all = append(all, runners[i+1])
	}
	return slices.Clip(all)
}
