package program

import (
	"bytes"
	"debug/elf"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// A program names the function that bpf_throw calls by a tag of its own, and
// nothing else refers to that function, so that cilium/ebpf leaves it out.

// exceptionTag is what libbpf's __exception_cb puts before the function's name.
const exceptionTag = "exception_callback:"

// exceptionCallback is the function that a program's type names, or "".
func exceptionCallback(fn *btf.Func) string {
	if fn == nil {
		return ""
	}
	for _, tag := range fn.Tags {
		if name, ok := strings.CutPrefix(tag, exceptionTag); ok {
			return name
		}
	}
	return ""
}

// addExceptionCallbacks gives programs the functions that they name so.
func (o *object) addExceptionCallbacks(spec *ebpf.CollectionSpec) error {
	var text *ebpf.CollectionSpec // with the functions of .text as programs
	for _, prog := range spec.Programs {
		name := ""
		if len(prog.Instructions) > 0 {
			name = exceptionCallback(btf.FuncMetadata(&prog.Instructions[0]))
		}
		if name == "" || has(prog.Instructions, name) {
			continue
		}
		if text == nil {
			var err error
			if text, err = ebpf.LoadCollectionSpecFromReader(bytes.NewReader(o.withoutText())); err != nil {
				return explain(err)
			}
		}
		callback := text.Programs[name]
		if callback == nil {
			continue // which linking refuses
		}
		prog.Instructions = slices.Clip(prog.Instructions)
		for fn := range functionsOf(callback.Instructions) {
			if !has(prog.Instructions, fn[0].Symbol()) {
				prog.Instructions = append(prog.Instructions, fn...)
			}
		}
	}
	return nil
}

// withoutText is the object with another name for section .text, so that the
// functions in it count as programs.
func (o *object) withoutText() []byte {
	data := bytes.Clone(o.data)
	for _, s := range o.file.Sections {
		if s.Type != elf.SHT_STRTAB && s.Name != ".BTF" {
			continue
		}
		names := data[s.Offset : s.Offset+s.FileSize]
		copy(names, bytes.ReplaceAll(names, []byte(".text\x00"), []byte(".exte\x00")))
	}
	return data
}

// has reports whether a function is among instructions.
func has(insns asm.Instructions, name string) bool {
	return slices.ContainsFunc(insns, func(ins asm.Instruction) bool { return ins.Symbol() == name && btf.FuncMetadata(&ins) != nil })
}

// functionsOf gives the instructions function by function.
func functionsOf(insns asm.Instructions) func(yield func(asm.Instructions) bool) {
	return func(yield func(asm.Instructions) bool) {
		start := 0
		for i := 1; i <= len(insns); i++ {
			if i < len(insns) && btf.FuncMetadata(&insns[i]) == nil {
				continue
			}
			if !yield(insns[start:i]) {
				return
			}
			start = i
		}
	}
}
