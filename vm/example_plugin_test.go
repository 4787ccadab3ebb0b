package vm_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
)

// sleepable is BPF_F_SLEEPABLE, which programs of this type need.
const sleepable = 1 << 4

// limits makes a plug-in that admits requests of at most n bytes. A real one
// comes from a stranger, as an object file.
func limits(n int32) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: "limits", Type: ebpf.Syscall, Flags: sleepable, Instructions: asm.Instructions{
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word), // the context is the request
		asm.Mov.Imm(asm.R0, 1),
		asm.JLE.Imm(asm.R1, n, "out"),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return().WithSymbol("out"),
	}}
}

// A server lets strangers decide over its requests. What they wrote can read the
// request and nothing else, ends when its budget is used up, and is replaced
// while requests go on: a program array is a slot that holds the plug-in of the
// moment.
func Example_plugin() {
	host, err := vm.NewCollectionWithOptions(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"slot": {Name: "slot", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"admit": {Name: "admit", Type: ebpf.Syscall, Flags: sleepable, Instructions: asm.Instructions{
				asm.LoadMapPtr(asm.R2, 0).WithReference("slot"),
				asm.Mov.Imm(asm.R3, 0),
				asm.FnTailCall.Call(),
				asm.Mov.Imm(asm.R0, 1), // no plug-in: admit everything
				asm.Return(),
			}},
		},
	}, vm.CollectionOptions{Programs: vm.ProgramOptions{Budget: 10_000}}) // of a whole run
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	load := func(spec *ebpf.ProgramSpec) {
		plugin, err := vm.NewProgram(spec)
		if err != nil {
			log.Fatal(err)
		}
		defer plugin.Close() // the slot holds it
		if err := host.Maps["slot"].Put(uint32(0), plugin); err != nil {
			log.Fatal(err)
		}
	}
	admit := func(size uint32) bool {
		in := vm.Input{Ctx: binary.NativeEndian.AppendUint32(nil, size)}
		var out vm.Output
		if err := host.Programs["admit"].Exec(context.Background(), &in, &out); err != nil {
			log.Fatal(err) // what the plug-in did wrong, and where
		}
		return out.Ret != 0
	}

	fmt.Println(admit(5000))
	load(limits(4096))
	fmt.Println(admit(5000))
	load(limits(8192))
	fmt.Println(admit(5000))
	// Output:
	// true
	// false
	// true
}
