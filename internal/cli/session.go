package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// session is programs in skep's own machine that are given something to run on.
type session struct {
	results
	name   string // of the object, for errors
	user   *machine.UserCollection
	at     []hook.Attachment // what --hook says
	prog   *vm.Program       // nil in a network
	net    *network          // nil outside of one
	buffer *bufio.Writer     // under out; nil where lines are written at once
	stderr io.Writer
	where  string // the line that says where and why programs run

	in    vm.Input      // of a single run
	clock time.Duration // since the epoch, where the capture tells the time
}

func newSession(cmd *cobra.Command, p *program.Program, f *runFlags) (*session, error) {
	link, err := f.object.link()
	if err != nil {
		return nil, err
	}
	s := &session{name: p.Name, stderr: cmd.ErrOrStderr()}
	names, err := s.choose(f, p.Spec)
	if err != nil {
		return nil, err
	}
	spec, err := program.Subset(p.Spec, names...)
	if err != nil {
		return nil, prefix(p.Name, err)
	}
	s.writeTo(cmd.OutOrStdout(), f)
	env, err := s.env(p.Spec, f)
	if err != nil {
		return nil, err
	}
	if s.in, err = f.input.read(spec, names[0], &link, env); err != nil {
		return nil, err
	}
	opts := f.user(env)
	if s.net != nil {
		opts.Network = s.net.Network
	}
	if s.coll, err = machine.User(opts).Load(p, &machine.Options{Programs: names, Link: link, At: s.at}); err != nil {
		return nil, err
	}
	s.user = s.coll.(*machine.UserCollection)
	if err := errors.Join(s.connect(names), s.open(p.Spec, f.events)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.where = fmt.Sprintf("skep: %s in skep's own machine: %s\n", theyRun(names), f.why(len(names)))
	return s, nil
}

// writeTo makes the writer of the results. A capture that comes from a file comes
// fast, and then nobody follows line by line.
func (s *session) writeTo(stdout io.Writer, f *runFlags) {
	terminal := isTerminal(stdout)
	if f.pcap != "" && f.pcap != "-" && !terminal {
		s.buffer = bufio.NewWriterSize(stdout, 64<<10)
		stdout = s.buffer
	}
	s.out = report.NewWriter(stdout, f.out.form)
	s.out.Color = terminal
}

// prefix says which object an error is about, and keeps wrong usage what it is.
func prefix(object string, err error) error {
	var usage usageError
	if errors.As(err, &usage) {
		return usageError{fmt.Errorf("%s: %w", object, usage.err)}
	}
	return fmt.Errorf("%s: %w", object, err)
}

// env is what programs find around them: over a capture the time of its packets, and
// what the network says of itself.
func (s *session) env(spec *ebpf.CollectionSpec, f *runFlags) (*exec.Env, error) {
	env, err := f.env(spec)
	if err != nil {
		return nil, err
	}
	if f.pcap != "" {
		env.Now = func() time.Duration { return s.clock }
		env.Wall = func() time.Time { return time.Unix(0, int64(s.clock)) }
	}
	if s.net != nil {
		return s.net.Env(*env), nil
	}
	return env, nil
}

// choose says which programs are wanted: the network's, those that --hook attaches, or the
// one that is meant.
func (s *session) choose(f *runFlags, spec *ebpf.CollectionSpec) (names []string, err error) {
	switch {
	case f.net != "":
		s.net, err = s.openNetwork(f)
		if err != nil {
			return nil, err
		}
		return s.net.cfg.Programs(), nil
	case len(f.attach.hooks) > 0:
		if s.at, err = f.attach.chosen(&f.object, spec); err != nil {
			return nil, prefix(s.name, err)
		}
		for _, a := range s.at {
			names = append(names, a.Program)
		}
		slices.Sort(names)
		names = slices.Compact(names)
		s.net, err = s.hookNetwork(f)
		return names, err
	}
	name, err := f.object.choose(spec)
	if err != nil {
		return nil, prefix(s.name, err)
	}
	return []string{name}, nil
}

// connect puts the programs where they run.
func (s *session) connect(names []string) error {
	switch {
	case len(s.at) > 0:
		_, err := s.coll.Attach(s.at)
		return err
	case s.net != nil:
		return s.net.cfg.Connect(s.net.Network, s.user.Collection)
	}
	s.prog = s.user.Programs[names[0]]
	return nil
}

func (s *session) close() error {
	err := s.results.close()
	if s.buffer != nil {
		err = errors.Join(err, s.buffer.Flush())
	}
	return err
}

// once runs the program on one packet or context.
func (s *session) once(ctx context.Context, f *runFlags) error {
	in := s.in
	in.Repeat = f.repeat
	typ := s.prog.Describe()
	out := vm.Output{Ctx: make([]byte, len(in.Ctx))}
	runErr := s.prog.Exec(ctx, &in, &out)
	if err := s.drain(); err != nil {
		return err
	}
	if runErr != nil {
		return fmt.Errorf("%s: %w", s.name, runErr)
	}
	r := report.Run{
		Program: s.prog.Name(), Return: out.Ret, Verdict: typ.Verdict(out.Ret),
		Repeat: int(f.repeat), Took: out.Took * time.Duration(f.repeat), Data: out.Data,
		Wrote: string(out.Seq),
	}
	for _, e := range out.Effects {
		r.Effects = append(r.Effects, e.String())
	}
	if f.input.changes != nil {
		r.Changes = f.input.changes()
	}
	if err := s.out.Run(&r); err != nil {
		return err
	}
	return s.end()
}
