package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/world"
)

// runFlags are the flags of skep run.
type runFlags struct {
	object  objectFlags
	input   inputFlags
	out     outputFlag
	pcap    string
	net     string
	write   string
	world   string
	repeat  uint32
	count   uint64
	verbose bool
	events  []string
	budget  int64
	seed    uint64
	engine  engineFlag
	attach  attachFlags
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run OBJECT",
		Short: "Run programs: attached in the kernel, or here, on packets and contexts of your own",
		Long: `Run programs of an eBPF object.

Where sections or --hook say where they are attached, they run in the kernel: skep loads
and attaches them, shows what they send, and detaches them with Ctrl-C or after
--duration, and then shows their maps. It leaves nothing behind, but with --pin NAME: they
stay attached then until 'skep stop NAME', or another object takes their place with
--replace NAME.

With input of your own a program runs in skep's own machine: no kernel, no root.

With --pcap it sees every packet of a capture, and its clock is the capture's, so
that the same capture gives the same result. Shown are each packet's verdict (-v),
what the program prints and sends while it runs, then the verdicts in total and
the program's maps.

With --hook as well it is attached to an interface at which the packets arrive, and
what becomes of them there is shown.

With --net several programs of the object run in a virtual network, which sends
packets from one to the next; --out is a pattern then: out-%i-%d.pcap, where %i is
the interface and %d rx or tx.

With --data or --ctx it runs on one packet or context, with --repeat many times,
and the time of a run is shown; with --on kernel in the kernel, away from its hooks.

With --world it finds the processes, sockets, cgroups and routes that a file
describes.`,
		Example: `  sudo skep run opens.bpf.o
  sudo skep run firewall.bpf.o --hook xdp:veth0 --duration 10s -o json
  sudo skep run firewall.bpf.o --hook xdp:veth0 --pin firewall
  sudo skep run firewall.bpf.o --replace firewall
  skep run firewall.bpf.o --pcap traffic.pcap
  skep run firewall.bpf.o --pcap traffic.pcap -v --set blocked_port=80
  skep run firewall.bpf.o --pcap traffic.pcap --hook xdp:eth0
  skep run prog.bpf.o --prog ingress --pcap in.pcapng --out out.pcapng
  skep run spread.bpf.o --net net.yaml --pcap in.pcap --out 'out-%i.pcapng'
  tcpdump -w - -c 100 | skep run prog.bpf.o --pcap - -o json
  skep run prog.bpf.o --data @packet.bin --repeat 1000000
  skep run router.bpf.o --pcap traffic.pcap --world world.yaml
  skep run opens.bpf.o --prog handle_exec --ctx ctx.yaml`,
		Args:              objectArg,
		ValidArgsFunction: completeObject,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runObject(cmd, args[0], &f)
		},
	}
	flags := cmd.Flags()
	f.object.register(cmd)
	flags.StringVar(&f.pcap, "pcap", "", "run over the packets of this capture `file` (pcap or pcapng, may be gzipped); - is standard input")
	flags.StringVar(&f.write, "out", "", "write the packets that the program lets go on, as it left them, to this capture `file`")
	flags.StringVar(&f.net, "net", "", "run in the network that this `file` describes (YAML): its programs, on --pcap's packets")
	f.input.register(cmd)
	flags.StringVar(&f.world, "world", "", "what programs find around them, from this `file` in YAML or JSON: processes, sockets, cgroups, routes")
	flags.Uint32Var(&f.repeat, "repeat", 1, "run on --data this many `times`")
	flags.Uint64Var(&f.count, "count", 0, "stop after `n` packets; 0: all")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show a line for each packet")
	flags.StringArrayVar(&f.events, "event", nil, "show the records of a ring buffer or perf event array as a type: `map=type`; may be repeated")
	flags.Int64Var(&f.budget, "budget", 0, "end a run after `n` instructions; 0: about 4 thousand million")
	flags.Uint64Var(&f.seed, "seed", 1, "what bpf_get_prandom_u32 starts from")
	f.engine.register(cmd)
	f.attach.register(cmd)
	f.out.register(cmd)
	for _, name := range []string{"pcap", "out"} {
		_ = cmd.MarkFlagFilename(name, "pcap", "pcapng", "gz")
	}
	_ = cmd.MarkFlagFilename("btf")
	_ = cmd.MarkFlagFilename("world", "yaml", "yml", "json")
	return cmd
}

func (f *runFlags) check() error {
	packets := f.pcap != ""
	single := f.input.data != "" || f.input.ctx != ""
	if err := f.attach.check(f.hasInput(), packets && f.net == ""); err != nil {
		return err
	}
	switch {
	case f.attach.on == "kernel" && (packets || f.net != ""):
		return usagef("--on kernel: what programs see there comes from their hooks, or is one packet or context of --data or --ctx: leave --pcap and --net away")
	case f.attach.on == "kernel" && f.world != "":
		return usagef("--on kernel: programs find the running system around them there: leave --world away")
	case packets && single:
		return usagef("--pcap runs over a capture, --data and --ctx on one packet or context: give one or the other")
	case f.attach.replace != "" && f.object.prog != "":
		return usagef("--replace takes the programs of the names that are attached: leave --prog away")
	case f.net != "" && !packets:
		return usagef("--net runs over a capture: give one with --pcap")
	case f.net != "" && f.object.prog != "":
		return usagef("--net names the programs and where they are attached: leave --prog away")
	case packets && f.repeat != 1:
		return usagef("--repeat goes with --data, not with --pcap")
	case !packets && f.write != "":
		return usagef("--out writes the packets of a capture: give one with --pcap")
	case !packets && f.count != 0:
		return usagef("--count goes with --pcap")
	case f.repeat == 0:
		return usagef("--repeat 0: want at least 1")
	case f.budget < 0:
		return usagef("--budget %d: want a positive number of instructions", f.budget)
	}
	return nil
}

// hasInput reports whether the user gives programs something to run on.
func (f *runFlags) hasInput() bool {
	return f.pcap != "" || f.net != "" || f.input.data != "" || f.input.ctx != ""
}

// why says why programs run in skep's own machine.
func (f *runFlags) why(programs int) string {
	it := "it is"
	if programs > 1 {
		it = "they are"
	}
	switch {
	case f.net != "":
		return it + " given a network with --net"
	case f.pcap != "":
		return it + " given packets with --pcap"
	case f.input.ctx != "":
		return it + " given a context with --ctx"
	case f.input.data != "":
		return it + " given data with --data"
	}
	return "nothing says where in the kernel " + it + " attached"
}

// theyRun is the subject and the verb of a sentence of programs that run.
func theyRun(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " and " + names[last] + " run"
	}
	return names[0] + " runs"
}

// env makes runs of an object's programs repeatable: randomness from a seed. What else
// they find is the described world's.
func (f *runFlags) env(spec *ebpf.CollectionSpec) (*exec.Env, error) {
	env := &exec.Env{Rand: rand.New(rand.NewPCG(f.seed, 0)).Uint32}
	if f.world != "" {
		w, err := world.Open(f.world)
		if err != nil {
			return nil, err
		}
		if err := hasCounterMaps(spec, w); err != nil {
			return nil, prefix(f.world, err)
		}
		w.Into(env)
	}
	return env, nil
}

// hasCounterMaps refuses a world with counters in maps that an object does not have.
func hasCounterMaps(spec *ebpf.CollectionSpec, w *world.World) error {
	var arrays []string
	for name, m := range spec.Maps {
		if m.Type == ebpf.PerfEventArray {
			arrays = append(arrays, name)
		}
	}
	for _, name := range w.CounterMaps() {
		if !slices.Contains(arrays, name) {
			return fmt.Errorf("counters: the object has no perf event array %s%s", name, suggest.Name(name, arrays))
		}
	}
	return nil
}

// user says what skep's own machine is like.
func (f *runFlags) user(env *exec.Env) *machine.UserOptions {
	return &machine.UserOptions{Programs: vm.ProgramOptions{Budget: f.budget, Env: env, Mode: f.engine.mode}}
}

func runObject(cmd *cobra.Command, path string, f *runFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	p, err := f.object.open(path)
	if err != nil {
		return err
	}
	if f.attach.replace != "" {
		return replaceAttached(cmd, p, f)
	}
	if !f.hasInput() {
		at, err := f.attach.plan(&f.object, p.Spec)
		if err != nil {
			return prefix(p.Name, err)
		}
		switch {
		case len(at) > 0 && f.attach.pin != "":
			return runPinned(cmd, p, f, at)
		case len(at) > 0:
			return runAttached(cmd, p, f, at)
		}
	}
	if f.attach.on == "kernel" {
		return testRun(cmd, p, f)
	}
	s, err := newSession(cmd, p, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.prog != nil && s.prog.Describe().Packet && f.pcap == "" && f.input.data == "" {
		return usagef("program %s sees packets: give it a capture with --pcap, or one packet with --data, or attach it in the kernel with --hook", s.prog.Name())
	}
	fmt.Fprint(s.stderr, s.where)
	switch {
	case s.net != nil:
		return s.overNetwork(cmd.Context(), f)
	case f.pcap != "":
		return s.overCapture(cmd.Context(), f)
	}
	return s.once(cmd.Context(), f)
}

// bytesArg reads hex digits, or the file that @ names.
func bytesArg(flag, arg string) ([]byte, error) {
	if path, ok := strings.CutPrefix(arg, "@"); ok {
		b, err := readAtMost(path, exec.MaxPacket)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		return b, nil
	}
	digits := strings.NewReplacer(" ", "", ":", "").Replace(strings.TrimPrefix(arg, "0x"))
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, usagef("--%s %.20s: %w; a file is named by @file", flag, arg, err)
	}
	return b, nil
}

// readAtMost reads a file that may have n bytes.
func readAtMost(path string, n int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, n+1))
	if err == nil && int64(len(b)) > n {
		err = fmt.Errorf("%s is longer than the %d bytes that a run takes", path, n)
	}
	return b, err
}
