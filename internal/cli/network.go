package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/hook/netdev"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/report"
)

// maxNetwork is how long a network's description may be, in bytes.
const maxNetwork = 1 << 20

// network is the virtual network of --net.
type network struct {
	*netdev.Network
	cfg     *netdev.Config
	pattern string                     // of the captures that are written; empty: none
	outs    map[string]*capture.Writer // by path
	now     time.Time                  // of the packet on its way
}

// openNetwork reads --net's file and makes the network, without programs.
func (s *session) openNetwork(f *runFlags) (*network, error) {
	text, err := readAtMost(f.net, maxNetwork)
	if err != nil {
		return nil, fmt.Errorf("--net: %w", err)
	}
	cfg, err := netdev.ParseConfig(f.net, text)
	if err != nil {
		return nil, err
	}
	return s.newNetwork(f, cfg)
}

// hookNetwork makes the network of --hook: the interfaces that it names. Packets arrive at
// the first one that programs are attached to.
func (s *session) hookNetwork(f *runFlags) (*network, error) {
	cfg := &netdev.Config{}
	for _, a := range s.at {
		if !machine.SeesPackets(a.Point) {
			return nil, usagef("packets of --pcap come by at xdp, tcx/ingress and tcx/egress alone, not at %s", a.Point)
		}
		name := a.Point.Target
		if !a.Point.Kind.InMap() {
			cfg.Input = cmp.Or(cfg.Input, name)
		} else if e, err := a.Point.Entry(); err != nil {
			return nil, usageError{err}
		} else if name = e.Interface; name == "" {
			continue
		}
		named := func(i netdev.InterfaceConfig) bool { return i.Name == name }
		if !slices.ContainsFunc(cfg.Interfaces, named) {
			cfg.Interfaces = append(cfg.Interfaces, netdev.InterfaceConfig{Name: name})
		}
	}
	if cfg.Input == "" {
		return nil, usagef("packets of --pcap have nowhere to arrive: attach a program to an interface as well, such as --hook xdp:eth0")
	}
	return s.newNetwork(f, cfg)
}

// newNetwork makes the network that is described.
func (s *session) newNetwork(f *runFlags, cfg *netdev.Config) (n *network, err error) {
	n = &network{cfg: cfg, pattern: f.write, outs: make(map[string]*capture.Writer)}
	if f.write != "" && !strings.Contains(f.write, "%i") {
		return nil, usagef("--out %s: in a network it is a pattern, such as out-%%i.pcapng: %%i is the interface, %%d rx or tx", f.write)
	}
	opts := netdev.Options{Tap: n.tap, AfterRun: func(r *netdev.Run) error { return s.afterRun(f, r) }}
	if n.Network, err = n.cfg.Build(opts); err != nil {
		return nil, err
	}
	return n, nil
}

// tap writes a frame into its interface's capture.
func (n *network) tap(i *netdev.Interface, d netdev.Direction, frame []byte) error {
	if n.pattern == "" {
		return nil
	}
	w, err := n.writer(i, d)
	if err != nil {
		return err
	}
	return w.Write(capture.Packet{Data: frame, Time: n.now, IfName: i.Name})
}

// writer is the capture of an interface and, where the pattern tells them apart,
// a direction.
func (n *network) writer(i *netdev.Interface, d netdev.Direction) (*capture.Writer, error) {
	name := strings.NewReplacer("/", "_", "\\", "_").Replace(i.Name)
	path := strings.NewReplacer("%i", name, "%d", d.String()).Replace(n.pattern)
	if w := n.outs[path]; w != nil {
		return w, nil
	}
	w, err := capture.Create(path)
	if err != nil {
		return nil, err
	}
	n.outs[path] = w
	return w, nil
}

// open begins every capture, so that interfaces without packets have one, too.
func (n *network) open() error {
	if n.pattern == "" {
		return nil
	}
	for _, i := range n.Interfaces() {
		for _, d := range []netdev.Direction{netdev.RX, netdev.TX} {
			if _, err := n.writer(i, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *network) abort() {
	for _, w := range n.outs {
		w.Abort()
	}
}

func (n *network) finish() (err error) {
	for _, w := range n.outs {
		err = errors.Join(err, w.Close())
	}
	return err
}

// afterRun writes what a program said, and with -v what it returned.
func (s *session) afterRun(f *runFlags, r *netdev.Run) error {
	if err := s.drain(); err != nil || !f.verbose {
		return err
	}
	return s.out.Step(&report.Step{
		Packet: s.packet, Interface: r.Interface.Name, Hook: string(r.Hook), Program: r.Program,
		Verdict: r.Verdict, Redirect: redirect(r.Verdict, &r.Redirect),
	})
}

// overNetwork sends the packets of a capture through the network.
func (s *session) overNetwork(ctx context.Context, f *runFlags) error {
	in, err := capture.Open(f.pcap)
	if err != nil {
		return err
	}
	defer in.Close()
	defer s.net.abort()
	if err := s.net.open(); err != nil {
		return err
	}
	runErr := s.intoNetwork(ctx, f, in)
	if runErr == nil {
		runErr = s.net.finish()
	}
	var all []report.Interface
	for _, i := range s.net.Interfaces() {
		all = append(all, shown(i))
	}
	return errors.Join(runErr, s.out.Network(all), s.end())
}

func (s *session) intoNetwork(ctx context.Context, f *runFlags, in *capture.Reader) error {
	progress := newProgress(s.stderr)
	defer progress.done()
	input := s.net.ByName(s.net.cfg.Input)
	for n := uint64(1); (f.count == 0 || n <= f.count) && ctx.Err() == nil; n++ {
		p, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.packet, s.net.now = int(n), p.Time
		s.clock = time.Duration(max(p.Time.UnixNano(), 0))
		if err := s.net.ReceiveAt(ctx, input, p.Data, p.Time); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: packet %d: %w", s.name, n, err)
		}
		progress.at(n)
	}
	return nil
}

// shown is an interface for the report.
func shown(i *netdev.Interface) report.Interface {
	out := report.Interface{
		Name: i.Name, Index: i.Index, RX: i.RX, TX: i.TX, Drop: i.Drop, Redirect: i.Redirect,
		Stack: i.Stack, Forward: i.Counters.Forward, Err: i.Err, Loop: i.Loop, Reasons: i.Reasons,
	}
	for _, r := range i.Runs {
		h := report.HookRuns{Hook: string(r.Hook), Program: r.Program}
		for verdict, n := range r.Verdicts {
			h.Verdicts.AddN(verdict, n)
		}
		out.Hooks = append(out.Hooks, h)
	}
	return out
}
