package vm

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/mem"
)

// Variable is a global variable of a loaded collection, with the shape of
// [ebpf.Variable]. Programs see a change at once.
type Variable struct {
	spec *ebpf.VariableSpec
	m    *Map
}

func newVariable(spec *ebpf.VariableSpec, m *Map) *Variable { return &Variable{spec, m} }

// Size in bytes.
func (v *Variable) Size() uint32 { return v.spec.Size() }

// ReadOnly reports whether the variable is in a constant section.
func (v *Variable) ReadOnly() bool { return v.spec.Constant() }

// Type of the variable; nil without BTF.
func (v *Variable) Type() *btf.Var { return v.spec.Type }

func (v *Variable) String() string { return v.spec.String() }

// bytes is the variable itself, in the map's value.
func (v *Variable) bytes() []byte {
	return mem.View(v.m.info.Values.Addr(0)+uintptr(v.spec.Offset), int(v.spec.Size()))
}

// Set changes the variable. Returns an error that is [ebpf.ErrReadOnly] if it is
// constant.
func (v *Variable) Set(in any) error {
	if v.ReadOnly() {
		return fmt.Errorf("variable %s: %w", v.spec.Name, ebpf.ErrReadOnly)
	}
	b, err := marshal(in, int(v.Size()))
	if err != nil {
		return fmt.Errorf("variable %s: %w", v.spec.Name, err)
	}
	copy(v.bytes(), b)
	return nil
}

// Get reads the variable into out, a pointer.
func (v *Variable) Get(out any) error {
	if err := unmarshal(out, v.bytes()); err != nil {
		return fmt.Errorf("variable %s: %w", v.spec.Name, err)
	}
	return nil
}

// applyVariables writes the values of a section's variables into its map's
// initial contents.
func applyVariables(spec *ebpf.MapSpec, vars map[string]*ebpf.VariableSpec, section string) error {
	var data []byte
	for _, v := range vars {
		if v.SectionName != section {
			continue
		}
		if data == nil {
			if len(spec.Contents) != 1 {
				return errNoDataSection
			}
			initial, ok := spec.Contents[0].Value.([]byte)
			if !ok {
				return errNoDataSection
			}
			data = slices.Clone(initial)
		}
		if int(v.Offset)+len(v.Value) > len(data) {
			return fmt.Errorf("variable %s lies outside the section's %d bytes", v.Name, len(data))
		}
		copy(data[v.Offset:], v.Value)
	}
	if data != nil {
		spec.Contents = []ebpf.MapKV{{Key: uint32(0), Value: data}}
	}
	return nil
}
