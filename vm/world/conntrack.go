package world

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Conn is a connection that netfilter tracks.
type Conn struct {
	Proto string         `yaml:"proto"` // tcp or udp
	Src   netip.AddrPort `yaml:"src"`   // of its first packet
	Dst   netip.AddrPort `yaml:"dst"`
	// Reply is whence and whither replies go; nil: back.
	Reply  *Reply   `yaml:"reply"`
	Zone   uint16   `yaml:"zone"`
	NetNS  uint64   `yaml:"netns"`  // cookie of its network namespace; 0: the first one
	Status []string `yaml:"status"` // seen_reply, assured ..
	Mark   uint32   `yaml:"mark"`
	// Timeout is for how many seconds it lives after a program has first found it; 0: for ever.
	Timeout float64 `yaml:"timeout"`
}

// Reply is what packets in the other direction have as their addresses.
type Reply struct {
	Src netip.AddrPort `yaml:"src"`
	Dst netip.AddrPort `yaml:"dst"`
}

// connStatus are the bits of a connection's status, as conntrack(8) names most.
var connStatus = map[string]uint32{
	"expected": exec.ConnExpected, "seen_reply": exec.ConnSeenReply, "assured": exec.ConnAssured,
	"src_nat": exec.ConnSourceNAT, "dst_nat": exec.ConnSourceNAT << 1,
	"src_nat_done": exec.ConnSourceNATDone, "dst_nat_done": exec.ConnSourceNATDone << 1,
	"dying": exec.ConnDying, "fixed_timeout": exec.ConnFixedTimeout,
}

// connections fills the table of tracked connections.
func (w *World) connections(all []Conn) error {
	for _, d := range all {
		c, err := d.conn()
		if err == nil && !w.conntrack.Insert(c) {
			err = errors.New("another has packets with these addresses")
		}
		if err != nil {
			return fmt.Errorf("connection from %s to %s: %w", d.Src, d.Dst, err)
		}
		w.conntrack.AddNetNS(c.NetNS)
	}
	return nil
}

func (d *Conn) conn() (*exec.Conn, error) {
	const bothWays = 3
	proto, err := protocol(d.Proto)
	if err != nil {
		return nil, err
	}
	sent := exec.ConnTuple{Proto: proto, Src: d.Src, Dst: d.Dst}
	reply := sent.Reverse()
	if d.Reply != nil {
		reply.Src, reply.Dst = d.Reply.Src, d.Reply.Dst
	}
	for _, a := range []netip.AddrPort{d.Src, d.Dst, reply.Src, reply.Dst} {
		if !a.IsValid() || a.Addr().Is4() != d.Src.Addr().Is4() {
			return nil, errors.New("want src and dst, of one family, and so of replies")
		}
	}
	c := &exec.Conn{
		Tuples: [2]exec.ConnTuple{sent, reply}, NetNS: d.NetNS, Zone: exec.ConnZone{ID: d.Zone, Dir: bothWays},
		Mark: d.Mark, Timeout: math.MaxInt32,
	}
	for _, name := range d.Status {
		bit, ok := connStatus[name]
		if !ok {
			return nil, fmt.Errorf("unknown status %s%s", name, suggest.Name(name, slices.Collect(maps.Keys(connStatus))))
		}
		c.Status |= bit
	}
	if d.Timeout < 0 || d.Timeout != d.Timeout {
		return nil, fmt.Errorf("timeout is %v seconds: want 0 or more", d.Timeout)
	}
	if ticks := d.Timeout * exec.Hz; ticks > 0 && ticks < math.MaxInt32 {
		c.Timeout = uint32(math.Ceil(ticks))
	}
	return c, nil
}
