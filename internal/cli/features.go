package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit"
)

func newFeatures() *cobra.Command {
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "features",
		Short: "Say what skep can do on this system",
		Long: `Say what skep can do on this system: whether its machine compiles programs to
machine code, and if not, why, and what it does instead.`,
		Example: `  skep features
  skep features -o json | jq 'select(.has | not)'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := report.Features{Sections: []report.FeatureSection{ownMachine()}}
			return report.NewWriter(cmd.OutOrStdout(), out.form).Features(&f)
		},
	}
	out.register(cmd)
	return cmd
}

// ownMachine is what the machine in user space has.
func ownMachine() report.FeatureSection {
	code := report.Feature{Name: "machine code", Has: true, Says: runtime.GOARCH}
	if err := jit.Available(); err != nil {
		code.Has, code.Says = false, err.Error()
	}
	return report.FeatureSection{Name: "skep's own machine", Features: []report.Feature{
		code,
		{Name: "interpreter", Has: true},
		{Name: "CPUs", Has: true, Says: fmt.Sprintf("%d; values of per-CPU maps for %d", runtime.NumCPU(), vm.PossibleCPU())},
		{Name: "helpers", Has: true, Says: fmt.Sprintf("%d of %d", len(helper.All()), len(helper.All())+len(helper.Refused))},
		{Name: "kernel functions", Has: true, Says: fmt.Sprint(len(helper.Kfuncs()))},
	}}
}
