package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit"
)

func newFeatures() *cobra.Command {
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "features",
		Short: "Say what skep can do on this system, and what is missing for what",
		Long: `Say what skep can do on this system: whether its own machine compiles programs to
machine code, and if not, why; what the running kernel and this process's privileges
allow, and what is missing for what. Small programs are loaded to find out.`,
		Example: `  skep features
  skep features -o json | jq 'select(.has | not)'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := report.Features{Sections: []report.FeatureSection{ownMachine(), running()}}
			return report.NewWriter(cmd.OutOrStdout(), out.form).Features(&f)
		},
	}
	out.register(cmd)
	return cmd
}

// running is what the running kernel has.
func running() report.FeatureSection {
	s := report.FeatureSection{Name: "the kernel"}
	for _, f := range kernel.Probe() {
		s.Features = append(s.Features, report.Feature(f))
	}
	return s
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
		{Name: "helpers", Has: true, Says: fmt.Sprint(len(helper.All()))},
		{Name: "kernel functions", Has: true, Says: fmt.Sprint(len(helper.Kfuncs()))},
	}}
}
