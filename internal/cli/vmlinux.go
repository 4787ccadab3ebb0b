package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newVmlinux() *cobra.Command {
	var types string
	cmd := &cobra.Command{
		Use:   "vmlinux",
		Short: "Write vmlinux.h: a kernel's types as C declarations",
		Long: `Write the types of the running kernel, or of a BTF file, as C declarations: a vmlinux.h,
in an order that C takes, laid out as in the kernel.

skep needs no such file: what it compiles finds its own.`,
		Example: `  skep vmlinux > vmlinux.h
  skep vmlinux --btf vmlinux-6.1 > vmlinux-6.1.h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := readTypes(types)
			switch {
			case err != nil:
				return err
			case raw == nil && types == "none":
				return usagef("--btf none: want a file")
			case raw == nil:
				return fmt.Errorf("this kernel shows no types, there is no %s: name a file that has some with --btf", hostTypes)
			}
			return writeHeader(cmd.OutOrStdout(), raw)
		},
	}
	cmd.Flags().StringVar(&types, "btf", "", "the types of this BTF or ELF `file`; default: the running kernel's")
	_ = cmd.MarkFlagFilename("btf")
	return cmd
}
