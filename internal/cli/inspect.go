package cli

import (
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/inspect"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
)

func newInspect() *cobra.Command {
	var object objectFlags
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "inspect OBJECT",
		Short: "Say what programs could do to the system, before they run",
		Long: `Say what the programs of an object could do if they were run: deny operations, drop or
rewrite packets, send signals, read the memory of processes or of the kernel, and more.
That is told from their instructions, and from what is proved of them: which results
they may have, and what no path reaches.

Shown are also the maps that programs share, and what they take to be run: the oldest
Linux that has all that they use, and capabilities. It needs neither Linux nor privileges.`,
		Example: `  skep inspect firewall.bpf.o
  skep inspect firewall.bpf.o -o json | jq -e 'all(.could[]; .what != "write-user")'`,
		Args:              objectArg,
		ValidArgsFunction: completeObject,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := object.open(args[0])
			if err != nil {
				return err
			}
			all, err := inspected(p, &object)
			if err != nil {
				return prefix(p.Name, err)
			}
			return report.NewWriter(cmd.OutOrStdout(), out.form).Inspected(all)
		},
	}
	object.register(cmd)
	out.register(cmd)
	return cmd
}

// inspected looks at the program that is meant, or at all.
func inspected(p *program.Program, f *objectFlags) ([]*inspect.Program, error) {
	link, err := f.link()
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(p.Spec.Programs))
	if f.prog != "" {
		if _, err := program.Subset(p.Spec, f.prog); err != nil {
			return nil, err
		}
		names = []string{f.prog}
	}
	if len(names) == 0 {
		return nil, errors.New("the object has no programs")
	}
	names, untyped := typed(p.Spec, names)
	if untyped != nil {
		return nil, untyped
	}
	return inspect.Inspect(p.Spec, names, &link)
}
