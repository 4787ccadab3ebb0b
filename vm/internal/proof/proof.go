// Package proof gives tests what the verifier proves of programs that are bare
// instructions.
package proof

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// sleepable is BPF_F_SLEEPABLE, without which Linux takes no program for system calls.
const sleepable = 1 << 4

// Of verifies a program. maps are what Imm of a map load is an index into. A type of
// the test's own, whose Prog is 0, is verified as a system call's, as its context is
// memory, too.
func Of(typ *progtype.Type, insns []isa.Instruction, all []maps.Map) ([]verifier.Fact, error) {
	img := &program.Image{Name: "test", Type: typ.Prog, License: "GPL", Insns: insns}
	if typ.Prog == ebpf.UnspecifiedProgram {
		img.Type, img.Flags = ebpf.Syscall, sleepable
	}
	if len(typ.Attach) > 0 {
		img.Attach = typ.Attach[0]
	}
	fn := &btf.Func{Name: "f", Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}
	for _, at := range isa.Functions(insns) {
		img.Funcs = append(img.Funcs, program.Function{Name: fn.Name, Start: at, Type: fn})
	}
	specs := map[string]*ebpf.MapSpec{}
	for i, m := range all {
		spec, err := describe(m, i)
		if err != nil {
			return nil, err
		}
		specs[spec.Name] = spec
		img.Maps = append(img.Maps, spec.Name)
	}
	result, err := verifier.CheckImage(img, specs, &verifier.Options{Kernel: "any"})
	if err != nil {
		return nil, err
	}
	return result.Facts, nil
}

// describe is a map as the verifier sees it: constant data by its name and contents.
func describe(m maps.Map, i int) (*ebpf.MapSpec, error) {
	info := m.Info()
	spec := &ebpf.MapSpec{
		Name: fmt.Sprint("map ", i), Type: info.Type, KeySize: info.KeySize, ValueSize: info.ValueSize,
		MaxEntries: info.MaxEntries, Flags: info.Flags, MapExtra: info.Extra, Key: info.Key, Value: info.Value,
		InnerMap: info.Inner,
	}
	f, ok := m.(interface{ Frozen() bool })
	if !ok || !f.Frozen() || info.Type != ebpf.Array || info.Flags&maps.FlagRdonlyProg == 0 {
		return spec, nil
	}
	value := make([]byte, info.ValueSize)
	if err := m.UserLookup(make([]byte, 4), value, 0); err != nil {
		return nil, err
	}
	spec.Name, spec.Contents = fmt.Sprint(".rodata ", i), []ebpf.MapKV{{Key: uint32(0), Value: value}}
	return spec, nil
}

// Plain are facts that say of each instruction that it may be reached, and of each
// access that it is one of memory: for programs that do no other, and that the verifier
// refuses.
func Plain(insns []isa.Instruction) []verifier.Fact {
	facts := make([]verifier.Fact, len(insns))
	for i := range facts {
		facts[i] = verifier.Fact{Reached: true, Jumps: true, Passes: true, Memory: verifier.MemPlain, Map: -1}
	}
	return facts
}
