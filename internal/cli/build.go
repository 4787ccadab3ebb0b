package cli

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/program/clang"
)

// buildFlags are the flags of skep build.
type buildFlags struct {
	out  string
	arch string
	btf  string
}

func newBuild() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build SOURCE...",
		Short: "Compile C sources into objects, with an installed clang",
		Long: `Compile C sources into objects: prog.bpf.c into prog.bpf.o beside it, or where -o says.

It needs clang 12 or newer, and nothing else: bpf/bpf_helpers.h, bpf_tracing.h,
bpf_core_read.h, bpf_endian.h and usdt.bpf.h come with skep, and vmlinux.h is written
from the running kernel's types, or those of --btf. Headers of your own come first.

clang is $CLANG, or the newest clang or clang-NN in $PATH. What stands behind two dashes
is for it: -- -I include -DDEBUG.

run, check, dump and all else that takes an object take its source as well.`,
		Example: `  skep build prog.bpf.c
  skep build prog.bpf.c -o out/prog.bpf.o -- -DDEBUG
  skep build prog.bpf.c --arch arm64 --btf vmlinux-arm64
  sudo skep run prog.bpf.c`,
		Args: func(cmd *cobra.Command, args []string) error {
			sources, _ := beforeDash(cmd, args)
			return f.check(sources)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"c"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, flags := beforeDash(cmd, args)
			return build(cmd, sources, flags, &f)
		},
	}
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "write the object to this `file`, where there is one source")
	cmd.Flags().StringVar(&f.arch, "arch", runtime.GOARCH, "the `processor` whose registers the sources ask for: "+strings.Join(clang.Archs(), ", "))
	cmd.Flags().StringVar(&f.btf, "btf", "", "kernel types for vmlinux.h: a BTF `file`, or none; default: the running kernel's")
	_ = cmd.MarkFlagFilename("output", "o")
	_ = cmd.MarkFlagFilename("btf")
	_ = cmd.RegisterFlagCompletionFunc("arch", cobra.FixedCompletions(clang.Archs(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *buildFlags) check(sources []string) error {
	other := slices.IndexFunc(sources, func(path string) bool { return !isSource(path) })
	switch {
	case len(sources) == 0:
		return usagef("want C sources, such as firewall.bpf.c")
	case other >= 0:
		return usagef("%s is no C source: want a name that ends in .c", sources[other])
	case f.out != "" && len(sources) > 1:
		return usagef("-o names one object, and there are %d sources", len(sources))
	case !slices.Contains(clang.Archs(), f.arch):
		return usagef("--arch %s: want %s", f.arch, strings.Join(clang.Archs(), ", "))
	}
	return nil
}

func build(cmd *cobra.Command, sources, flags []string, f *buildFlags) error {
	o, err := compileOptions(f.btf, flags)
	if err != nil {
		return err
	}
	o.Arch = f.arch
	for _, source := range sources {
		done := waiting(cmd.ErrOrStderr(), "compiling "+source)
		object, err := clang.Compile(cmd.Context(), source, o)
		done()
		if err := showDiagnostics(cmd.ErrOrStderr(), object, err); err != nil {
			return err
		}
		to := f.out
		if to == "" {
			to = strings.TrimSuffix(source, ".c") + ".o"
		}
		if err := os.WriteFile(to, object.Bytes, 0o644); err != nil {
			return err
		}
	}
	return nil
}
