package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// checkFlags are the flags of skep check.
type checkFlags struct {
	object  objectFlags
	out     outputFlag
	kernels []string
	log     int
	lacks   []string
}

func newCheck() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check OBJECT",
		Short: "Say whether Linux takes a program, and if not, why",
		Long: `Verify the programs of an object as Linux's verifier does, without Linux.

A refusal comes with its cause, the source line, the value that was wrong, where it
came from, the path that led there, and what to try; and with the words that Linux's
own log has for it. "unknown" means that skep cannot tell, not that it is unsafe.

With --kernel the rules are those of a version of Linux (5.4 to ` + newestKernel() + `), or of the running
one (host); with several, a table says which takes what. Default: the newest known.`,
		Example: `  skep check prog.bpf.o
  skep check prog.bpf.o --kernel 5.10,6.1,6.12
  skep check prog.bpf.o --prog ingress --log 2
  skep check prog.bpf.o -o json | jq -r 'select(.verdict == "refused").refusal.message'`,
		Args:              objectArg,
		ValidArgsFunction: completeObject,
		RunE:              func(cmd *cobra.Command, args []string) error { return checkObject(cmd, args[0], &f) },
	}
	f.object.register(cmd)
	f.out.register(cmd)
	cmd.Flags().StringSliceVar(&f.kernels, "kernel", nil, "the `versions` of Linux whose rules hold, with commas between; host: the running one's; any: what is safe")
	cmd.Flags().IntVar(&f.log, "log", 0, "`level` 2: show the state at each instruction, in the notation of Linux's log")
	cmd.Flags().StringSliceVar(&f.lacks, "without", nil, "verify for a loader without these `capabilities`: bpf, perfmon, net_admin, sys_admin, all")
	_ = cmd.MarkFlagFilename("btf")
	_ = cmd.RegisterFlagCompletionFunc("kernel", completeKernels)
	return cmd
}

// newestKernel is the newest version that the tables know.
func newestKernel() string {
	all := kernels.All()
	return all[len(all)-1].String()
}

func completeKernels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names := []string{"host", "any"}
	for _, k := range kernels.All() {
		names = append(names, k.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

var capabilities = map[string]kernels.Caps{
	"bpf": kernels.CapBPF, "perfmon": kernels.CapPerfmon, "net_admin": kernels.CapNetAdmin,
	"sys_admin": kernels.CapSysAdmin,
	"all":       kernels.CapBPF | kernels.CapPerfmon | kernels.CapNetAdmin | kernels.CapSysAdmin,
}

func (f *checkFlags) check() (lacks kernels.Caps, err error) {
	if f.log != 0 && f.log != 2 {
		return 0, usagef("--log %d: want 2, or leave it away", f.log)
	}
	if f.log == 2 && len(f.kernels) > 1 {
		return 0, usagef("--log shows one kernel's walk: give one with --kernel")
	}
	if f.log == 2 && f.out.form == report.JSON {
		return 0, usagef("--log is text: leave -o json away")
	}
	for _, k := range f.kernels {
		if k == "host" {
			continue
		}
		if _, err := kernels.Get(k); err != nil {
			return 0, usagef("--kernel: %w", err)
		}
	}
	for _, name := range f.lacks {
		c, ok := capabilities[strings.TrimPrefix(strings.ToLower(name), "cap_")]
		if !ok {
			return 0, usagef("--without %s: want %s", name, strings.Join(slices.Sorted(maps.Keys(capabilities)), ", "))
		}
		lacks |= c
	}
	return lacks, nil
}

func checkObject(cmd *cobra.Command, path string, f *checkFlags) error {
	lacks, err := f.check()
	if err != nil {
		return err
	}
	p, err := f.object.open(path)
	if err != nil {
		return err
	}
	link, err := f.object.link()
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(p.Spec.Programs))
	if f.object.prog != "" {
		if _, err := program.Subset(p.Spec, f.object.prog); err != nil {
			return prefix(p.Name, err)
		}
		names = []string{f.object.prog}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: the object has no programs", p.Name)
	}
	versions := f.kernels
	if len(versions) == 0 {
		versions = []string{newestKernel()}
	}
	opts := verifier.Options{Lacks: lacks, Link: link, KernelTypes: link.KernelTypes}
	if f.log == 2 {
		opts.Log = cmd.OutOrStdout()
	}
	names, untyped := typed(p.Spec, names)
	checks, err := checkAll(p, names, versions, &opts)
	if err != nil {
		return prefix(p.Name, err)
	}
	if slices.Contains(versions, "host") {
		if err := writeUnanswered(cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	if err := writeChecks(cmd.OutOrStdout(), f, versions, checks); err != nil || untyped == nil {
		return err
	}
	return prefix(p.Name, untyped)
}

// writeUnanswered tells what the running kernel was asked in vain.
func writeUnanswered(stderr io.Writer) error {
	host, err := kernels.Host()
	if err != nil {
		return err
	}
	for _, sentence := range host.Unanswered() {
		fmt.Fprintf(stderr, "skep: the running kernel did not answer, Linux %s's table does: %s\n", host.Version(), sentence)
	}
	return nil
}

// typed gives the programs whose type is known, and says of the first other one
// that it is not.
func typed(spec *ebpf.CollectionSpec, names []string) (known []string, untyped error) {
	for _, name := range names {
		if p := spec.Programs[name]; p.Type != ebpf.UnspecifiedProgram {
			known = append(known, name)
		} else if untyped == nil {
			untyped = notRunnable(p)
		}
	}
	return known, untyped
}

// checkAll verifies programs under the rules of kernels, as many at a time as
// there are processors; one at a time where they are logged.
func checkAll(p *program.Program, names, versions []string, opts *verifier.Options) ([]report.Check, error) {
	checks := make([]report.Check, len(names)*len(versions))
	errs := make([]error, len(checks))
	workers := runtime.GOMAXPROCS(0)
	if opts.Log != nil {
		workers = 1
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				checks[i], errs[i] = checkOne(p, names[i/len(versions)], versions[i%len(versions)], *opts)
			}
		})
	}
	for i := range checks {
		next <- i
	}
	close(next)
	wg.Wait()
	return checks, errors.Join(errs...)
}

// checkOne verifies a program under the rules of a kernel. The error is that
// there was nothing to verify.
func checkOne(p *program.Program, name, version string, opts verifier.Options) (report.Check, error) {
	opts.Kernel = version
	c := report.Check{Program: name, Kernel: version}
	kernel, err := kernels.Get(version)
	if err != nil {
		return c, err
	}
	opts.Link.HasKfunc = kernel.HasKfunc
	img, err := program.Link(p.Spec, name, &opts.Link)
	if err != nil {
		return c, err
	}
	c.Insns = len(img.Insns)
	begin := time.Now()
	c.Result, err = verifier.CheckImage(img, p.Spec.Maps, &opts)
	c.Took = time.Since(begin)
	if err != nil && !errors.As(err, &c.Refusal) {
		return c, err
	}
	return c, nil
}

// writeChecks writes the verdicts. Refusals are a failure.
func writeChecks(stdout io.Writer, f *checkFlags, versions []string, checks []report.Check) error {
	w := report.NewWriter(stdout, f.out.form)
	w.Color = isTerminal(stdout)
	if len(versions) > 1 {
		if err := w.Checks(versions, checks); err != nil {
			return err
		}
	} else {
		for i := range checks {
			if err := w.Check(&checks[i]); err != nil {
				return err
			}
		}
	}
	var refused, unknown int
	for i := range checks {
		switch checks[i].Verdict() {
		case "refused":
			refused++
		case "unknown":
			unknown++
		}
	}
	switch {
	case refused > 0:
		return fmt.Errorf("refused: %d of %d", refused, len(checks))
	case unknown > 0:
		return fmt.Errorf("unknown: %d of %d", unknown, len(checks))
	}
	return nil
}
