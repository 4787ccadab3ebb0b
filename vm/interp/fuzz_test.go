package interp

import (
	"context"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// FuzzCompile: whatever bytes a program is made of, it is refused, or it runs
// to its end, a fault or its budget: checked, and fast where the verifier takes it.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"mov %r0, 1\nexit",
		"ldxw %r2, [%r1]\nldxw %r3, [%r1+4]\nldxb %r0, [%r2]\nexit",
		"stw [%r10-4], 0\nlddw %r1, map 0\nmov %r2, %r10\nadd %r2, -4\ncall 1\njeq %r0, 0, end\nldxdw %r0, [%r0]\nend:\nexit",
		"mov %r6, %r1\nmov %r2, 8\ncall 44\nmov %r1, %r6\nmov %r2, -4\ncall 65\nmov %r0, 2\nexit",
		"lddw %r1, map 1\nmov %r2, 8\nmov %r3, 0\ncall 131\njeq %r0, 0, end\nmov %r1, %r0\nmov %r2, 0\ncall 132\nend:\nmov %r0, 0\nexit",
		"lddw %r2, map 2\nmov %r3, 0\ncall 12\ncall local f\nexit\nf:\nmov %r1, 1\nlock fetch add [%r10-8], %r1\nmov %r0, 0\nexit",
		"mov %r1, 10\nlddw %r2, func 7\nmov %r3, 0\nmov %r4, 0\ncall 181\nexit\nmov %r0, 0\nexit",
	} {
		f.Add(isa.Encode(assemble(f, text)))
	}
	all := []maps.Map{
		array(f, 16),
		newMap(f, &ebpf.MapSpec{Name: "events", Type: ebpf.RingBuf, MaxEntries: 4096}),
		newMap(f, &ebpf.MapSpec{Name: "progs", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 4}),
		newMap(f, &ebpf.MapSpec{Name: "table", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 4}),
	}
	types := []*progtype.Type{plain, progType(f, ebpf.XDP), progType(f, ebpf.SchedCLS), progType(f, ebpf.SocketFilter)}
	s := newState(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		insns, err := isa.Decode(raw)
		if err != nil {
			return
		}
		for _, typ := range types {
			in := &Input{Name: "fuzz", Type: typ, Insns: insns, Maps: all}
			p, err := Compile(in)
			if err != nil {
				continue
			}
			run := func(p *Program, mode Mode) {
				s.SetPlainCtx(64)
				if typ.Setup != nil {
					if err := typ.Setup(s, &progtype.Input{Data: packet}); err != nil {
						t.Fatal(err)
					}
				}
				s.Budget = 10_000
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a spin lock taken twice
				defer cancel()
				s.Context = ctx
				// The error is the machine's business: there must only be no panic.
				_, _ = p.Run(s, mode)
			}
			run(p, Checked)
			if in.Facts, err = proof.Of(typ, insns, all); err != nil {
				continue
			}
			if p, err = Compile(in); err != nil {
				t.Fatal(err)
			}
			run(p, Fast)
		}
	})
}
