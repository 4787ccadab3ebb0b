package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm/exec"
)

// testRun runs one program in the kernel on a packet or context of the user's, which is
// nobody's else (BPF_PROG_TEST_RUN).
func testRun(cmd *cobra.Command, p *program.Program, f *runFlags) (err error) {
	name, err := f.object.choose(p.Spec)
	if err != nil {
		return prefix(p.Name, err)
	}
	link, err := f.object.link()
	if err != nil {
		return err
	}
	var env exec.Env
	in, err := f.input.read(p.Spec, name, &link, &env)
	if err != nil {
		return err
	}
	if env.Objects != nil {
		return usagef("--ctx %s describes the kernel's memory, and a running kernel has its own: leave --on kernel away", f.input.ctx)
	}
	coll, where, err := f.load(cmd, p, &machine.Options{Programs: []string{name}, Link: link})
	if err != nil {
		return err
	}
	r, err := openResults(cmd, p, f, coll)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s runs %s, as --on kernel says\n", name, where)
	run := ebpf.RunOptions{Data: in.Data, Repeat: f.repeat}
	if len(in.Data) > 0 {
		run.DataOut = make([]byte, exec.MaxPacket)
	}
	if len(in.Ctx) > 0 {
		run.Context = in.Ctx
	}
	began := time.Now()
	ret, err := coll.Run(name, &run)
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("%s: program %s: %w", p.Name, name, err)
	}
	typ, err := describe(coll.Spec().Programs[name])
	if err != nil {
		return prefix(p.Name, err)
	}
	shown := report.Run{Program: name, Return: ret, Verdict: typ.Verdict(ret), Repeat: int(f.repeat), Took: took, Data: run.DataOut}
	if err := errors.Join(r.drain(), r.out.Run(&shown)); err != nil {
		return err
	}
	return r.end()
}
