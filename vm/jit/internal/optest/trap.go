package optest

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Trap reaches what must not be reached.
func (b *Backend) Trap(t *testing.T) {
	const at = 12345
	f := b.builder()
	f.end(ir.Ins{Op: ir.Trap, At: at})
	for name, emit := range b.Emit {
		code, err := emit(&ir.Program{Funcs: []*ir.Func{&f.Func}})
		if err != nil {
			t.Fatal(err)
		}
		n := b.native(t, code)
		n.ctx.SP, n.ctx.Func = n.top, n.addr(code.Entries[0])
		n.resume(n.addr(code.Enter))
		if n.ctx.Exit != abi.ExitTrap || n.ctx.Arg != at {
			t.Errorf("%s: leaves with %d and %d, not %d and %d", name, n.ctx.Exit, n.ctx.Arg, abi.ExitTrap, at)
		}
	}
}
