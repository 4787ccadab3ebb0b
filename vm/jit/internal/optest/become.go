package optest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Become goes on in another function, from one with a frame and from one without, with its
// address in each variable.
func (b *Backend) Become(t *testing.T) {
	vars, _ := b.variables()
	block, err := mem.New(16)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	args := mem.View(block.Addr(), 16)
	for name, emit := range b.Emit {
		p := &ir.Program{Funcs: []*ir.Func{b.callee(first)}}
		for _, v := range vars {
			if v == 1 {
				continue
			}
			for _, frame := range []bool{false, true} {
				p.Funcs = append(p.Funcs, b.becomes(v, frame))
				p.Funcs = append(p.Funcs, b.caller(len(p.Funcs)-1))
			}
		}
		code, err := emit(p)
		if err != nil {
			t.Fatal(err)
		}
		n := b.native(t, code)
		const given = 0x7654321
		binary.LittleEndian.PutUint64(args, uint64(n.addr(code.Entries[0])))
		binary.LittleEndian.PutUint64(args[8:], given)
		for fn := 2; fn < len(p.Funcs); fn += 2 {
			n.ctx.Args[0] = uint64(block.Addr())
			if r0 := n.run(fn, func(*abi.Context) {}); r0 != given+found {
				t.Errorf("%s: %s: gives %#x, not %#x", name, p.Funcs[fn-1].Name, r0, uint64(given+found))
			}
		}
	}
}

// becomes makes a function that goes on at the address that R1 points to, with the word
// behind it for R1. One with a frame leaves native code before.
func (b *Backend) becomes(v ir.Var, frame bool) *ir.Func {
	f := b.builder()
	f.Name = fmt.Sprintf("variable %d, frame %t", v, frame)
	f.add(ir.Ins{Op: ir.Mov, Size: 8, Dst: 6, A: 1, B: ir.None, C: ir.None})
	if frame {
		f.Frame, f.Leaves = 512, true
		f.add(ir.Ins{Op: ir.Helper, Dst: 0, A: ir.None, B: ir.None, C: ir.None, Live: f.Registers(ir.Of(6))})
	}
	f.load(1, 6, 8)
	f.load(v, 6, 0)
	f.end(ir.Ins{Op: ir.Become, Dst: ir.None, A: v, B: ir.None, C: ir.None})
	return &f.Func
}
