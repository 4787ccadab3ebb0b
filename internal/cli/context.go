package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// input reads what a single run starts from. Kernel objects that a file describes
// become the environment's.
func (s *session) input(f *runFlags, spec *ebpf.CollectionSpec, name string, link *program.LinkOptions, env *exec.Env) error {
	var err error
	if f.data != "" {
		if s.in.Data, err = bytesArg("data", f.data); err != nil {
			return err
		}
	}
	path, file := contextFile(f.ctx)
	switch {
	case f.ctx == "":
		return nil
	case !file:
		s.in.Ctx, err = bytesArg("ctx", f.ctx)
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--ctx: %w", err)
	}
	target := &ctxfile.Target{Own: spec.Types, Data: s.in.Data}
	p := spec.Programs[name]
	if target.Type, err = describe(p); err != nil {
		return fmt.Errorf("program %s: %w", name, err)
	}
	target.AttachTo, target.Attach = p.AttachTo, p.AttachType
	if target.Kernel, err = link.Types(spec); err != nil {
		return err
	}
	c, err := ctxfile.Parse(filepath.Base(path), text, target)
	if err != nil {
		return err
	}
	s.in.Ctx = c.Ctx
	return c.Into(env)
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
