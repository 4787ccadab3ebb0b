// Command kfunctypes writes the prototypes of kernel functions from a kernel's BTF,
// without what structures that programs cannot make hold.
//
//	go run ./verifier/kernels/internal/kfunctypes BTF OUT
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: kfunctypes BTF OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "kfunctypes:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	spec, err := btf.LoadSpec(in)
	if err != nil {
		return err
	}
	b, err := btf.NewBuilder(nil, nil)
	if err != nil {
		return err
	}
	c := copier{}
	for _, k := range kernels.Kfuncs() {
		for _, name := range []string{k.Name, k.Name + "_impl"} {
			var fn *btf.Func
			if spec.TypeByName(name, &fn) != nil {
				continue // a module's, or of another configuration
			}
			if _, err := b.Add(c.copy(fn)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	if err != nil {
		return err
	}
	return os.WriteFile(out, raw, 0o644)
}

// copier copies types, each once, and leaves out what opaque structures hold.
type copier map[btf.Type]btf.Type

func (c copier) copy(t btf.Type) btf.Type {
	if t == nil {
		return nil
	}
	if done, ok := c[t]; ok {
		return done
	}
	switch t := t.(type) {
	case *btf.Struct:
		s := &btf.Struct{Name: t.Name, Size: t.Size}
		c[t] = s
		s.Members = c.members(t, t.Members)
		return s
	case *btf.Union:
		u := &btf.Union{Name: t.Name, Size: t.Size}
		c[t] = u
		u.Members = c.members(t, t.Members)
		return u
	case *btf.Pointer:
		p := &btf.Pointer{}
		c[t] = p
		p.Target = c.copy(t.Target)
		return p
	case *btf.Func:
		f := &btf.Func{Name: t.Name, Type: c.copy(t.Type), Linkage: t.Linkage}
		c[t] = f
		return f
	case *btf.FuncProto:
		f := &btf.FuncProto{Return: c.copy(t.Return)}
		for _, p := range t.Params {
			f.Params = append(f.Params, btf.FuncParam{Name: p.Name, Type: c.copy(p.Type)})
		}
		return f
	case *btf.Typedef:
		d := &btf.Typedef{Name: t.Name}
		c[t] = d
		d.Type = c.copy(t.Type)
		return d
	case *btf.Const:
		return &btf.Const{Type: c.copy(t.Type)}
	case *btf.Volatile:
		return &btf.Volatile{Type: c.copy(t.Type)}
	case *btf.Restrict:
		return &btf.Restrict{Type: c.copy(t.Type)}
	case *btf.TypeTag:
		return &btf.TypeTag{Type: c.copy(t.Type), Value: t.Value}
	case *btf.Array:
		return &btf.Array{Index: c.copy(t.Index), Type: c.copy(t.Type), Nelems: t.Nelems}
	}
	c[t] = t // numbers, enums, declarations
	return t
}

// members are those of a structure of numbers, which a program may fill in. In
// place of others' stands one pointer, so that they are not taken for such.
func (c copier) members(t btf.Type, members []btf.Member) []btf.Member {
	if len(members) > 0 && !plain(t, 4) {
		return []btf.Member{{Name: "opaque", Type: &btf.Pointer{Target: &btf.Void{}}}}
	}
	var all []btf.Member
	for _, m := range members {
		m.Type = c.copy(m.Type)
		all = append(all, m)
	}
	return all
}

// plain reports whether a type is of numbers only.
func plain(t btf.Type, depth int) bool {
	var members []btf.Member
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Int, *btf.Enum, *btf.Float:
		return true
	case *btf.Array:
		return plain(t.Type, depth)
	case *btf.Struct:
		members = t.Members
	case *btf.Union:
		members = t.Members
	default:
		return false
	}
	for _, m := range members {
		if depth == 0 || !plain(m.Type, depth-1) {
			return false
		}
	}
	return true
}
