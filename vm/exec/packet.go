package exec

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Packet is where a run's packet lies. All fields are addresses.
type Packet struct {
	// Type is the program type that sees the packet: some helpers do for one
	// what they do not for another.
	Type          ebpf.ProgramType
	Data, DataEnd uintptr
	// Paged is how many bytes of the packet lie behind DataEnd, where only
	// helpers reach them: in Linux, those in page fragments.
	Paged int
	// Pulled is how many bytes before those came from the first fragments, whose pages
	// they still take.
	Pulled int
	// Meta is data_meta, at most Data; 0 where the program type has none.
	Meta uintptr
	// HardEnd is the end of the room behind the packet.
	HardEnd uintptr
	// ReadOnly refuses direct writes, as for socket filters.
	ReadOnly bool

	// HardStart is the beginning of the room before the packet.
	HardStart uintptr
}

// PacketPointers lead the context of every type that sees a packet, so that a
// program's loads of data, data_end and data_meta find what [Packet] says.
// [State.PacketMoved] keeps them true.
type PacketPointers struct {
	Data, DataEnd, Meta uint64
	Len                 uint32
	_                   uint32
}

// Redirect is where a program sent its packet: what the redirect helpers of this
// run recorded last. It takes effect only with the verdict that they returned.
type Redirect struct {
	Kind    RedirectKind
	Ifindex uint32      // or the CPU that a cpumap has
	Map     maps.Handle // the target lies at Key of this map
	Key     uint64
	Prog    uint32 // the number of the program that the map has for the target; 0: none
	Flags   uint64
	Nexthop netip.Addr // of bpf_redirect_neigh; may be unset
}

// RedirectKind is which helper sent a packet elsewhere.
type RedirectKind uint8

// The kinds of redirects.
const (
	RedirectNone      RedirectKind = iota
	RedirectInterface              // bpf_redirect
	RedirectPeer                   // bpf_redirect_peer
	RedirectNeigh                  // bpf_redirect_neigh
	RedirectMap                    // bpf_redirect_map
)

// SetPacket lays data into the state for a program of type t, with room before
// and behind it, all in bytes. The rooms hold what earlier runs left. The packet
// has no metadata yet.
func (s *State) SetPacket(t ebpf.ProgramType, data []byte, headroom, tailroom int) error {
	if len(data) > MaxPacket {
		return fmt.Errorf("lay out a packet of %d bytes: the machine takes at most %d", len(data), MaxPacket)
	}
	first := packetOffset + Headroom
	copy(s.block.Bytes()[first:], data)
	start := s.block.Addr() + uintptr(first)
	end := start + uintptr(len(data))
	s.Packet = Packet{
		Type: t,
		Data: start, DataEnd: end,
		HardStart: start - uintptr(headroom), HardEnd: end + uintptr(tailroom),
	}
	s.Redirect = Redirect{}
	return nil
}

// Len is the packet's length in bytes, without metadata.
func (p *Packet) Len() int { return int(p.DataEnd-p.Data) + p.Paged }

// Bytes is the packet's memory, which is in one piece here.
func (p *Packet) Bytes() []byte { return mem.View(p.Data, p.Len()) }

// Net answers what helpers ask of the network around a packet.
type Net interface {
	// FIB looks a route up (bpf_fib_lookup).
	FIB(q FIBQuery) FIBResult
	// MTU is an interface's, or 0 where there is no such interface
	// (bpf_check_mtu).
	MTU(ifindex uint32) int
	// NetNS is the cookie of the network namespace that an interface lies in, 0: of
	// the first one; for interface 0 of the one that programs run in which know of
	// no interface.
	NetNS(ifindex uint32) uint64
}

// The answers of bpf_fib_lookup (enum in linux/bpf.h).
const (
	FIBSuccess = iota
	FIBBlackhole
	FIBUnreachable
	FIBProhibit
	FIBNotForwarded
	FIBForwardingDisabled
	FIBUnsupportedLWT
	FIBNoNeighbour
	FIBFragmentationNeeded
	FIBNoSourceAddress
)

// FIBQuery is the question of bpf_fib_lookup.
type FIBQuery struct {
	Ifindex  uint32
	Src, Dst netip.Addr
	Proto    uint8
	TOS      uint8
	Length   uint16
	Mark     uint32
	Table    uint32 // 0: the main table
	// Egress asks as for a packet that leaves by Ifindex, rather than came in.
	Egress bool
	// Local asks for a packet of this host's own: nothing need be forwarded.
	Local bool
}

// FIBResult is its answer.
type FIBResult struct {
	Code             int // BPF_FIB_LKUP_RET_*
	Ifindex          uint32
	Gateway          netip.Addr // zero: the destination itself
	Src              netip.Addr // preferred source
	MTU              uint16
	Metric           uint32
	SrcMAC, DstMAC   [6]byte
	NeighbourMissing bool
}
