package vm

import (
	"encoding/binary"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/maps"
)

// verify refuses a program that Linux would refuse, and gives what was proved of one
// that it would take. Its maps are described as they are, whatever
// the spec says of them. types are the kernel's; nil: there are none.
func verify(image *program.Image, objs []*mapObject, types *btf.Spec) (*verifier.Result, error) {
	specs := make(map[string]*ebpf.MapSpec, len(objs))
	for i, o := range objs {
		spec, err := o.describe(image.Maps[i])
		if err != nil {
			return nil, err
		}
		specs[image.Maps[i]] = spec
	}
	return verifier.CheckImage(image, specs, &verifier.Options{Kernel: "any", KernelTypes: types})
}

// describe is the map as the verifier sees it. The verifier takes the contents of
// constant data for what they are, so they must be those of the map, and frozen.
func (o *mapObject) describe(name string) (*ebpf.MapSpec, error) {
	info, spec := o.Info(), o.spec(name)
	switch {
	case !constantData(name):
		return spec, nil
	case !o.frozen():
		spec.Name = "replaced " + name
		return spec, nil
	}
	for i := range info.MaxEntries {
		value := make([]byte, info.ValueSize)
		if err := o.UserLookup(binary.NativeEndian.AppendUint32(nil, i), value, 0); err != nil {
			return nil, err
		}
		spec.Contents = append(spec.Contents, ebpf.MapKV{Key: i, Value: value})
	}
	return spec, nil
}

// spec is the map's spec without its contents.
func (o *mapObject) spec(name string) *ebpf.MapSpec {
	info := o.Info()
	return &ebpf.MapSpec{
		Name: name, Type: info.Type, KeySize: info.KeySize, ValueSize: info.ValueSize, MaxEntries: info.MaxEntries,
		Flags: info.Flags, MapExtra: info.Extra, Key: info.Key, Value: info.Value, InnerMap: info.Inner,
	}
}

// frozen reports whether nobody can change the map any more.
func (o *mapObject) frozen() bool {
	f, ok := o.Map.(interface{ Frozen() bool })
	return ok && f.Frozen()
}

// constant reports whether neither programs nor anybody else can change the map.
func (o *mapObject) constant() bool { return o.Info().Flags&maps.FlagRdonlyProg != 0 && o.frozen() }
