package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
)

// attachFlags say where programs are attached, and for how long.
type attachFlags struct {
	on       string
	hooks    []string
	duration time.Duration
	pin      string
	replace  string
	log      string
}

func (f *attachFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.on, "on", "auto", "the `machine`: kernel, user (skep's own), or auto: the kernel where a program is attached, skep's own where it is given input")
	flags.StringArrayVar(&f.hooks, "hook", nil, "attach at this `point` in place of the section's, such as xdp:veth0; program=point where there are several; may be repeated")
	flags.DurationVar(&f.duration, "duration", 0, "end after this `time`, such as 10s; 0: with Ctrl-C")
	flags.StringVar(&f.pin, "pin", "", "have programs stay attached in the kernel when skep ends, under this `name`")
	flags.StringVar(&f.replace, "replace", "", "take the place of what stays attached under this `name`, and go on with its maps")
	flags.StringVar(&f.log, "log", "", "write what the kernel's verifier says of the programs to this `file`")
	_ = cmd.MarkFlagFilename("log")
	_ = cmd.RegisterFlagCompletionFunc("on", cobra.FixedCompletions([]string{"auto", "kernel", "user"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("hook", completeHooks)
	_ = cmd.RegisterFlagCompletionFunc("replace", func(cmd *cobra.Command, _ []string, part string) ([]string, cobra.ShellCompDirective) {
		return completePinned(cmd, nil, part)
	})
}

// completeHooks offers the kinds of hooks.
func completeHooks(_ *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	for _, k := range hook.Kinds() {
		names = append(names, k.Name+"/")
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (f *attachFlags) check(hasInput bool) error {
	switch f.on {
	case "auto", "kernel", "user":
	default:
		return usagef("--on %s: there is auto, kernel and user", f.on)
	}
	switch {
	case f.duration < 0:
		return usagef("--duration %s: want a time from now on", f.duration)
	case hasInput && f.on == "kernel":
		return usagef("--on kernel: what programs see there comes from their hooks, not from --pcap, --data, --ctx or --net")
	case hasInput && len(f.hooks) > 0:
		return usagef("--hook attaches programs in the kernel, --pcap, --data, --ctx and --net run them here: give one or the other")
	case f.pin != "" && (hasInput || f.on == "user"):
		return usagef("--pin has programs stay attached in the kernel: leave --on user, --pcap, --data, --ctx and --net away")
	case f.pin != "" && f.duration > 0:
		return usagef("--pin has programs stay attached until 'skep stop %s', --duration detaches them: give one or the other", f.pin)
	case f.replace != "" && (hasInput || f.on == "user" || f.pin != "" || f.duration > 0 || len(f.hooks) > 0):
		return usagef("--replace puts programs where those of %s are attached: leave --on user, --hook, --pin, --duration and input away", f.replace)
	case f.log != "" && (hasInput || f.on == "user"):
		return usagef("--log keeps what the kernel's verifier says: leave --on user and input away; 'skep check --log 2' shows what skep's says")
	case f.log != "" && f.replace != "":
		return usagef("--log goes with a new object, not with --replace")
	case f.on == "user" && len(f.hooks) > 0:
		return usagef("--hook attaches programs in the kernel: leave --on user away")
	}
	return nil
}

// plan says which programs are attached where; none where the object runs here. A
// program is attached that is meant by name, or whose section says where.
func (f *attachFlags) plan(object *objectFlags, spec *ebpf.CollectionSpec) ([]hook.Attachment, error) {
	points := make(map[string]hook.Point)
	for _, h := range f.hooks {
		name, point, named := strings.Cut(h, "=")
		if !named {
			point = h
			var err error
			if name, err = object.choose(spec); err != nil {
				return nil, err
			}
		}
		if spec.Programs[name] == nil {
			return nil, usagef("--hook %s: the object has no program %s; it has %s", h, name, strings.Join(slices.Sorted(maps.Keys(spec.Programs)), ", "))
		}
		at, err := hook.Parse(point)
		if err != nil {
			return nil, usageError{err}
		}
		points[name] = at
	}
	var all []hook.Attachment
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		if object.prog != "" && name != object.prog {
			continue
		}
		at, chosen := points[name]
		if !chosen {
			var err error
			if at, err = hook.Of(spec.Programs[name]); err != nil || at.Target == "" && !at.Kind.Optional || at.Kind.Name == "syscall" {
				continue
			}
			if len(f.hooks) > 0 && object.prog == "" && at.Target == "" {
				continue
			}
		}
		all = append(all, hook.Attachment{Program: name, Point: at})
	}
	if len(all) == 0 && (f.on == "kernel" || f.pin != "") {
		return nil, usagef("no program's section says where it is attached: say it with --hook, such as --hook xdp:veth0")
	}
	return all, nil
}

// attached is an object that runs in the kernel.
type attached struct {
	coll   *kernel.Collection
	out    *report.Writer
	mu     sync.Mutex // of out
	types  map[string][]sizedType
	events []*kernel.Events
	names  []string // of the maps that events come from
}

// runAttached attaches programs in the kernel, shows what they send until ctx or the
// duration ends, detaches them, and shows their maps.
func runAttached(cmd *cobra.Command, p *program.Program, f *runFlags, at []hook.Attachment) (err error) {
	ctx := cmd.Context()
	if f.attach.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.attach.duration)
		defer cancel()
	}
	link, err := f.object.link()
	if err != nil {
		return err
	}
	if name := f.attach.pin; name != "" {
		if err := pins().Check(name, at); err != nil {
			return fmt.Errorf("--pin %s: %w", name, err)
		}
	}
	opts := kernel.Options{Link: link, At: at}
	for _, a := range at {
		opts.Programs = append(opts.Programs, a.Program)
	}
	coll, err := loadKernel(cmd, p, f, &opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, coll.Close()) }()
	if f.attach.pin != "" {
		return pinAttached(cmd, coll, f.attach.pin, at)
	}
	a := &attached{coll: coll, out: report.NewWriter(cmd.OutOrStdout(), f.out.form)}
	a.out.Color = isTerminal(cmd.OutOrStdout())
	defer func() { err = errors.Join(err, a.close()) }()
	if err := a.open(p, f.events); err != nil {
		return err
	}
	links, err := coll.Attach(at)
	if err != nil {
		return err
	}
	for _, l := range at {
		fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s runs in the kernel, at %s\n", l.Program, l.Point)
	}
	if err := a.iterate(links); err != nil {
		return err
	}
	if onlyIterators(at) {
		return a.maps()
	}
	return errors.Join(a.stream(ctx), a.lost(), a.maps())
}

// pinAttached attaches programs that stay so when skep ends.
func pinAttached(cmd *cobra.Command, coll *kernel.Collection, name string, at []hook.Attachment) error {
	if _, err := coll.Attach(at); err != nil {
		return err
	}
	if err := pins().Pin(name, coll); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s stays in the kernel, with %s: 'skep ps' shows it, 'skep stop %s' ends it\n", name, places(at), name)
	return nil
}

// replaceAttached puts an object in the place of one that stays attached.
func replaceAttached(cmd *cobra.Command, p *program.Program, f *runFlags) error {
	link, err := f.object.link()
	if err != nil {
		return err
	}
	name := f.attach.replace
	at, err := pins().Replace(name, p, link)
	if err != nil {
		return showRefusal(cmd, p, f.out.form, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s goes on with %s\n", name, places(at))
	return nil
}

// places says which programs are attached where.
func places(at []hook.Attachment) string {
	var where []string
	for _, a := range at {
		where = append(where, fmt.Sprintf("%s at %s", a.Program, a.Point))
	}
	return strings.Join(where, ", ")
}

// open begins to read every map that carries events. forced are the types that the user
// names, as map=type.
func (a *attached) open(p *program.Program, forced []string) error {
	a.types = make(map[string][]sizedType)
	guesses := pointedTypes(p.Spec)
	for _, name := range slices.Sorted(maps.Keys(a.coll.Maps)) {
		e, err := a.coll.Events(name)
		if errors.Is(err, kernel.ErrNoEvents) {
			continue
		}
		if err != nil {
			return err
		}
		a.events, a.names = append(a.events, e), append(a.names, name)
		a.types[name] = guesses
		if t, ok := withSize(a.coll.Spec.Maps[name].Value); ok {
			a.types[name] = []sizedType{t}
		}
	}
	for _, s := range forced {
		name, typ, err := forcedType(p.Spec, s)
		if err != nil {
			return err
		}
		if a.types[name] == nil {
			return usagef("--event %s: the program sends nothing through a map %s; it does through %s", s, name, strings.Join(a.names, ", "))
		}
		a.types[name] = []sizedType{typ}
	}
	return nil
}

// stream shows what the programs send until ctx ends, detaches them, and shows what they
// had still sent.
func (a *attached) stream(ctx context.Context) error {
	reading, done := context.WithCancel(context.WithoutCancel(ctx))
	var readers sync.WaitGroup
	errs := make([]error, len(a.events))
	for i, e := range a.events {
		readers.Go(func() { errs[i] = a.read(reading, a.names[i], e) })
	}
	<-ctx.Done()
	err := a.coll.Detach()
	done()
	readers.Wait()
	return errors.Join(append(errs, err)...)
}

// read shows what comes through one map.
func (a *attached) read(ctx context.Context, name string, e *kernel.Events) error {
	var r kernel.Record
	perf := a.coll.Maps[name].Type() == ebpf.PerfEventArray
	for {
		if err := e.Read(ctx, &r); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		ev := report.Event{Map: name, CPU: r.CPU, Value: report.Value{Data: r.Data}}
		ev.Value.Type = typeAmong(a.types[name], len(r.Data), perf)
		a.mu.Lock()
		err := a.out.Event(&ev)
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// iterate shows what iterators write.
func (a *attached) iterate(links []*kernel.Link) error {
	for _, l := range links {
		if l.Point().Kind.Name != "iter" {
			continue
		}
		r, err := l.Output()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("read %s: %w", l.Point(), err)
		}
		if err := a.out.Run(&report.Run{Program: l.Point().String(), Wrote: string(text)}); err != nil {
			return err
		}
	}
	return nil
}

func onlyIterators(at []hook.Attachment) bool {
	return !slices.ContainsFunc(at, func(a hook.Attachment) bool { return a.Point.Kind.Name != "iter" })
}

// lost says how many events found no room.
func (a *attached) lost() error {
	for i, e := range a.events {
		if n := e.Lost(); n > 0 {
			if err := a.out.Lost(&report.Lost{Map: a.names[i], Count: n}); err != nil {
				return err
			}
		}
	}
	return nil
}

// close ends reading.
func (a *attached) close() error {
	var errs []error
	for _, e := range a.events {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}

// maps shows the maps, but for constants.
func (a *attached) maps() error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.coll.Maps)) {
		spec := a.coll.Spec.Maps[name]
		if err := showMap(a.out, a.coll.Maps[name], name, spec.Key, spec.Value, cpus); err != nil {
			return err
		}
	}
	return nil
}
