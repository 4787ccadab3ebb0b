package difftest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
)

// Listing is a program as text: a line a slot, with its bytes and behind them
// cilium/ebpf's form of it.
func Listing(insns []isa.Instruction) string {
	var b strings.Builder
	second := secondSlots(insns)
	for i := range insns {
		raw := isa.Encode(insns[i : i+1])
		text := ""
		if !second[i] {
			text = disassemble(insns[i:min(i+2, len(insns))])
		}
		fmt.Fprintf(&b, "\t%x ; %3d %s\n", raw, i, text)
	}
	return b.String()
}

// disassemble gives the text of the first instruction.
func disassemble(insns []isa.Instruction) string {
	if !insns[0].IsWide() {
		insns = insns[:1]
	}
	var ins asm.Instruction
	if err := ins.Unmarshal(bytes.NewReader(isa.Encode(insns)), binary.LittleEndian, "linux"); err != nil {
		return "?"
	}
	return fmt.Sprint(ins)
}
