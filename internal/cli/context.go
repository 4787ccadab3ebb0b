package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// inputFlags say what a single run starts from.
type inputFlags struct {
	data string
	ctx  string

	// changes are what runs changed of the memory that ctx describes; nil: none.
	changes func() []string
}

func (f *inputFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "", "run on one packet: `hex` digits, or @file; for types without packets, the context")
	cmd.Flags().StringVar(&f.ctx, "ctx", "", "the context: a `file` in YAML or JSON that gives it by names, or hex digits as in linux/bpf.h, or @file of such bytes")
}

// read gives what a run of a spec's program starts from. Kernel objects that a file
// describes become the environment's.
func (f *inputFlags) read(spec *ebpf.CollectionSpec, name string, link *program.LinkOptions, env *exec.Env) (in vm.Input, err error) {
	if f.data != "" {
		if in.Data, err = bytesArg("data", f.data); err != nil {
			return in, err
		}
	}
	p := spec.Programs[name]
	typ, err := describe(p)
	if err != nil {
		return in, fmt.Errorf("program %s: %w", name, err)
	}
	report := f.data != "" && strings.HasPrefix(p.AttachTo, "hid_bpf_ops:") // of an input device
	if !typ.TakesData() && f.data != "" && !report {
		if f.ctx != "" {
			return in, usagef("program %s sees no packet: give its context with --ctx alone", name)
		}
		return vm.Input{Ctx: in.Data}, nil
	}
	path, file := contextFile(f.ctx)
	var text []byte
	switch {
	case f.ctx == "" && report:
	case f.ctx == "":
		return in, nil
	case !file:
		in.Ctx, err = bytesArg("ctx", f.ctx)
		return in, err
	default:
		if text, err = os.ReadFile(path); err != nil {
			return in, fmt.Errorf("--ctx: %w", err)
		}
	}
	target := &ctxfile.Target{Type: typ, Own: spec.Types, Data: in.Data, AttachTo: p.AttachTo, Attach: p.AttachType}
	if target.Kernel, err = link.Types(spec); err != nil {
		return in, err
	}
	c, err := ctxfile.Parse(filepath.Base(path), text, target)
	if err != nil {
		return in, err
	}
	in.Ctx, in.Trace, f.changes = c.Ctx, c.Trace, c.Changes
	return in, c.Into(env)
}

// describe tells what is known of a program's type.
func describe(p *ebpf.ProgramSpec) (*progtype.Type, error) {
	if p.Type != ebpf.Extension || len(p.Instructions) == 0 {
		return progtype.ForAttach(p.Type, p.AttachType)
	}
	return progtype.ForFunction(btf.FuncMetadata(&p.Instructions[0]))
}

// contextFile is the file that describes a context by names, if --ctx means one.
func contextFile(arg string) (path string, ok bool) {
	path = strings.TrimPrefix(arg, "@")
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return path, true
	}
	return "", false
}
