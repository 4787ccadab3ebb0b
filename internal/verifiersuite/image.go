package verifiersuite

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// load is what a loader handed to the kernel.
type load struct {
	Type       uint32
	AttachType uint32 `json:"attach_type"`
	Flags      uint32
	Insns      string // hexadecimal
	Maps       []struct {
		FD         int32
		Name       string
		Type       uint32
		Key, Value uint32
		Max, Flags uint32
		Extra      uint64
		BTFKey     btf.TypeID `json:"btf_key"`
		BTFValue   btf.TypeID `json:"btf_value"`
		Init       string     // hexadecimal
	}
	Kfuncs      []kfuncCall
	FuncInfo    string `json:"func_info"`
	FuncInfoRec int    `json:"func_info_rec"`
}

// kfuncCall is the call of a kernel function: [instruction, name].
type kfuncCall struct {
	Insn int
	Name string
}

func (k *kfuncCall) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&k.Insn, &k.Name})
}

// Image is the program as the kernel was given it, and the maps that it names.
func (c *Case) Image() (*program.Image, map[string]*ebpf.MapSpec, error) {
	if c.Load == nil {
		return nil, nil, fmt.Errorf("%s: no kernel was given it", c.Name())
	}
	raw, err := hex.DecodeString(c.Load.Insns)
	if err != nil {
		return nil, nil, err
	}
	insns, err := isa.Decode(raw)
	if err != nil {
		return nil, nil, err
	}
	types, err := btf.LoadSpec(c.object())
	if err != nil {
		return nil, nil, err
	}
	img := &program.Image{
		Name: c.Func, Section: c.Section, License: "GPL", Flags: c.Load.Flags,
		Type: ebpf.ProgramType(c.Load.Type), Attach: ebpf.AttachType(c.Load.AttachType),
		Insns: insns, Types: types, KernelTypes: c.suite.Types, Kfuncs: map[int]*btf.Func{},
	}
	if _, target, ok := strings.Cut(c.Section, "/"); ok {
		img.AttachTo = target
	}
	specs, err := c.maps(img)
	if err != nil {
		return nil, nil, err
	}
	if err := c.functions(img); err != nil {
		return nil, nil, err
	}
	for _, k := range c.Load.Kfuncs {
		fn := &btf.Func{Name: k.Name}
		if types.TypeByName(k.Name, &fn) == nil {
			img.Kfuncs[k.Insn] = c.kfunc(fn)
		}
	}
	c.relink(img, specs)
	if img.Type == ebpf.StructOps {
		return img, specs, c.member(img)
	}
	return img, specs, nil
}

func (c *Case) object() string { return filepath.Join(c.suite.objects, c.File+".bpf.o") }

// functions reads func_info.
func (c *Case) functions(img *program.Image) error {
	b, err := hex.DecodeString(c.Load.FuncInfo)
	if err != nil {
		return err
	}
	for ; c.Load.FuncInfoRec > 0 && len(b) >= c.Load.FuncInfoRec; b = b[c.Load.FuncInfoRec:] {
		t, err := img.Types.TypeByID(btf.TypeID(binary.LittleEndian.Uint32(b[4:])))
		if err != nil {
			return err
		}
		fn, ok := t.(*btf.Func)
		if !ok {
			return fmt.Errorf("%s: func_info names %v", c.Name(), t)
		}
		img.Funcs = append(img.Funcs, program.Function{
			Name: fn.Name, Start: int(binary.LittleEndian.Uint32(b)), Type: fn,
		})
	}
	if len(img.Funcs) == 0 {
		img.Funcs = []program.Function{{Name: c.Func}}
	}
	return nil
}

// maps describes the maps, and makes the instructions refer to them by index.
func (c *Case) maps(img *program.Image) (map[string]*ebpf.MapSpec, error) {
	specs := map[string]*ebpf.MapSpec{}
	index := map[int32]int32{}
	for i, m := range c.Load.Maps {
		spec := &ebpf.MapSpec{
			Name: mapName(m.Name), Type: ebpf.MapType(m.Type), KeySize: m.Key, ValueSize: m.Value,
			MaxEntries: m.Max, Flags: m.Flags, MapExtra: m.Extra,
		}
		var err error
		if m.BTFKey != 0 {
			if spec.Key, err = img.Types.TypeByID(m.BTFKey); err != nil {
				return nil, err
			}
		}
		if m.BTFValue != 0 {
			if spec.Value, err = img.Types.TypeByID(m.BTFValue); err != nil {
				return nil, err
			}
		}
		if m.Init != "" {
			value, err := hex.DecodeString(m.Init)
			if err != nil {
				return nil, err
			}
			spec.Contents = []ebpf.MapKV{{Key: uint32(0), Value: value}}
		}
		if spec.Type == ebpf.ArrayOfMaps || spec.Type == ebpf.HashOfMaps {
			if spec.InnerMap, err = c.innerMap(m.Name); err != nil {
				return nil, err
			}
		}
		name := fmt.Sprintf("%s#%d", m.Name, i)
		specs[name] = spec
		img.Maps = append(img.Maps, name)
		index[m.FD] = int32(i)
	}
	for i := range img.Insns {
		ins := &img.Insns[i]
		if ins.IsWide() && (ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapValue) {
			if at, ok := index[ins.Imm]; ok {
				ins.Imm = at
			} else {
				ins.Imm = -1 // no map has this descriptor
			}
		}
	}
	return specs, nil
}

// mapName is a map's name in its object: loaders put the object's before that of
// a section.
func mapName(name string) string {
	if i := strings.IndexByte(name, '.'); i > 0 {
		return name[i:]
	}
	return name
}

// innerMap is what the object says that a map of maps holds.
func (c *Case) innerMap(name string) (*ebpf.MapSpec, error) {
	p, err := c.Program()
	if err != nil {
		return nil, err
	}
	if m := p.Spec.Maps[name]; m != nil {
		return m.InnerMap, nil
	}
	return nil, fmt.Errorf("%s: the object does not have map %s", c.Name(), name)
}

// member finds which member of which structure a struct_ops program is: the object's
// variables in sections for operations tell the structure, and what was loaded its
// member.
func (c *Case) member(img *program.Image) error {
	for _, section := range []string{".struct_ops", ".struct_ops.link"} {
		var vars *btf.Datasec
		if err := img.Types.TypeByName(section, &vars); err != nil {
			continue
		}
		for _, v := range vars.Vars {
			variable, ok := v.Type.(*btf.Var)
			if !ok {
				continue
			}
			ops, ok := btf.UnderlyingType(variable.Type).(*btf.Struct)
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(ops.Name, "___")
			var kernel *btf.Struct
			if c.suite.Types.TypeByName(name, &kernel) == nil && int(img.Attach) < len(kernel.Members) {
				img.AttachTo = name + ":" + kernel.Members[img.Attach].Name
				return nil
			}
			img.AttachTo = name + ":"
		}
	}
	return nil
}
