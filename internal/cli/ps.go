package cli

import (
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/report"
)

// pins are the objects that stay attached on this system.
func pins() *kernel.Pins { return kernel.PinsIn(kernel.BPFFS) }

func newPs() *cobra.Command {
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "Show what stays attached in the kernel",
		Long: `Show what 'skep run --pin' has left attached in the kernel: its name, its programs,
where they are attached, since when, and its maps. How often each program ran, and how
long a run takes, is there where the kernel counts it, which costs a little:
sysctl kernel.bpf_stats_enabled=1.`,
		Example: `  sudo skep ps
  sudo skep ps -o json | jq -r .name`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := pins().List()
			if err != nil {
				return err
			}
			var shown []*report.Pinned
			for _, p := range all {
				one := &report.Pinned{Name: p.Name, Since: p.Since, Maps: p.Maps}
				for _, l := range p.Links {
					one.Links = append(one.Links, report.PinnedLink(l))
				}
				shown = append(shown, one)
			}
			return report.NewWriter(cmd.OutOrStdout(), out.form).Pinned(shown)
		},
	}
	out.register(cmd)
	return cmd
}

func newStop() *cobra.Command {
	return &cobra.Command{
		Use:   "stop NAME",
		Short: "Detach and remove what stays attached in the kernel",
		Long: `Detach what 'skep run --pin NAME' has attached, and remove its programs and maps with
all that these hold.`,
		Example:           `  sudo skep stop firewall`,
		Args:              wantArgs(1, 1, "one name, as skep ps shows them"),
		ValidArgsFunction: completePinned,
		RunE:              func(_ *cobra.Command, args []string) error { return pins().Stop(args[0]) },
	}
}

// completePinned offers the names of what is pinned for the first argument.
func completePinned(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		all, _ := pins().List() // none to offer where there is an error
		for _, p := range all {
			names = append(names, p.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
