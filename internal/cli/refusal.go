package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// withLog gives what load gives, which loads an object into the kernel with what --log names,
// or nil, as its log. It shows why where the kernel refuses a program.
func withLog[T any](cmd *cobra.Command, p *program.Program, f *runFlags, load func(log io.Writer) (T, error)) (loaded T, err error) {
	var log io.Writer
	switch f.attach.log {
	case "":
	case "-":
		log = cmd.ErrOrStderr()
	default:
		file, createErr := os.Create(f.attach.log)
		if createErr != nil {
			return loaded, fmt.Errorf("--log: %w", createErr)
		}
		defer func() { err = errors.Join(err, sayLog(cmd, file)) }()
		log = file
	}
	loaded, err = unlessEnded(cmd.Context(), func() (T, error) { return load(log) })
	return loaded, showRefusal(cmd, p, f.out.form, err)
}

// unlessEnded gives what load gives, or an error when ctx ends before. Linux's verifier cannot
// be told to end then, and does when the process ends.
func unlessEnded[T any](ctx context.Context, load func() (T, error)) (loaded T, err error) {
	type result struct {
		loaded T
		err    error
	}
	done := make(chan result, 1)
	go func() {
		loaded, err := load()
		done <- result{loaded, err}
	}()
	select {
	case r := <-done:
		return r.loaded, r.err
	case <-ctx.Done():
		return loaded, fmt.Errorf("loading ended early: %w", context.Cause(ctx))
	}
}

// sayLog says where the kernel's log is, and how long.
func sayLog(cmd *cobra.Command, file *os.File) error {
	info, err := file.Stat()
	if err == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "skep: the log of the kernel's verifier is in %s (%d KiB)\n", file.Name(), (info.Size()+1023)>>10)
	}
	return errors.Join(err, file.Close())
}

// showRefusal shows why the kernel refused a program, as skep check does, and gives what
// remains to be said. Another error stays as it is.
func showRefusal(cmd *cobra.Command, p *program.Program, form report.Form, err error) error {
	var refusal *verifier.Error
	if !errors.As(err, &refusal) {
		return err
	}
	out := cmd.ErrOrStderr()
	if form == report.JSON {
		out = cmd.OutOrStdout()
	}
	check := report.Check{Program: refusal.Program, Kernel: "host", Refusal: refusal}
	if host, err := kernels.Host(); err == nil {
		check.Kernel = host.Version().String()
	}
	if spec := p.Spec.Programs[refusal.Program]; spec != nil {
		check.Insns = int(spec.Instructions.Size() / isa.Size)
	}
	w := report.NewWriter(out, form)
	w.Color = isTerminal(out)
	if err := w.Check(&check); err != nil {
		return err
	}
	return fmt.Errorf("%s: Linux %s refuses program %s", p.Name, check.Kernel, refusal.Program)
}
