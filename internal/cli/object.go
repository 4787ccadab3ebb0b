package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// objectFlags say which program of an object is meant, and with what it is
// linked.
type objectFlags struct {
	prog string
	typ  string
	set  []string
	btf  string
	cmd  *cobra.Command // the verb
}

func (f *objectFlags) register(cmd *cobra.Command) {
	f.cmd = cmd
	cmd.Flags().StringVar(&f.prog, "prog", "", "the program of this `name`, where the object has several")
	cmd.Flags().StringVar(&f.typ, "type", "", "the programs' `type`, where the names of their sections do not tell it: xdp, tc, kprobe ...")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set a parameter (const volatile variable): `name=value`; may be repeated")
	cmd.Flags().StringVar(&f.btf, "btf", "", "kernel types for CO-RE relocations: a BTF `file`, or none; default: the running kernel's")
}

// open reads the object, or compiles it from C, and sets its parameters.
func (f *objectFlags) open(path string) (p *program.Program, err error) {
	if isSource(path) {
		p, err = openSource(f.cmd, path, f.btf)
	} else {
		p, err = program.Open(path)
	}
	if err != nil {
		return nil, err
	}
	aimed(p.Spec)
	if err := f.setType(p.Spec); err != nil {
		return nil, err
	}
	for _, s := range f.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usagef("--set %s: want name=value", s)
		}
		if err := p.Set(name, value); err != nil {
			return nil, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	return p, nil
}

// aimed gives programs the types of their sections that are skep's own.
func aimed(spec *ebpf.CollectionSpec) {
	for _, p := range spec.Programs {
		if p.Type != ebpf.UnspecifiedProgram {
			continue
		}
		if at, err := hook.Of(p); err == nil {
			at.Aim(p)
		}
	}
}

// setType gives programs that have no type the one that --type names.
func (f *objectFlags) setType(spec *ebpf.CollectionSpec) error {
	if f.typ == "" {
		return nil
	}
	typ, ok := typeNamed(f.typ)
	if !ok {
		return usagef("--type %s: there is no such program type; types are named as in sections (xdp, tc, kprobe, cgroup_skb/ingress) or by cilium/ebpf (XDP, SchedCLS)", f.typ)
	}
	for _, p := range spec.Programs {
		if p.Type == ebpf.UnspecifiedProgram {
			p.Type = typ
		}
	}
	return nil
}

// typeNamed finds a program type by the name that sections or cilium/ebpf give it.
func typeNamed(name string) (ebpf.ProgramType, bool) {
	for t := ebpf.SocketFilter; t <= ebpf.Netfilter; t++ {
		typ, err := progtype.Get(t)
		if strings.EqualFold(t.String(), name) || err == nil && typ.Name == name {
			return t, true
		}
	}
	return ebpf.UnspecifiedProgram, false
}

// link gives what the flags say of linking.
func (f *objectFlags) link() (program.LinkOptions, error) {
	switch f.btf {
	case "":
		return program.LinkOptions{}, nil
	case "none":
		return program.LinkOptions{NoHostTypes: true}, nil
	}
	spec, err := btf.LoadSpec(f.btf)
	if err != nil {
		return program.LinkOptions{}, fmt.Errorf("--btf %s: %w", f.btf, err)
	}
	return program.LinkOptions{KernelTypes: spec}, nil
}

// choose finds the program that is meant: the one that --prog names, or the
// only one that can be a beginning, which one that stands in a program array
// is not.
func (f *objectFlags) choose(spec *ebpf.CollectionSpec) (string, error) {
	if f.prog != "" {
		_, err := program.Subset(spec, f.prog) // says what there is instead
		return f.prog, err
	}
	inArrays := make(map[string]bool)
	for _, m := range spec.Maps {
		for _, kv := range m.Contents {
			if name, ok := kv.Value.(string); ok && m.Type == ebpf.ProgramArray {
				inArrays[name] = true
			}
		}
	}
	var all, runnable []string
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		if inArrays[name] {
			continue
		}
		all = append(all, name)
		if _, err := describe(spec.Programs[name]); err == nil {
			runnable = append(runnable, name)
		}
	}
	switch {
	case len(runnable) == 1:
		return runnable[0], nil
	case len(runnable) > 1:
		return "", usagef("the object has several programs (%s): choose one with --prog", strings.Join(runnable, ", "))
	case len(all) > 0:
		return "", notRunnable(spec.Programs[all[0]])
	}
	return "", errors.New(`the object has no programs: a program is a function in a section of its own, such as SEC("xdp")`)
}

// notRunnable says why a program does not run.
func notRunnable(p *ebpf.ProgramSpec) error {
	if p.Type == ebpf.UnspecifiedProgram {
		return fmt.Errorf(`program %s: its section %q tells no program type: name it after one, such as SEC("xdp"), or say it with --type%s`, p.Name, p.SectionName, hook.Near(p.SectionName))
	}
	_, err := describe(p)
	return fmt.Errorf("program %s: %w", p.Name, err)
}

// internal reports whether a map holds nothing that its program came to know: constants, and
// where a static probe has its arguments.
func internal(name string) bool {
	return strings.HasPrefix(name, ".rodata") || strings.HasPrefix(name, ".kconfig") || strings.HasPrefix(name, "__bpf_usdt_")
}
