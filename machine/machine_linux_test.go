package machine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
)

// machines are both machines; the kernel only where bpf() is allowed.
func machines(t *testing.T, test func(t *testing.T, m machine.Machine)) {
	t.Run("user", func(t *testing.T) { test(t, machine.User(&machine.UserOptions{})) })
	t.Run("kernel", func(t *testing.T) {
		testenv.Kernel(t)
		test(t, machine.Kernel())
	})
}

// sender is an object whose program sends its packet's length, 8 bytes, through a map
// "events" of a type, and counts its runs in the first value of the array "runs".
func sender(typ ebpf.MapType) *program.Program {
	events := &ebpf.MapSpec{Name: "events", Type: typ}
	send := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, 0).WithReference("events"),
		asm.LoadImm(asm.R3, 0xffffffff, asm.DWord), // BPF_F_CURRENT_CPU
		asm.Mov.Reg(asm.R4, asm.RFP), asm.Add.Imm(asm.R4, -8), asm.Mov.Imm(asm.R5, 8),
		asm.FnPerfEventOutput.Call(),
	}
	if typ == ebpf.RingBuf {
		events.MaxEntries = 4096
		send = asm.Instructions{
			asm.LoadMapPtr(asm.R1, 0).WithReference("events"),
			asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -8),
			asm.Mov.Imm(asm.R3, 8), asm.Mov.Imm(asm.R4, 0),
			asm.FnRingbufOutput.Call(),
		}
	}
	insns := append(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word), // skb->len
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
	}, send...)
	insns = append(insns,
		asm.LoadMapValue(asm.R1, 0, 0).WithReference("runs"),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	)
	return &program.Program{Name: "sender.o", Spec: &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"events": events,
			"runs":   {Name: "runs", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{"send": {Name: "send", Type: ebpf.SchedCLS, License: "GPL", Instructions: insns}},
	}}
}

// received gives the records that wait, as numbers.
func received(t *testing.T, e machine.Events) (all []uint64) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var r machine.Record
	for {
		err := e.Read(ended, &r)
		if errors.Is(err, context.Canceled) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, binary.NativeEndian.Uint64(r.Data))
	}
}

// TestSame runs one object on both machines: it sends the same events, and leaves the
// same in its map.
func TestSame(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.RingBuf, ebpf.PerfEventArray} {
		t.Run(typ.String(), func(t *testing.T) {
			machines(t, func(t *testing.T, m machine.Machine) {
				c, err := m.Load(sender(typ), &machine.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				e, err := c.Events("events")
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if _, err := c.Events("runs"); !errors.Is(err, machine.ErrNoEvents) {
					t.Errorf("events of an array: %v", err)
				}
				for _, length := range []int{60, 61, 62} {
					if _, err := c.Run("send", &ebpf.RunOptions{Data: make([]byte, length)}); err != nil {
						t.Fatal(err)
					}
				}
				got := received(t, e)
				if len(got) != 3 || got[0] != 60 || got[1] != 61 || got[2] != 62 {
					t.Errorf("received %d, want 60, 61 and 62", got)
				}
				var runs uint64
				if err := c.Map("runs").Lookup(uint32(0), &runs); err != nil || runs != 3 {
					t.Errorf("counted %d runs, %v", runs, err)
				}
				if n := e.Lost(); n != 0 {
					t.Errorf("lost %d records", n)
				}
			})
		})
	}
}
