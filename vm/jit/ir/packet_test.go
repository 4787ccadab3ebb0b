package ir

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/progtype"
)

func TestPacketHelpers(t *testing.T) {
	typ, err := progtype.Get(ebpf.SchedCLS)
	if err != nil {
		t.Fatal(err)
	}
	state, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 100)
	for i := range data {
		data[i] = byte(i)
	}
	if err := typ.Setup(state, &progtype.Input{Data: data}); err != nil {
		t.Fatal(err)
	}
	ctx, to := uint64(state.Ctx()), state.CtxBytes()[2048:][:maxInlineLoad+1]
	for _, id := range []uint32{skbLoadBytes, skbPullData} {
		h := helper.ByID(id)
		for _, n := range []uint64{1, 2, 3, 4, 6, 8, 14, 40, 64, 65, 99} {
			left := 0
			call := leave(uint8(len(h.Args)))
			p := &Program{Funcs: []*Func{{Vars: FirstFree, Blocks: []Block{{
				Ins:  []Ins{{Op: Const, Size: 8, Dst: 4, A: None, B: None, C: None, Imm: int64(n)}, call, ret()},
				Succ: [2]int32{-1, -1},
			}}}}}
			p.Expand(&Calls{Helpers: []*helper.Helper{h}})
			e := &evaluator{t: t, prog: p, outside: func(_ *Ins, a [5]uint64) uint64 {
				left++
				return h.Func(state, a[0], a[1], a[2], a[3], a[4])
			}}
			for _, offset := range []uint64{0, 1, 35, 36, 37, 98, 99, 100, 101, 1<<32 - 1, 1<<32 + 7, 1 << 63} {
				fill := func() { copy(to, bytes.Repeat([]byte{0xee}, len(to))) }
				if id == skbLoadBytes && n > uint64(len(to)) {
					continue
				}
				fill()
				want := h.Func(state, ctx, offset, uint64(exec.Addr(to)), n, 0)
				wrote := bytes.Clone(to)
				fill()
				left = 0
				got, _ := e.run(ctx, offset, uint64(exec.Addr(to)))
				if got != want || !bytes.Equal(to, wrote) {
					t.Errorf("%s of %d bytes at %d gives %#x and %x, want %#x and %x", h.Name, n, offset, got, to, want, wrote)
				}
				if native := id == skbPullData || n <= maxInlineLoad && want == 0; left != 0 && native {
					t.Errorf("%s of %d bytes at %d goes to Go", h.Name, n, offset)
				}
			}
		}
	}
}
