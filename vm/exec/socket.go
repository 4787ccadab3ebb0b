package exec

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/mem"
)

// Sockets answers what helpers ask of sockets.
type Sockets interface {
	// Lookup finds the socket that a packet is for, or nil.
	Lookup(q *SocketQuery) *Socket
	// Current is the socket that the program's context belongs to, or nil.
	Current() *Socket
	// At is the socket whose struct bpf_sock, struct bpf_tcp_sock or kernel
	// object begins at an address, or nil.
	At(addr uint64) *Socket
	// Socket is a socket by its number, from 1, or nil. Maps of sockets hold
	// numbers.
	Socket(number uint32) *Socket
}

// SocketQuery is the question of the helpers that look a socket up.
type SocketQuery struct {
	Protocol uint8 // 6: TCP, 17: UDP
	// Remote and Local are the packet's source and destination.
	Remote, Local netip.AddrPort
	// NetNS is the id of the network namespace to look in; negative: the
	// program's own.
	NetNS   int64
	Ifindex uint32 // interface that the packet came in by
}

// Socket is a socket of the world. Programs see its struct bpf_sock and its
// struct bpf_tcp_sock as they are in memory, laid out as in linux/bpf.h.
type Socket struct {
	*SockFields
	TCP *TCPFields

	Number uint32 // from 1
	PID    uint32 // of the process whose it is; 0: not known
	UID    uint32
	Cookie uint64
	NetNS  uint64 // cookie of its network namespace
	Cgroup uint64 // id of the cgroup that it was made in
	// ClassID is the net_cls class of that cgroup.
	ClassID uint32
	// Addr is the address of its struct sock in Env.Objects; 0: none.
	Addr uint64

	mu      sync.Mutex
	options map[[2]uint32][]byte // by level and name
}

// SockFields is struct bpf_sock. Addresses are in network byte order, as is
// DstPort.
type SockFields struct {
	BoundDevIf uint32
	Family     uint32
	Type       uint32
	Protocol   uint32
	Mark       uint32
	Priority   uint32
	SrcIP4     [4]byte
	SrcIP6     [16]byte
	SrcPort    uint32
	DstPort    [2]byte
	_          [2]byte
	DstIP4     [4]byte
	DstIP6     [16]byte
	State      uint32 // BPF_TCP_*
	RxQueue    int32  // -1: not known
}

// TCPFields is struct bpf_tcp_sock.
type TCPFields struct {
	SndCwnd, SRTT, RTTMin, SndSsthresh   uint32
	RcvNxt, SndNxt, SndUna               uint32
	MSS, ECNFlags                        uint32
	RateDelivered, RateInterval          uint32
	PacketsOut, RetransOut, TotalRetrans uint32
	SegsIn, DataSegsIn                   uint32
	SegsOut, DataSegsOut                 uint32
	LostOut, SackedOut                   uint32
	BytesReceived, BytesAcked            uint64
	DSACKDups, Delivered, DeliveredCE    uint32
	ICSKRetransmits                      uint32
}

// The states of a TCP socket that matter here.
const (
	TCPEstablished = 1
	TCPSynRecv     = 3
	TCPTimeWait    = 6
	TCPListen      = 10
	TCPNewSynRecv  = 12
)

// Protocols of sockets.
const (
	ProtoTCP = 6
	ProtoUDP = 17
)

const (
	sockSize   = unsafe.Sizeof(SockFields{})
	tcpSize    = unsafe.Sizeof(TCPFields{})
	socketSize = (sockSize + tcpSize + 63) &^ 63
)

// NewSockets makes n sockets that are all zero but for their numbers. Their memory
// is outside the Go heap and lives as long as the process.
func NewSockets(n int) ([]*Socket, error) {
	if n == 0 {
		return nil, nil
	}
	block, err := mem.New(uint64(n) * uint64(socketSize))
	if err != nil {
		return nil, fmt.Errorf("memory of %d sockets: %w", n, err)
	}
	all := make([]*Socket, n)
	for i := range all {
		at := block.Addr() + uintptr(i)*socketSize
		all[i] = &Socket{
			SockFields: (*SockFields)(mem.At(at)), TCP: (*TCPFields)(mem.At(at + sockSize)),
			Number: uint32(i) + 1,
		}
	}
	return all, nil
}

// OwnSocket makes the context lead to a socket of the state's own, for contexts that
// always lead to one where the environment has none. It begins empty in each run, and
// has a number only where no other socket has one.
func (s *State) OwnSocket() (*Socket, error) {
	if s.ownSocket == nil {
		all, err := NewSockets(1)
		if err != nil {
			return nil, err
		}
		s.ownSocket = all[0]
	}
	k := s.ownSocket
	*k.SockFields, *k.TCP = SockFields{RxQueue: -1}, TCPFields{}
	k.Number, k.Cookie, k.options = 1, 1, nil
	if s.Env.Sockets != nil {
		k.Number = 0
	}
	s.leadsToOwn = true
	return k, nil
}

// ContextSocket is the socket that the context belongs to, or nil.
func (s *State) ContextSocket() *Socket {
	if s.leadsToOwn {
		return s.ownSocket
	}
	if s.Env.Sockets == nil {
		return nil
	}
	return s.Env.Sockets.Current()
}

// SocketAt is the socket whose struct bpf_sock, struct bpf_tcp_sock or kernel object
// begins at an address, or nil.
func (s *State) SocketAt(addr uint64) *Socket {
	if k := s.ownSocket; s.leadsToOwn && (addr == k.SockAddr() || addr == k.TCPAddr()) {
		return k
	}
	if s.Env.Sockets == nil {
		return nil
	}
	return s.Env.Sockets.At(addr)
}

// SockAddr is the address of the socket's struct bpf_sock, and TCPAddr that of
// its struct bpf_tcp_sock.
func (k *Socket) SockAddr() uint64 { return uint64(uintptr(unsafe.Pointer(k.SockFields))) }

// TCPAddr is the address of the socket's struct bpf_tcp_sock.
func (k *Socket) TCPAddr() uint64 { return uint64(uintptr(unsafe.Pointer(k.TCP))) }

// IsTCP reports whether the socket is a TCP one, of any state.
func (k *Socket) IsTCP() bool { return k.Protocol == ProtoTCP }

// Full reports whether there is a whole socket, and not just what TCP keeps
// before a connection and after it.
func (k *Socket) Full() bool { return k.State != TCPTimeWait && k.State != TCPNewSynRecv }

// SetOption sets an option (setsockopt).
func (k *Socket) SetOption(level, name uint32, value []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.options == nil {
		k.options = map[[2]uint32][]byte{}
	}
	k.options[[2]uint32{level, name}] = slices.Clone(value)
}

// Option copies an option's value and gives its length; 0: it was not set.
func (k *Socket) Option(level, name uint32, to []byte) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return copy(to, k.options[[2]uint32{level, name}])
}

// SocketRef is one pointer to a socket that a run holds.
type SocketRef struct {
	Addr, Size uintptr
	// Of is the reference that this one was derived from and ends with; itself
	// where it was not.
	Of   uint32
	Live bool
}

// HoldSocket notes that the program was given a pointer to a socket's struct
// bpf_sock or struct bpf_tcp_sock, and gives where it comes from. owned says that
// the program must release it; of is the pointer that it was derived from, or 0.
func (s *State) HoldSocket(addr uint64, tcp, owned bool, of Prov) Prov {
	r := SocketRef{Addr: uintptr(addr), Size: sockSize, Of: uint32(len(s.sockets)), Live: true}
	if tcp {
		r.Size = tcpSize
	}
	if of.Region() == RegionSock {
		r.Of = s.sockets[of.Elem()].Of
	}
	for i := range s.sockets {
		if old := &s.sockets[i]; !owned && old.Live && !s.Owns(Make(RegionSock, uint32(i))) && old.Addr == r.Addr && old.Size == r.Size &&
			(old.Of == r.Of || r.Of == uint32(len(s.sockets)) && old.Of == uint32(i)) {
			return Make(RegionSock, uint32(i)) // the same pointer once more
		}
	}
	s.sockets = append(s.sockets, r)
	p := Make(RegionSock, uint32(len(s.sockets)-1))
	if owned {
		s.Own(p)
	}
	return p
}

// DropSocket ends a pointer to a socket and all that were derived from it, and
// reports whether the program had to release it.
func (s *State) DropSocket(p Prov) bool {
	if p.Region() != RegionSock {
		return false
	}
	of := s.sockets[p.Elem()].Of
	if !s.Disown(Make(RegionSock, of)) {
		return false
	}
	for i := range s.sockets {
		if s.sockets[i].Of == of {
			s.sockets[i].Live = false
		}
	}
	return true
}

// OwnsSocket reports whether a pointer is to a socket that the program must
// release.
func (s *State) OwnsSocket(p Prov) bool {
	return p.Region() == RegionSock && s.Owns(Make(RegionSock, s.sockets[p.Elem()].Of))
}

// socketRegion is what a pointer to a socket may reach.
func (s *State) socketRegion(elem uint32) Region {
	if int(elem) >= len(s.sockets) || !s.sockets[elem].Live {
		return Region{}
	}
	r := &s.sockets[elem]
	return Region{Base: r.Addr, Size: r.Size, ReadOnly: true}
}
