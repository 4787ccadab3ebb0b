package progtype

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Place is where in a network a program sees a packet: what a test run makes up,
// and a driver or the stack would know. It is for XDP and traffic control.
type Place struct {
	Ifindex uint32 // interface that the program is attached to
	Ingress uint32 // interface that the packet came in by; tc: 0 where it came from this host
	// AtIngress says that a tc program sees packets that come in.
	AtIngress bool
	Egress    uint32  // interface that it will leave by, for XDP programs of a devmap
	Queue     uint32  // receive queue, counted from 0
	MAC       [6]byte // of Ifindex; packets to others are PACKET_OTHERHOST
	Meta      []byte  // metadata before the packet, at most XDPMaxMeta bytes
	// SKB is what earlier programs made of the socket buffer; nil: it is fresh, but
	// for the Mark and the VLAN tag beside the packet (as [SKBContext.VLAN] gives
	// it) that it may have from another interface.
	SKB  *SKBContext
	Mark uint32
	VLAN [4]byte
}

// NetNS is the cookie of the network namespace that a run is in, which is that of the
// packet's interface; 0: the first one.
func NetNS(s *exec.State) uint64 {
	if s.Env.Net == nil {
		return 0
	}
	var ifindex uint32
	switch s.Packet.Type {
	case ebpf.XDP:
		ifindex = XDP(s).Ingress
	case ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SkSKB:
		ifindex = SKB(s).Ifindex
	}
	return s.Env.Net.NetNS(ifindex)
}

// VLAN is the tag that lies beside the packet, protocol and control information as
// in the header; all zero: there is none.
func (c *SKBContext) VLAN() (tag [4]byte) {
	if c.VLANPresent != 0 {
		binary.NativeEndian.PutUint16(tag[:], c.VLANProto)
		binary.BigEndian.PutUint16(tag[2:], c.VLANTCI)
	}
	return tag
}

// enterXDP puts a packet's metadata and its interfaces into an XDP run.
func (pl *Place) enterXDP(s *exec.State) {
	c := XDP(s)
	c.Ingress, c.Queue, c.Egress = pl.Ingress, pl.Queue, pl.Egress
	if len(pl.Meta) > 0 {
		s.Packet.Meta = pl.before(s)
	}
}

// before copies the metadata in front of the packet.
func (pl *Place) before(s *exec.State) uintptr {
	at := s.Packet.Data - uintptr(len(pl.Meta))
	copy(mem.View(at, len(pl.Meta)), pl.Meta)
	return at
}

// enterSKB makes a packet the socket buffer that traffic control sees.
func (pl *Place) enterSKB(s *exec.State) {
	c, p := SKB(s), &s.Packet
	if pl.SKB == nil {
		c.arrive(s, pl)
	} else {
		moved := uint64(p.Data) - pl.SKB.Data
		*c = *pl.SKB
		c.Mac += moved
		c.Network += moved
		if c.Transport != 0 {
			c.Transport += moved
		}
	}
	c.Ifindex, c.Ingress, c.AtIngress = pl.Ifindex, pl.Ingress, 0
	if pl.AtIngress {
		c.AtIngress = 1
	}
	if pl.Ingress != 0 {
		c.QueueMapping = uint16(pl.Queue + 1) // skb_record_rx_queue
	}
	c.L2 = 1
	p.Meta = pl.before(s)
	s.PacketMoved()
}

// arrive is eth_type_trans and what the stack does before traffic control: it
// takes an outer VLAN tag off the packet.
func (c *SKBContext) arrive(s *exec.State, pl *Place) {
	p := &s.Packet
	data := p.Bytes()
	c.Mac, c.Network = uint64(p.Data), uint64(p.Data)+ethHeader
	c.MacLen = ethHeader
	c.SetPktType(data, pl.MAC)
	c.Mark = pl.Mark
	c.Protocol = EtherProtocol(data[12:])
	if pl.VLAN != [4]byte{} {
		c.VLANPresent, c.VLANProto = 1, binary.NativeEndian.Uint16(pl.VLAN[:])
		c.VLANTCI = binary.BigEndian.Uint16(pl.VLAN[2:])
		return
	}
	if (c.Protocol == Proto8021Q || c.Protocol == Proto8021AD) && len(data) >= ethHeader+4 {
		c.VLANPresent, c.VLANProto = 1, c.Protocol
		c.VLANTCI = binary.BigEndian.Uint16(data[ethHeader:])
		copy(data[4:], data[:12]) // the addresses move up to the inner type
		p.Data += 4
		c.Mac += 4
		c.Network += 4
		c.Protocol = EtherProtocol(p.Bytes()[12:])
	}
}

// SetPktType says whom a frame is for, as an interface with an address sees it.
func (c *SKBContext) SetPktType(frame []byte, mac [6]byte) {
	switch dst := [6]byte(frame); {
	case dst == mac:
		c.PktType = pktHost
	case dst == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		c.PktType = pktBroadcast
	case dst[0]&1 != 0:
		c.PktType = pktMulticast
	default:
		c.PktType = pktOtherHost
	}
}

const (
	pktHost      = 0
	pktBroadcast = 1
)
