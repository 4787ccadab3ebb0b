package cli

import (
	"maps"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/jit/disasm"
)

func newDump() *cobra.Command {
	var (
		object objectFlags
		out    outputFlag
		facts  bool
		jit    bool
		arch   string
	)
	cmd := &cobra.Command{
		Use:   "dump OBJECT",
		Short: "Show what is in an object: programs, maps, types, instructions with their source",
		Long: `Show what is in an object: its programs and maps, the types of keys, values and
parameters, and each program's instructions below the source lines that they come
from. The instructions are linked: relocations are applied, functions called are
behind the program.`,
		Example: `  skep dump firewall.bpf.o
  skep dump firewall.bpf.o --prog firewall
  skep dump firewall.bpf.o --prog firewall --facts
  skep dump firewall.bpf.o --prog firewall --jit
  skep dump firewall.bpf.o --prog firewall --jit --arch arm64
  skep dump firewall.bpf.o -o json | jq .programs`,
		Args:              objectArg,
		ValidArgsFunction: completeObject,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := object.open(args[0])
			if err != nil {
				return err
			}
			l, err := listing(p, &object)
			if err != nil {
				return prefix(p.Name, err)
			}
			if facts {
				if err := prove(l, p, &object); err != nil {
					return prefix(p.Name, err)
				}
			}
			if jit {
				if err := compile(l, p, &object, arch); err != nil {
					return prefix(p.Name, err)
				}
			}
			return report.NewWriter(cmd.OutOrStdout(), out.form).Listing(l)
		},
	}
	object.register(cmd)
	out.register(cmd)
	cmd.Flags().BoolVar(&facts, "facts", false, "verify the programs, and show what was proved of each instruction")
	cmd.Flags().BoolVar(&jit, "jit", false, "compile the programs, and show the machine code of each instruction")
	cmd.Flags().StringVar(&arch, "arch", runtime.GOARCH, "the processor that --jit compiles for: amd64 or arm64")
	_ = cmd.RegisterFlagCompletionFunc("arch", cobra.FixedCompletions([]string{"amd64", "arm64"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// compile adds what the listed programs become for a processor. Their maps are made,
// as code holds addresses.
func compile(l *report.Listing, p *program.Program, f *objectFlags, arch string) error {
	link, err := f.link()
	if err != nil {
		return err
	}
	var names []string
	for _, img := range l.Programs {
		names = append(names, img.Name)
	}
	spec, err := program.Subset(p.Spec, names...)
	if err != nil {
		return err
	}
	coll, err := vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Link: link, Mode: engine.Fast}})
	if err != nil {
		return err
	}
	defer coll.Close()
	for _, name := range names {
		code, err := coll.Programs[name].Assemble(arch)
		if err != nil {
			return err
		}
		lines, err := disasm.Lines(code, arch)
		if err != nil {
			return err
		}
		m := &report.MachineCode{Arch: arch, Bytes: len(code.Bytes), Of: make(map[int][]report.MachineInsn)}
		for _, i := range lines {
			m.Of[i.At] = append(m.Of[i.At], report.MachineInsn{Offset: i.Offset, Bytes: i.Bytes, Text: i.Text})
		}
		l.Code = append(l.Code, m)
	}
	return nil
}

// prove verifies the listed programs and adds what was proved of them.
func prove(l *report.Listing, p *program.Program, f *objectFlags) error {
	link, err := f.link()
	if err != nil {
		return err
	}
	for _, img := range l.Programs {
		res, err := verifier.CheckImage(img, p.Spec.Maps, &verifier.Options{KernelTypes: link.KernelTypes, Numbers: true})
		if err != nil {
			return err
		}
		l.Facts = append(l.Facts, res.Facts)
	}
	return nil
}

// listing links every program that is wanted, and gathers what they use.
func listing(p *program.Program, f *objectFlags) (*report.Listing, error) {
	link, err := f.link()
	if err != nil {
		return nil, err
	}
	spec, names := p.Spec, slices.Sorted(maps.Keys(p.Spec.Programs))
	if f.prog != "" {
		if spec, err = program.Subset(p.Spec, f.prog); err != nil {
			return nil, err
		}
		names = []string{f.prog}
	}
	link.HasKfunc = kernels.Any().HasKfunc
	l := &report.Listing{Name: p.Name, License: license(p.Spec)}
	for _, name := range names {
		img, err := program.Link(p.Spec, name, &link)
		if err != nil {
			return nil, err
		}
		l.Programs = append(l.Programs, img)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		l.Maps = append(l.Maps, spec.Maps[name])
	}
	l.Types = mapTypes(l.Maps)
	return l, nil
}

// license is the programs' licence; an object has one.
func license(spec *ebpf.CollectionSpec) string {
	for _, p := range spec.Programs {
		return p.License
	}
	return ""
}

// mapTypes are the named types of maps' keys and values, each once.
func mapTypes(specs []*ebpf.MapSpec) []btf.Type {
	var types []btf.Type
	seen := make(map[string]bool)
	for _, m := range specs {
		for _, t := range []btf.Type{m.Key, m.Value} {
			if t == nil {
				continue
			}
			switch t := btf.UnderlyingType(t).(type) {
			case *btf.Struct, *btf.Union, *btf.Enum:
				if name := t.TypeName(); name != "" && !seen[name] {
					seen[name] = true
					types = append(types, t)
				}
			}
		}
	}
	return types
}
