package program

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"sort"

	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
)

// Text is an instruction in cilium/ebpf's text form, with the names of the map,
// function or kernel function that it refers to; "" for the second slot of a
// wide one. What has no text form is shown as its bytes.
func (img *Image) Text(i int) string {
	if i < 0 || i >= len(img.Insns) || img.secondSlot(i) {
		return ""
	}
	end := i + 1
	if img.Insns[i].IsWide() {
		end = min(i+2, len(img.Insns))
	}
	raw := isa.Encode(img.Insns[i:end])
	var ins asm.Instruction
	if err := ins.Unmarshal(bytes.NewReader(raw), binary.LittleEndian, "linux"); err != nil {
		return fmt.Sprintf("% x", raw)
	}
	if name := img.reference(i); name != "" && ins.AssociateMap(mapName(name)) != nil {
		ins = ins.WithReference(name) // not a map
	}
	text := fmt.Sprint(ins)
	if ins.OpCode.Class().IsALU() && ins.Offset != 0 {
		text += fmt.Sprintf(" off: %d", ins.Offset) // which cilium/ebpf leaves out
	}
	return text
}

// mapName stands for a map in the text of an instruction.
type mapName string

func (m mapName) FD() int        { return -1 }
func (m mapName) String() string { return string(m) }

// secondSlot reports whether i is the second slot of a wide instruction.
func (img *Image) secondSlot(i int) bool {
	n := 0
	for ; i > 0 && img.Insns[i-1].IsWide(); i-- {
		n++
	}
	return n%2 == 1
}

// reference is the name of what an instruction refers to.
func (img *Image) reference(i int) string {
	ins := img.Insns[i]
	switch {
	case img.Kfuncs[i] != nil:
		return img.Kfuncs[i].Name
	case ins.IsWide() && (ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapValue):
		if n := int(ins.Imm); n >= 0 && n < len(img.Maps) {
			return img.Maps[n]
		}
	case ins.IsWide() && ins.Src == isa.PseudoFunc, ins.IsCall(isa.CallLocal):
		target := i + 1 + int(ins.Imm)
		if f := img.FuncAt(target); f != nil && f.Start == target {
			return f.Name
		}
	}
	return ""
}

// FuncAt is the function that an instruction belongs to, or nil.
func (img *Image) FuncAt(i int) *Function {
	n := sort.Search(len(img.Funcs), func(n int) bool { return img.Funcs[n].Start > i })
	if n == 0 || i < 0 {
		return nil
	}
	return &img.Funcs[n-1]
}

// LineAt is the source line that an instruction came from, or nil.
func (img *Image) LineAt(i int) *Line {
	n := sort.Search(len(img.Lines), func(n int) bool { return img.Lines[n].Start > i })
	f := img.FuncAt(i)
	if n == 0 || f == nil || img.Lines[n-1].Start < f.Start {
		return nil
	}
	return &img.Lines[n-1]
}

// Where describes an instruction's source position for a person, such as
// "firewall.bpf.c:42: if (ip + 1 > end)"; "" where it is unknown.
func (img *Image) Where(i int) string {
	line := img.LineAt(i)
	if line == nil {
		return ""
	}
	where := fmt.Sprintf("%s:%d", path.Base(line.File), line.Number)
	if line.Text != "" {
		where += ": " + line.Text
	}
	return where
}
