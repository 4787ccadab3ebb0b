package exec

import (
	"net/netip"

	"github.com/skep-ebpf/skep/internal/mem"
)

// Packet is where a run's packet lies. All fields are addresses.
type Packet struct {
	Data, DataEnd uintptr
	// Meta is data_meta, at most Data; 0 where the program type has none.
	Meta uintptr
	// HardEnd is the end of the room behind the packet.
	HardEnd uintptr
	// ReadOnly refuses direct writes, as for socket filters.
	ReadOnly bool

	hardStart uintptr
}

// HardStart is the beginning of the room before the packet.
func (p *Packet) HardStart() uintptr { return p.hardStart }

// Len is the packet's length in bytes, without metadata.
func (p *Packet) Len() int { return int(p.DataEnd - p.Data) }

// Bytes is the packet's memory.
func (p *Packet) Bytes() []byte { return mem.View(p.Data, p.Len()) }

// Net answers what helpers ask of the network around a packet.
type Net interface {
	// FIB looks a route up (bpf_fib_lookup).
	FIB(q FIBQuery) FIBResult
	// MTU is an interface's, or 0 where there is no such interface
	// (bpf_check_mtu).
	MTU(ifindex uint32) int
}

// FIBQuery is the question of bpf_fib_lookup.
type FIBQuery struct {
	Ifindex  uint32
	Src, Dst netip.Addr
	Proto    uint8
	TOS      uint8
	Length   uint16
	Mark     uint32
	Table    uint32 // 0: the main table
}

// FIBResult is its answer.
type FIBResult struct {
	Code             int // BPF_FIB_LKUP_RET_*
	Ifindex          uint32
	Gateway          netip.Addr // zero: the destination itself
	Src              netip.Addr // preferred source
	MTU              uint16
	Metric           uint32
	VLANProto        uint16
	VLANTCI          uint16
	SrcMAC, DstMAC   [6]byte
	NeighbourMissing bool
}
