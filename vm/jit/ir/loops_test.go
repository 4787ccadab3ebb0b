package ir

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// alone is a program of functions, the last of which calls helper h, expanded.
func alone(t *testing.T, h *helper.Helper, funcs ...*Func) *evaluator {
	p := &Program{Funcs: funcs}
	p.Expand(&Calls{Helpers: []*helper.Helper{h}})
	return &evaluator{t: t, prog: p, outside: func(*Ins, [5]uint64) uint64 {
		t.Errorf("%s goes to Go", h.Name)
		return 0
	}}
}

func TestNumberIterator(t *testing.T) {
	state, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	memory := uint64(exec.Addr(state.CtxBytes()))
	word := func(at uint64) uint64 { return *(*uint64)(mem.At(uintptr(at))) }
	for _, name := range []string{"bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy"} {
		h := helper.Kfunc(name)
		native := alone(t, h, &Func{Vars: FirstFree, Blocks: []Block{
			{Ins: []Ins{leave(uint8(len(h.Args))), ret()}, Succ: [2]int32{-1, -1}},
		}})
		numbers := []uint64{0, 1, 2, 7, 8 << 20, 8<<20 + 1, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<63 + 5}
		for _, a := range numbers {
			for _, b := range numbers {
				before := b<<32 | a&(1<<32-1)
				for at := range uint64(2) {
					*(*uint64)(mem.At(uintptr(memory + 8*at))) = before
				}
				want := h.Func(state, memory, a, b, 0, 0)
				got, _ := native.run(memory+8, a, b)
				if want == memory {
					want += 8
				}
				if h.Ret == helper.RetVoid {
					got, want = 0, 0
				}
				if got != want || word(memory) != word(memory+8) {
					t.Errorf("%s(iterator %#x, %#x, %#x): %#x and iterator %#x, want %#x and %#x", name, before, a, b,
						got, word(memory+8), want, word(memory))
				}
			}
		}
	}
}

func TestLoop(t *testing.T) {
	const callback = 70 // where the function begins
	h := helper.ByID(bpfLoop)
	call := leave(4)
	e := alone(t, h,
		// The context is the address of a number to stop at, and of how often it was called.
		&Func{Entry: callback, Params: 2, Vars: FirstFree, Blocks: []Block{
			{Ins: []Ins{
				{Op: Load, Width: 8, Dst: 3, A: 2, B: None, C: None, Off: 8}, {Op: Add, Size: 8, Dst: 3, A: 3, B: None, C: None, Imm: 1},
				{Op: Store, Width: 8, Dst: None, A: 2, B: None, C: 3, Off: 8},
				{Op: Load, Width: 8, Dst: 4, A: 2, B: None, C: None},
				{Op: Branch, Size: 8, Cond: Eq, Dst: None, A: 1, B: 4, C: None},
			}, Succ: [2]int32{1, 2}},
			{Ins: []Ins{number(0, 1), ret()}, Succ: [2]int32{-1, -1}},
			{Ins: []Ins{number(0, 0), ret()}, Succ: [2]int32{-1, -1}},
		}},
		&Func{Vars: FirstFree, Blocks: []Block{
			{Ins: []Ins{mov(6, 2), number(2, callback), call, ret()}, Succ: [2]int32{-1, -1}},
		}},
	)
	state, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	at := exec.Addr(state.CtxBytes())
	stop, calls := (*uint64)(mem.At(at)), (*uint64)(mem.At(at+8))
	tests := map[string]struct{ n, stop, flags, want, calls uint64 }{
		"no turn":        {n: 0, stop: 99},
		"one turn":       {n: 1, stop: 99, want: 1, calls: 1},
		"all turns":      {n: 10, stop: 99, want: 10, calls: 10},
		"stops at once":  {n: 10, stop: 0, want: 1, calls: 1},
		"stops later":    {n: 10, stop: 6, want: 7, calls: 7},
		"stops last":     {n: 10, stop: 9, want: 10, calls: 10},
		"too many turns": {n: maxLoops + 1, want: uint64(uint32(errno.E2BIG.Ret()))},
		"negative turns": {n: 1 << 63, want: uint64(uint32(errno.E2BIG.Ret()))},
		"flags":          {n: 3, flags: 1, want: errno.EINVAL.Ret()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			*stop, *calls = test.stop, 0
			got, _ := e.run(test.n, 0, uint64(at), test.flags)
			if got != test.want || *calls != test.calls {
				t.Errorf("%#x after %d calls, want %#x after %d", got, *calls, test.want, test.calls)
			}
		})
	}
}

// TestForEach sums what a function is called with for the elements of an array, up to
// one where it stops.
func TestForEach(t *testing.T) {
	const callback = 70
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.PerCPUArray} {
		m, err := maps.New(&ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 5}, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for key := range byte(5) {
			if err := m.Update(1, []byte{key, 0, 0, 0}, []byte{10 * key, 0, 0, 0, 0, 0, 0, 0}, 0); err != nil {
				t.Fatal(err)
			}
		}
		state, err := exec.NewState(1)
		if err != nil {
			t.Fatal(err)
		}
		at := exec.Addr(state.CtxBytes())
		stop, sum := (*uint64)(mem.At(at)), (*uint64)(mem.At(at+8))
		context := at + 512
		binary.NativeEndian.PutUint64(state.CtxBytes()[512+abi.OffCPU:], 1)
		load := func(width uint8, dst, a Var, off int32) Ins {
			return Ins{Op: Load, Width: width, Dst: dst, A: a, B: None, C: None, Off: off}
		}
		p := &Program{Funcs: []*Func{
			// It adds 1000 times the map, 100 times the key and the value.
			{Entry: callback, Params: 4, Vars: FirstFree, Blocks: []Block{
				{Ins: []Ins{
					{Op: Mul, Size: 8, Dst: 1, A: 1, B: None, C: None, Imm: 1000},
					load(4, 2, 2, 0),
					{Op: Mul, Size: 8, Dst: 5, A: 2, B: None, C: None, Imm: 100},
					add(1, 1, 5), load(8, 3, 3, 0), add(1, 1, 3), load(8, 3, 4, 8), add(1, 1, 3),
					{Op: Store, Width: 8, Dst: None, A: 4, B: None, C: 1, Off: 8},
					load(8, 4, 4, 0),
					{Op: Branch, Size: 8, Cond: Eq, Dst: None, A: 2, B: 4, C: None},
				}, Succ: [2]int32{1, 2}},
				{Ins: []Ins{number(0, 1), ret()}, Succ: [2]int32{-1, -1}},
				{Ins: []Ins{number(0, 0), ret()}, Succ: [2]int32{-1, -1}},
			}},
			{Vars: FirstFree, Frame: 16, Blocks: []Block{
				{Ins: []Ins{number(1, int64(m.Info().Handle)), number(2, callback), leave(4), ret()}, Succ: [2]int32{-1, -1}},
			}},
		}}
		p.Expand(&Calls{Helpers: []*helper.Helper{helper.ByID(mapForEach)}, Maps: []maps.Map{m}})
		e := &evaluator{t: t, prog: p, context: uint64(context), outside: func(*Ins, [5]uint64) uint64 {
			t.Error("goes to Go")
			return 0
		}}
		for _, test := range []struct{ stop, flags, want uint64 }{
			{stop: 9, want: 5}, {stop: 4, want: 5}, {stop: 2, want: 3}, {stop: 0, want: 1}, {flags: 1, want: errno.EINVAL.Ret()},
		} {
			*stop, *sum = test.stop, 0
			got, _ := e.run(0, 0, uint64(at), test.flags)
			var want uint64
			for i := range min(test.want, 5) {
				if test.flags == 0 {
					want += 1000*uint64(m.Info().Handle) + 100*i + 10*i
				}
			}
			if got != test.want || *sum != want {
				t.Errorf("%s, stop at %d, flags %d: %#x and a sum of %d, want %#x and %d", typ, test.stop, test.flags, got, *sum, test.want, want)
			}
		}
	}
}
