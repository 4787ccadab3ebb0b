package vm_test

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
)

// TestFieldStores: each mode stores to a socket buffer's fields as the checked one,
// also where a number is too large for the field and changes nothing.
func TestFieldStores(t *testing.T) {
	const mark, queueMapping, tcIndex, cb, tstamp = 8, 12, 44, 48, 152
	load := func(off int16, size asm.Size) asm.Instruction { return asm.LoadMem(asm.R0, asm.R1, off, size) }
	type field struct {
		name string
		off  int16
		size asm.Size
	}
	for _, f := range []field{
		{"mark", mark, asm.Word}, {"queue_mapping", queueMapping, asm.Word}, {"tc_index", tcIndex, asm.Word},
		{"cb", cb, asm.Word}, {"cb", cb + 6, asm.Half}, {"cb", cb + 8, asm.DWord}, {"cb", cb + 19, asm.Byte},
		{"tstamp", tstamp, asm.DWord},
	} {
		for _, value := range []int64{0, 5, 0xfffe, 0xffff, 0x10000, 1<<32 | 7, -1} {
			fill := asm.Instructions{asm.Mov.Imm(asm.R2, 3), asm.StoreMem(asm.R1, f.off, asm.R2, f.size)}
			stores := map[string]asm.Instructions{
				"register": append(fill, asm.LoadImm(asm.R3, value, asm.DWord), asm.StoreMem(asm.R1, f.off, asm.R3, f.size)),
			}
			if f.size != asm.DWord {
				stores["number"] = append(fill[:2:2], asm.StoreImm(asm.R1, f.off, int64(int32(value)), f.size))
			}
			for from, insns := range stores {
				t.Run(fmt.Sprintf("%s+%d/%#x/%s", f.name, f.off, value, from), func(t *testing.T) {
					spec := &ebpf.ProgramSpec{Name: "store", Type: ebpf.SchedCLS, License: "GPL",
						Instructions: append(insns, load(f.off, f.size), asm.Return())}
					var want uint32
					for i, mode := range engine.Modes() {
						p, err := vm.NewProgramWithOptions(spec, vm.ProgramOptions{Mode: mode})
						if err != nil {
							t.Fatal(err)
						}
						defer p.Close()
						got, _, err := p.Test(make([]byte, 64))
						if err != nil {
							t.Fatal(err)
						}
						if i == 0 {
							want = got
						} else if got != want {
							t.Errorf("%s reads %#x, %s %#x", mode, got, engine.Checked, want)
						}
					}
				})
			}
		}
	}
}
