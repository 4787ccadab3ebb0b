package vm_test

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
)

// A program that was written for the kernel is tested without one.
func ExampleNewCollection() {
	spec := &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"seen": {Name: "seen", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"count": {Name: "count", Type: ebpf.XDP, Instructions: asm.Instructions{
				asm.StoreImm(asm.RFP, -4, 0, asm.Word),
				asm.Mov.Reg(asm.R2, asm.RFP),
				asm.Add.Imm(asm.R2, -4),
				asm.LoadMapPtr(asm.R1, 0).WithReference("seen"),
				asm.FnMapLookupElem.Call(),
				asm.JEq.Imm(asm.R0, 0, "out"),
				asm.Mov.Imm(asm.R1, 1),
				asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
				asm.Mov.Imm(asm.R0, 2).WithSymbol("out"), // XDP_PASS
				asm.Return(),
			}},
		},
	}

	coll, err := vm.NewCollection(spec) // the one line that changes
	if err != nil {
		log.Fatal(err)
	}
	defer coll.Close()

	for range 3 {
		if _, _, err := coll.Programs["count"].Test(make([]byte, 60)); err != nil {
			log.Fatal(err)
		}
	}
	var seen uint64
	if err := coll.Maps["seen"].Lookup(uint32(0), &seen); err != nil {
		log.Fatal(err)
	}
	fmt.Println(seen, "packets seen")
	// Output: 3 packets seen
}
