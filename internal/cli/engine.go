package cli

import (
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/vm/engine"
)

// engineFlag is --engine: what runs programs in skep's own machine.
type engineFlag struct{ mode engine.Mode }

func (f *engineFlag) String() string { return f.mode.String() }

// Set implements pflag.Value.
func (f *engineFlag) Set(s string) (err error) {
	f.mode, err = engine.ParseMode(s)
	return err
}

// Type implements pflag.Value.
func (*engineFlag) Type() string { return "engine" }

func (f *engineFlag) register(cmd *cobra.Command) {
	cmd.Flags().Var(f, "engine", "what runs the program: jit (machine code), fast or checked (the interpreter, which in checked tests every access), auto")
	_ = cmd.RegisterFlagCompletionFunc("engine", cobra.FixedCompletions([]string{"auto", "jit", "fast", "checked"}, cobra.ShellCompDirectiveNoFileComp))
}
