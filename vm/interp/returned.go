package interp

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// returned holds the program's result against what Linux's verifier demands of
// its type.
func (m *machine) returned() {
	t := m.prog.in.Type
	r0 := int64(m.reg[isa.R0])
	if t.Prog == ebpf.LSM { // the caller takes an int
		r0 = int64(int32(r0))
	}
	if r := t.Returns; r != nil && (r0 < r.Min || r0 > r.Max) {
		want := fmt.Sprintf("%d to %d", r.Min, r.Max)
		if r.Min == r.Max {
			want = fmt.Sprintf("only %d", r.Min)
		}
		m.fail(m.pc.at(-1), fmt.Sprintf("returns %d, and Linux lets programs of type %s return %s", r0, t.Name, want))
	}
}
