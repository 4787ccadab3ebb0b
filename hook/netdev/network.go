package netdev

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// DefaultMaxHops is how many interfaces a packet may pass where [Options] does
// not say.
const DefaultMaxHops = 64

// Options say what is done beside moving packets.
type Options struct {
	// MaxHops is how many interfaces a packet may pass, which ends loops. 0:
	// DefaultMaxHops.
	MaxHops int
	// Tap sees every frame that an interface receives or transmits, and must not
	// keep it. Optional.
	Tap func(i *Interface, d Direction, frame []byte) error
	// AfterRun is called after each run of a program. Optional.
	AfterRun func(*Run) error
	// Routes answers what is asked of routes and neighbours. Optional: there are
	// none.
	Routes exec.Net
}

// Run is one run of a program on a packet.
type Run struct {
	Interface *Interface
	Hook      Hook
	Program   string
	Verdict   string
	Redirect  exec.Redirect // where the program sent the packet, if its verdict says so
}

// Direction is the way that a frame goes at an interface.
type Direction uint8

// The directions.
const (
	RX Direction = iota // in
	TX                  // out
)

func (d Direction) String() string { return [...]string{"rx", "tx"}[d] }

// Network is interfaces and what is attached to them. It is not safe for
// concurrent use.
type Network struct {
	interfaces []*Interface
	namespaces map[string]uint64 // cookies of those with names
	opts       Options

	ctx     context.Context // of the Receive that goes on
	jobs    []func() error  // what is still to be done for it
	running *packet         // what a program sees just now
	at      *Interface      // and where
}

// New makes a network without interfaces.
func New(opts Options) *Network {
	if opts.MaxHops == 0 {
		opts.MaxHops = DefaultMaxHops
	}
	return &Network{opts: opts, namespaces: make(map[string]uint64)}
}

// packet is one packet on its way.
type packet struct {
	data    []byte               // from the Ethernet header on
	meta    []byte               // what XDP programs put before it
	skb     *progtype.SKBContext // what tc programs know of it; nil: nothing yet
	mark    uint32               // where skb is nil
	vlan    [4]byte              // the tag that lies beside the packet, as vm.Output has it
	time    uint64               // when it came in from outside, in ns
	frame   bool                 // it is XDP's, of which drivers know nothing more
	ingress uint32               // interface that it came in by
	queue   uint32
	cpu     uint32 // that a cpumap sent it to; 0: any
	hops    int
}

// clone is a copy that goes its own way.
func (p *packet) clone() *packet {
	c := *p
	c.data, c.meta = slices.Clone(p.data), slices.Clone(p.meta)
	if p.skb != nil {
		skb := *p.skb
		c.skb = &skb
	}
	return &c
}

// Receive makes an interface receive a frame from outside, and follows it to its
// end. An error is that of a program's run, or of the tap.
func (n *Network) Receive(ctx context.Context, i *Interface, frame []byte) error {
	return n.ReceiveAt(ctx, i, frame, time.Time{})
}

// ReceiveAt is Receive of a frame whose driver knows when it came; the zero Time: it does
// not.
func (n *Network) ReceiveAt(ctx context.Context, i *Interface, frame []byte, at time.Time) error {
	p := &packet{data: slices.Clone(frame)}
	if !at.IsZero() {
		p.time = uint64(at.UnixNano())
	}
	n.ctx = ctx
	n.jobs = n.jobs[:0]
	n.later(func() error { return n.receive(i, p) })
	for len(n.jobs) > 0 {
		job := n.jobs[0]
		n.jobs = n.jobs[1:]
		if err := job(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// later puts off work, so that the depth of calls does not grow with the way of
// a packet.
func (n *Network) later(job func() error) { n.jobs = append(n.jobs, job) }

// passes counts and shows a frame at an interface.
func (n *Network) passes(i *Interface, d Direction, frame []byte) error {
	if d == RX {
		i.RX++
	} else {
		i.TX++
	}
	if n.opts.Tap == nil {
		return nil
	}
	return n.opts.Tap(i, d, frame)
}

// drop ends a packet's way.
func (*Network) drop(i *Interface) error { i.Drop++; return nil }

// fail ends it for a reason that no program gave.
func (n *Network) fail(i *Interface, format string, args ...any) error {
	i.Err++
	i.because(format, args...)
	return n.drop(i)
}

// because counts a reason.
func (i *Interface) because(format string, args ...any) {
	if i.Reasons == nil {
		i.Reasons = make(map[string]uint64)
	}
	i.Reasons[fmt.Sprintf(format, args...)]++
}

// hop counts that a packet goes on to another interface, and reports whether it
// still may.
func (n *Network) hop(i *Interface, p *packet) bool {
	p.hops++
	if p.hops < n.opts.MaxHops {
		return true
	}
	i.Loop++
	i.Drop++
	i.because("%d interfaces on the way: programs send packets round in a circle", n.opts.MaxHops)
	return false
}

// transmit is the driver's: the frame leaves, and reaches the peer if there is
// one.
func (n *Network) transmit(i *Interface, p *packet) error {
	wire := p.wire()
	if i.peer != nil && len(wire) > i.peer.maxFrame() {
		return n.fail(i.peer, "a frame of %d bytes is too long for an MTU of %d", len(wire), i.peer.MTU)
	}
	if err := n.passes(i, TX, wire); err != nil {
		return err
	}
	if peer := i.peer; peer != nil && n.hop(i, p) {
		next := p.over()
		n.later(func() error { return n.receive(peer, next) })
	}
	return nil
}

// over is a packet as the other end of a veth pair receives it: the socket buffer
// is the same, but for what Linux scrubs.
func (p *packet) over() *packet {
	next := &packet{data: p.data, mark: p.mark, vlan: p.vlan, time: p.time, frame: p.frame, hops: p.hops}
	if p.skb != nil {
		next.mark = p.skb.Mark
	}
	return next
}

// run runs a program on a packet and gives what it returned and where it sent the
// packet.
func (n *Network) run(i *Interface, hook Hook, prog *vm.Program, p *packet, egress uint32) (uint32, exec.Redirect, error) {
	in := vm.Input{Data: p.data, CPU: p.cpu, Place: &progtype.Place{
		Ifindex: i.Index, Ingress: p.ingress, AtIngress: hook == TCXIngress, Egress: egress, Queue: p.queue,
		MAC: i.MAC, Meta: p.meta, SKB: p.skb, Mark: p.mark, VLAN: p.vlan,
	}}
	if hook == XDP {
		in.RX = &progtype.RX{Nothing: p.frame, Timestamp: p.time, VLAN: p.vlan}
	}
	var out vm.Output
	tc := hook == TCXIngress || hook == TCXEgress
	if tc {
		out.SKB = new(progtype.SKBContext)
	}
	n.running, n.at = p, i
	err := prog.Exec(n.ctx, &in, &out)
	n.running, n.at = nil, nil
	if err != nil {
		return 0, exec.Redirect{}, fmt.Errorf("interface %s, %s: %w", i.Name, hook, err)
	}
	p.meta, p.data = out.Data[:out.Meta:out.Meta], out.Data[out.Meta:]
	if tc {
		p.skb, p.vlan = out.SKB, out.VLAN
	}
	name := verdict(out.Ret, prog, tc)
	i.runs(hook, prog.Name()).Verdicts[name]++
	if n.opts.AfterRun != nil {
		err = n.opts.AfterRun(&Run{i, hook, prog.Name(), name, out.Redirect})
	}
	return out.Ret, out.Redirect, err
}

// verdict names a return code; the number where it has no name.
func verdict(ret uint32, prog *vm.Program, tc bool) string {
	if tc {
		switch ret {
		case tcxNext:
			return "TCX_NEXT"
		case tcxPass:
			return "TCX_PASS"
		case tcxDrop:
			return "TCX_DROP"
		case tcxRedirect:
			return "TCX_REDIRECT"
		}
	}
	if name := prog.Describe().Verdicts[ret]; name != "" {
		return name
	}
	return strconv.Itoa(int(int32(ret)))
}
