package ir

import (
	"testing"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
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
