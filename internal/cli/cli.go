// Package cli is skep's command line: one file a verb, wiring only.
//
// Every verb ends with exit code 0, with 1 for a failure, whose cause is one
// sentence on standard error, or with 2 for wrong usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/report"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is an error in how skep was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs skep with arguments and gives its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// The first signal ends the verb in good order, the second kills it.
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "skep: %s\n", err)
	var usage usageError
	if errors.As(err, &usage) || isCobraUsage(err) {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// endings are the signals that ask skep to end: by Ctrl-C, by a service manager, and by a
// terminal that is closed, unless it was started to outlive that (nohup).
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// isCobraUsage recognises the one usage error that cobra gives no hook for.
func isCobraUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ")
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "skep",
		Short: "Run eBPF programs anywhere",
		Long: `Skep runs eBPF programs: attached in the kernel, or in a machine of its own, on
packets from a capture or a context of your making, without a kernel, without root, on
any operating system.`,
		Example: `  sudo skep run opens.bpf.c
  skep run firewall.bpf.o --pcap traffic.pcap
  skep check firewall.bpf.o --kernel 5.10,7.2
  skep inspect firewall.bpf.o`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newBuild(), newVmlinux(), newCheck(), newDump(), newInspect(), newBench(), newFeatures(), newPs(), newStop(), newMap())
	tellPrivileges(root)
	return root
}

// version is what the build recorded of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

// objectArg takes exactly one argument, the object file or its source, and flags for
// clang behind two dashes.
func objectArg(cmd *cobra.Command, args []string) error {
	args, flags := beforeDash(cmd, args)
	if len(args) != 1 {
		return usagef("want one object file, such as firewall.bpf.o, or its C source; %d arguments were given", len(args))
	}
	if len(flags) > 0 && !isSource(args[0]) {
		return usagef("%s is no C source: what stands behind -- is for clang", args[0])
	}
	return nil
}

// outputFlag is -o: the form of the output.
type outputFlag struct{ form report.Form }

func (f *outputFlag) String() string {
	if f.form == report.JSON {
		return "json"
	}
	return "text"
}

// Set implements pflag.Value.
func (f *outputFlag) Set(s string) (err error) {
	f.form, err = report.ParseForm(s)
	return err
}

// Type implements pflag.Value.
func (*outputFlag) Type() string { return "form" }

func (f *outputFlag) register(cmd *cobra.Command) {
	cmd.Flags().VarP(f, "output", "o", "`form` of the output: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// completeObject offers object files and sources for the first argument.
func completeObject(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"o", "c"}, cobra.ShellCompDirectiveFilterFileExt
}

// isTerminal reports whether w is a terminal, and so a person reads along.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
