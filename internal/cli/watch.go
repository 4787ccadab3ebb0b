package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/report"
)

func newMapWatch() *cobra.Command {
	var out outputFlag
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "watch NAME/MAP",
		Short: "Show what changes in a map, as it comes",
		Long: `Show what a map holds, and then what changes in it until Ctrl-C: the parts of values that
are others than before, and numbers with their difference. Numbers of several CPUs are
added up. The map is looked at each --interval; what changes twice between is seen once.`,
		Example: `  sudo skep map watch firewall/verdicts
  sudo skep map watch firewall/verdicts --interval 100ms -o json | jq .difference`,
		Args:              wantArgs(1, 1, "one map, as NAME/MAP"),
		ValidArgsFunction: completePinnedMap,
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval <= 0 {
				return usagef("--interval %s: want a time between two looks, such as 1s", interval)
			}
			return withMap(args[0], func(m *kernel.PinnedMap) error {
				return watchMap(cmd.Context(), cmd.OutOrStdout(), out.form, m, interval)
			})
		},
	}
	out.register(cmd)
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "look at the map this often, such as 100ms")
	return cmd
}

// watchMap shows a map, and then its changes until ctx ends.
func watchMap(ctx context.Context, stdout io.Writer, form report.Form, m *kernel.PinnedMap, interval time.Duration) error {
	w := report.NewWriter(stdout, form)
	before, err := look(m)
	if err != nil {
		return err
	}
	if err := w.Map(before); err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := look(m)
		if err != nil {
			return err
		}
		for _, c := range now.Changes(before, time.Now()) {
			if err := w.MapChange(c); err != nil {
				return err
			}
		}
		before = now
	}
}

// look reads what a pinned map holds.
func look(m *kernel.PinnedMap) (*report.Map, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	shown, err := readMap(m, m.Name, keyType(m), valueType(m), cpus)
	if err != nil {
		return nil, err
	}
	if shown == nil {
		return nil, fmt.Errorf("it is a %s, which has no entries to show", m.Type())
	}
	shown.Note = m.Note
	return shown, nil
}
