package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// sending is an object whose program sends the number of the thread that made a system
// call, for this process, through a map of a type.
func sending(typ ebpf.MapType) *program.Program {
	p := counting("raw_tp/sys_enter", ebpf.RawTracepoint, 0, "", 0)
	spec := &ebpf.MapSpec{Name: "events", Type: typ}
	send := asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("events"),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8), asm.Mov.Imm(asm.R3, 8), asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
	}
	if typ == ebpf.RingBuf {
		spec.MaxEntries = 1 << 16
	} else {
		send = asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, 0).WithReference("events"),
			asm.LoadImm(asm.R3, 0xffffffff, asm.DWord),
			asm.Mov.Reg(asm.R4, asm.R10), asm.Add.Imm(asm.R4, -8), asm.Mov.Imm(asm.R5, 8),
			asm.FnPerfEventOutput.Call(),
		}
	}
	p.Spec.Maps["events"] = spec
	count := p.Spec.Programs["count"]
	count.Instructions = append(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnGetCurrentPidTgid.Call(),
		asm.StoreMem(asm.R10, -8, asm.R0, asm.DWord),
	}, append(send, count.Instructions...)...)
	first := ofThisProcess(p).Spec.Programs["count"]
	first.Instructions = append(asm.Instructions{asm.Mov.Reg(asm.R9, asm.R1)}, first.Instructions...)
	for i := range first.Instructions { // which calls a helper before R1 is kept
		if first.Instructions[i].Symbol() == "mine" {
			first.Instructions = append(first.Instructions[:i+1:i+1], append(asm.Instructions{asm.Mov.Reg(asm.R1, asm.R9)}, first.Instructions[i+1:]...)...)
			break
		}
	}
	return p
}

// TestEvents reads what a program sends about this process until the context ends.
func TestEvents(t *testing.T) {
	testenv.Kernel(t)
	for _, typ := range []ebpf.MapType{ebpf.RingBuf, ebpf.PerfEventArray} {
		t.Run(typ.String(), func(t *testing.T) {
			c, err := Load(sending(typ), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			e, err := c.Events("events")
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := c.Events("hits"); !errors.Is(err, ErrNoEvents) {
				t.Errorf("events of an array: %v", err)
			}
			attach(t, c, "raw_tp/sys_enter")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, _ = unix.Getpgid(0)
			var r Record
			for range 3 {
				if err := e.Read(ctx, &r); err != nil {
					t.Fatal(err)
				}
				if pid := binary.LittleEndian.Uint64(r.Data) >> 32; pid != uint64(unix.Getpid()) {
					t.Errorf("a record of process %d", pid)
				}
			}
			if err := c.Detach(); err != nil {
				t.Fatal(err)
			}
			cancel()
			for err == nil {
				err = e.Read(ctx, &r)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}
