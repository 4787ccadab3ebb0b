package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// suiteProgram is a program of the external suite.
type suiteProgram struct {
	name string
	typ  ebpf.ProgramType
	// loops says that what one instruction takes says more than what a run does.
	loops bool
	// function is the same in C, in the suite's file c or in testdata/loops.c; empty
	// where a run is so short that entering it is most of its time.
	function, c string
}

var suitePrograms = []suiteProgram{
	{"alu", ebpf.SocketFilter, true, "alu", ""},
	{"mem", ebpf.SocketFilter, true, "mem", ""},
	{"sieve", ebpf.SocketFilter, true, "sieve", ""},
	{"call", ebpf.SocketFilter, true, "call", ""},
	{"div", ebpf.SocketFilter, true, "divide", ""},
	{"collatz", ebpf.SocketFilter, true, "collatz", ""},
	{"pkt64", ebpf.XDP, true, "prog", "pkt64.c"},
	{"pkt", ebpf.XDP, false, "", ""},
	{"empty", ebpf.XDP, false, "", ""},
}

// mapPlace is what stands in the suite's programs where a map belongs.
const mapPlace = 0x7fff1234

// suiteSpec reads a program of the suite. It is what the kernel takes: a loop's
// memory is a map's value.
func suiteSpec(t testing.TB, name string, typ ebpf.ProgramType) *ebpf.CollectionSpec {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(testenv.Data(t, "bench"), name+".K.bin"))
	if err != nil {
		t.Fatal(err)
	}
	insns, err := asm.AppendInstructions(nil, bytes.NewReader(raw), binary.LittleEndian, "linux")
	if err != nil {
		t.Fatal(err)
	}
	if err := refer(insns); err != nil {
		t.Fatal(err)
	}
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"memory": {Name: "memory", Type: ebpf.Array, KeySize: 4, ValueSize: 32768, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			name: {Name: name, Type: typ, License: "GPL", Instructions: insns},
		},
	}
}

// refer replaces the numbers of the map and of functions by names.
func refer(insns asm.Instructions) error {
	at := make(map[int]*asm.Instruction) // by slot
	for iter := insns.Iterate(); iter.Next(); {
		at[int(iter.Offset)] = iter.Ins
	}
	for slot, ins := range at {
		switch {
		case ins.OpCode.IsDWordLoad() && ins.Constant == mapPlace:
			*ins = asm.LoadMapPtr(ins.Dst, 0).WithReference("memory")
		case ins.IsFunctionCall():
			to := at[slot+1+int(ins.Constant)]
			if to == nil {
				return fmt.Errorf("the call at %d leads nowhere", slot)
			}
			name := fmt.Sprintf("function_%d", slot+1+int(ins.Constant))
			*to = to.WithSymbol(name)
			*ins = asm.Call.Label(name)
		}
	}
	return nil
}

// packet is TCP over IPv4.
var packet = append([]byte{
	0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00,
	0x45, 0, 0, 50, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	0x30, 0x39, 0x00, 0x50,
}, make([]byte, 26)...)
