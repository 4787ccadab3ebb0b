package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/machine"
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
	flags.StringVar(&f.on, "on", "auto", "the `machine`: kernel, user (skep's own), or auto: the kernel where a program is attached and may be, else skep's own")
	flags.StringArrayVar(&f.hooks, "hook", nil, "attach at this `point` in place of the section's, such as xdp:veth0; program=point where there are several; may be repeated")
	flags.DurationVar(&f.duration, "duration", 0, "end after this `time`, such as 10s; 0: with Ctrl-C")
	flags.StringVar(&f.pin, "pin", "", "have programs stay attached in the kernel when skep ends, under this `name`")
	flags.StringVar(&f.replace, "replace", "", "take the place of what stays attached under this `name`, and go on with its maps")
	flags.StringVar(&f.log, "log", "", "write what the kernel's verifier says of the programs to this `file`; -: to standard error")
	_ = cmd.MarkFlagFilename("log")
	_ = cmd.RegisterFlagCompletionFunc("on", cobra.FixedCompletions([]string{"auto", "kernel", "user"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("hook", completeHooks)
	_ = cmd.RegisterFlagCompletionFunc("replace", func(cmd *cobra.Command, _ []string, part string) ([]string, cobra.ShellCompDirective) {
		return completePinned(cmd, nil, part)
	})
}

// completeHooks offers the kinds of hooks that programs can be attached to.
func completeHooks(_ *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	for _, k := range hook.Kinds() {
		if kernel.Attaches(k) || machine.SeesPackets(hook.Point{Kind: k}) {
			name := k.Name
			if k.Wants != "" {
				name += "/\t" + k.Wants
			}
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// check refuses what cannot be meant together. With packets, a capture is given and no
// network.
func (f *attachFlags) check(hasInput, packets bool) error {
	switch f.on {
	case "auto", "kernel", "user":
	default:
		return usagef("--on %s: there is auto, kernel and user", f.on)
	}
	switch {
	case f.duration < 0:
		return usagef("--duration %s: want a time from now on", f.duration)
	case hasInput && !packets && len(f.hooks) > 0:
		return usagef("--hook attaches programs to interfaces that --pcap's packets come by or, without input, in the kernel: leave --data, --ctx and --net away")
	case f.pin != "" && (hasInput || f.on == "user"):
		return usagef("--pin has programs stay attached in the kernel: leave --on user, --pcap, --data, --ctx and --net away")
	case f.pin != "" && f.duration > 0:
		return usagef("--pin has programs stay attached until 'skep stop %s', --duration detaches them: give one or the other", f.pin)
	case f.replace != "" && (hasInput || f.on == "user" || f.pin != "" || f.duration > 0 || len(f.hooks) > 0):
		return usagef("--replace puts programs where those of %s are attached: leave --on user, --hook, --pin, --duration and input away", f.replace)
	case f.log != "" && (hasInput && f.on != "kernel" || f.on == "user"):
		return usagef("--log keeps what the kernel's verifier says: leave --on user and input away; 'skep check --log 2' shows what skep's says")
	}
	return nil
}

// chosen are the points that --hook names.
func (f *attachFlags) chosen(object *objectFlags, spec *ebpf.CollectionSpec) (all []hook.Attachment, err error) {
	for _, h := range f.hooks {
		name, point, named := strings.Cut(h, "=")
		if !named || strings.ContainsAny(name, "/:") { // = is the point's own
			point = h
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
		if p := spec.Programs[name]; !at.Kind.Takes(p.Type) {
			return nil, usagef("--hook %s: program %s is of type %s (section %s), and %s takes programs of type %s", h, name, p.Type, p.SectionName, at.Kind.Name, at.Kind.Prog)
		}
		all = append(all, hook.Attachment{Program: name, Point: at})
		if err := hook.Together(all); err != nil {
			return nil, usagef("--hook %s: %w", h, err)
		}
	}
	return all, nil
}

// plan says which programs are attached where; none where the object runs here. A
// program is attached that is meant by name, or whose section says where.
func (f *attachFlags) plan(object *objectFlags, spec *ebpf.CollectionSpec) ([]hook.Attachment, error) {
	chosen, err := f.chosen(object, spec)
	if err != nil {
		return nil, err
	}
	points := make(map[string][]hook.Point)
	for _, a := range chosen {
		points[a.Program] = append(points[a.Program], a.Point)
	}
	var inMaps, all []hook.Attachment
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		if object.prog != "" && name != object.prog {
			continue
		}
		if points[name] == nil {
			at, err := hook.Of(spec.Programs[name])
			if err != nil || at.Target == "" && !at.Kind.Optional || at.Kind.Name == "syscall" && f.on != "kernel" {
				continue
			}
			if len(f.hooks) > 0 && object.prog == "" && at.Target == "" {
				continue
			}
			points[name] = []hook.Point{at}
		}
		for _, at := range points[name] {
			if a := (hook.Attachment{Program: name, Point: at}); at.Kind.InMap() {
				inMaps = append(inMaps, a)
			} else {
				all = append(all, a)
			}
		}
	}
	all = append(inMaps, all...) // so that what is redirected from the first packet on finds them
	if len(all) == 0 && (f.on == "kernel" || f.pin != "") {
		return nil, usagef("no program's section says where it is attached: say it with --hook, such as --hook xdp:veth0")
	}
	return all, nil
}

// runAttached attaches programs, shows what they send until ctx or the duration ends,
// detaches them, and shows their maps.
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
	opts := machine.Options{Link: link, At: at}
	for _, a := range at {
		opts.Programs = append(opts.Programs, a.Program)
	}
	coll, where, err := f.load(cmd, p, &opts)
	if err != nil {
		return err
	}
	r, err := openResults(cmd, p, f, coll)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	links, err := coll.Attach(at)
	if err != nil {
		return err
	}
	for i, l := range links {
		fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s runs %s, at %s%s\n", at[i].Program, where, l.Point(), instead(l))
	}
	// Nothing that comes now takes a privilege but detaching.
	if k, ok := coll.(*machine.KernelCollection); ok {
		if err := k.DropCapabilities(); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s\n", err)
		}
	}
	if err := r.iterate(links); err != nil {
		return err
	}
	if overAtOnce(at) {
		return errors.Join(r.drain(), r.end())
	}
	return errors.Join(r.stream(ctx), r.end())
}

// instead says behind a point how a program is attached there in another way.
func instead(l machine.Link) string {
	if how := l.Instead(); how != "" {
		return ", " + how
	}
	return ""
}

// load loads programs into the machine that --on names: for auto the kernel, and skep's
// own where the kernel may not be used and programs can run there. where is the machine
// in a sentence, and why it is that one.
func (f *runFlags) load(cmd *cobra.Command, p *program.Program, opts *machine.Options) (c machine.Collection, where string, err error) {
	if f.attach.on == "user" {
		c, err = f.loadUser(p, opts)
		return c, "in skep's own machine, as --on user says", err
	}
	// What is read to load, such as the kernel's types, is in use until then: collecting
	// garbage meanwhile would take time and find little.
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	c, err = withLog(cmd, p, f, func(log io.Writer) (machine.Collection, error) {
		return machine.Kernel(&machine.KernelOptions{Log: log}).Load(p, opts)
	})
	why := machine.MayNot(err)
	if f.attach.on == "kernel" || why == "" {
		return c, "in the kernel", err
	}
	for _, a := range opts.At {
		if none := machine.UserMakes(a.Point); none != nil {
			return nil, "", fmt.Errorf("%w; %w", err, none)
		}
	}
	c, err = f.loadUser(p, opts)
	return c, "in skep's own machine, as " + why, err
}

// loadUser loads programs into skep's own machine, where nothing but what it makes itself
// comes by.
func (f *runFlags) loadUser(p *program.Program, opts *machine.Options) (machine.Collection, error) {
	for _, a := range opts.At {
		if err := machine.UserMakes(a.Point); err != nil {
			return nil, prefix(p.Name, fmt.Errorf("program %s: %w", a.Program, err))
		}
	}
	env, err := f.env(p.Spec)
	if err != nil {
		return nil, err
	}
	return machine.User(f.user(env)).Load(p, opts)
}

// runPinned attaches programs that stay so when skep ends.
func runPinned(cmd *cobra.Command, p *program.Program, f *runFlags, at []hook.Attachment) (err error) {
	name := f.attach.pin
	if err := pins().Check(name, at); err != nil {
		return fmt.Errorf("--pin %s: %w", name, err)
	}
	opts := kernel.Options{At: at}
	if opts.Link, err = f.object.link(); err != nil {
		return err
	}
	for _, a := range at {
		opts.Programs = append(opts.Programs, a.Program)
	}
	coll, err := withLog(cmd, p, f, func(log io.Writer) (*kernel.Collection, error) {
		opts.Log = log
		return kernel.Load(p, &opts)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, coll.Close()) }()
	links, err := coll.Attach(at)
	if err != nil {
		return err
	}
	if err := pins().Pin(name, coll); err != nil {
		return err
	}
	for i, l := range links {
		if how := instead(l); how != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "skep: %s is attached at %s%s\n", at[i].Program, l.Point(), how)
		}
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
	at, err := withLog(cmd, p, f, func(log io.Writer) ([]hook.Attachment, error) {
		return pins().Replace(name, p, &kernel.Options{Link: link, Log: log})
	})
	if err != nil {
		return err
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

// iterate shows what iterators write.
func (r *results) iterate(links []machine.Link) error {
	for _, l := range links {
		if l.Point().Kind.Name != "iter" {
			continue
		}
		list, err := l.Output()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(list)
		if err = errors.Join(err, list.Close()); err != nil {
			return fmt.Errorf("read %s: %w", l.Point(), err)
		}
		if len(text) == 0 {
			continue
		}
		if err := r.out.List(&report.List{At: l.Point().String(), Text: string(text)}); err != nil {
			return err
		}
	}
	return nil
}

// overAtOnce reports whether programs have run when they are attached and their output is
// read, and nothing has them run again.
func overAtOnce(at []hook.Attachment) bool {
	return !slices.ContainsFunc(at, func(a hook.Attachment) bool {
		return a.Point.Kind.Name != "iter" && a.Point.Kind.Name != "syscall"
	})
}
