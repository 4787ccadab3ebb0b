package progtype

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// SKBContext is the context of the types that see a socket buffer, as the
// machine keeps it (in Linux: struct sk_buff and struct qdisc_skb_cb). Protocol
// numbers and addresses are in network byte order.
type SKBContext struct {
	exec.PacketPointers

	// Mac, Network and Transport are the addresses of the headers; 0 where not
	// set.
	Mac, Network, Transport uint64

	Tstamp   uint64 // ns
	HWTstamp uint64 // ns
	Socket   uint64 // address of its struct bpf_sock; 0: none

	PktType uint32 // PACKET_*
	Mark    uint32
	Priority,
	Ingress, // skb_iif
	Ifindex, // of skb->dev
	Hash uint32
	VLANPresent uint32 // 0 or 1
	NAPI        uint32
	WireLen     uint32 // bytes
	MacLen      uint32 // bytes of the Ethernet header and tags, once a helper counted

	QueueMapping      uint16
	Protocol          uint16
	VLANTCI           uint16
	VLANProto         uint16
	TCIndex           uint16
	TCClassID         uint16
	GSOSegs           uint16
	GSOSize           uint16 // bytes
	GSOType           uint16 // unset, as in a test run
	TstampType        uint8
	HashSet           uint8 // Hash is valid: HashOfAddresses or HashOfPorts; 0: it is not
	Encapsulation     uint8 // an outer header was added
	ChecksumLevel     uint8
	ChecksumValidated uint8 // CHECKSUM_UNNECESSARY

	AtIngress uint8 // of traffic control
	L2        uint8 // the program sees the packet from its Ethernet header

	CB [20]byte

	// Tunnel is what bpf_skb_set_tunnel_key set, as struct bpf_tunnel_key, and
	// TunnelFlags its flags; TunnelSet says that it did.
	Tunnel      [44]byte
	TunnelFlags uint16
	TunnelIPv6  uint8
	TunnelSet   uint8
	// TunnelPorts are the source and destination of FOU or GUE, in network byte order.
	TunnelPorts [4]byte

	// Xfrm is what bpf_skb_set_xfrm_info set, as struct bpf_xfrm_info; XfrmSet says that
	// it did.
	Xfrm    [8]byte
	XfrmSet uint8

	// Segments is where the IPv6 packet's header of segments begins, in bytes; 0: it
	// has none. SegmentsLen is how long what is behind its first 8 bytes is, and
	// SegmentsChanged says that a program wrote to it.
	Segments, SegmentsLen uint16
	SegmentsChanged       uint8

	// What the socket of a test run says of itself.
	Family                uint16
	RemoteIP4, LocalIP4   uint32
	RemoteIP6, LocalIP6   [4]uint32
	RemotePort, LocalPort uint32
}

// What a packet's hash is of ([SKBContext.HashSet]).
const (
	HashOfAddresses = 1 + iota
	HashOfPorts     // and addresses, or a program set it
)

// SKB is the context of the run that s holds, of a type that sees a socket
// buffer.
func SKB(s *exec.State) *SKBContext {
	return (*SKBContext)(unsafe.Pointer(unsafe.SliceData(s.CtxBytes())))
}

// Protocols of an Ethernet header, in network byte order.
var (
	ProtoIP     = htons(0x0800)
	ProtoIPv6   = htons(0x86dd)
	Proto8021Q  = htons(0x8100)
	Proto8021AD = htons(0x88a8)
	proto8022   = htons(0x0004)
	proto8023   = htons(0x0001)
)

// Address families, the same on every operating system here.
const (
	AFInet  = 2
	AFInet6 = 10
	AFUnix  = 1
)

// skbSize is the size of struct __sk_buff, in bytes.
const skbSize = 192

// Offsets in struct __sk_buff of what a test run takes.
const (
	skbMark     = 8
	skbPriority = 32
	skbIngress  = 36
	skbIfindex  = 40
	skbCB       = 48
	skbTstamp   = 152
	skbWireLen  = 160
	skbGSOSegs  = 164
	skbGSOSize  = 176
	skbHWTstamp = 184
)

// noQueue is the number of no queue (NO_QUEUE_MAPPING).
const noQueue = 0xffff

// skbFields are all fields of struct __sk_buff that some type may read, none
// writable.
func skbFields() []Field {
	var c SKBContext
	return []Field{
		{Name: "len", Off: 0, Size: 4, At: uint16(unsafe.Offsetof(c.Len)), Width: 4},
		{Name: "pkt_type", Off: 4, Size: 4, At: uint16(unsafe.Offsetof(c.PktType)), Width: 4},
		{Name: "mark", Off: skbMark, Size: 4, At: uint16(unsafe.Offsetof(c.Mark)), Width: 4},
		{Name: "queue_mapping", Off: 12, Size: 4, At: uint16(unsafe.Offsetof(c.QueueMapping)), Width: 2, Limit: noQueue},
		{Name: "protocol", Off: 16, Size: 4, At: uint16(unsafe.Offsetof(c.Protocol)), Width: 2},
		{Name: "vlan_present", Off: 20, Size: 4, At: uint16(unsafe.Offsetof(c.VLANPresent)), Width: 4},
		{Name: "vlan_tci", Off: 24, Size: 4, At: uint16(unsafe.Offsetof(c.VLANTCI)), Width: 2},
		{Name: "vlan_proto", Off: 28, Size: 4, At: uint16(unsafe.Offsetof(c.VLANProto)), Width: 2},
		{Name: "priority", Off: skbPriority, Size: 4, At: uint16(unsafe.Offsetof(c.Priority)), Width: 4},
		{Name: "ingress_ifindex", Off: skbIngress, Size: 4, At: uint16(unsafe.Offsetof(c.Ingress)), Width: 4},
		{Name: "ifindex", Off: skbIfindex, Size: 4, At: uint16(unsafe.Offsetof(c.Ifindex)), Width: 4},
		{Name: "tc_index", Off: 44, Size: 4, At: uint16(unsafe.Offsetof(c.TCIndex)), Width: 2},
		{Name: "cb", Off: skbCB, Size: 20, At: uint16(unsafe.Offsetof(c.CB))},
		{Name: "hash", Off: 68, Size: 4, At: uint16(unsafe.Offsetof(c.Hash)), Width: 4},
		{Name: "tc_classid", Off: 72, Size: 4, At: uint16(unsafe.Offsetof(c.TCClassID)), Width: 2},
		{Name: "data", Off: 76, Size: 4, At: uint16(unsafe.Offsetof(c.Data)), Width: 8, Kind: PacketPtr},
		{Name: "data_end", Off: 80, Size: 4, At: uint16(unsafe.Offsetof(c.DataEnd)), Width: 8, Kind: PacketEnd},
		{Name: "napi_id", Off: 84, Size: 4, At: uint16(unsafe.Offsetof(c.NAPI)), Width: 4},
		{Name: "family", Off: 88, Size: 4, At: uint16(unsafe.Offsetof(c.Family)), Width: 2},
		{Name: "remote_ip4", Off: 92, Size: 4, At: uint16(unsafe.Offsetof(c.RemoteIP4)), Width: 4, Whole: true},
		{Name: "local_ip4", Off: 96, Size: 4, At: uint16(unsafe.Offsetof(c.LocalIP4)), Width: 4, Whole: true},
		{Name: "remote_ip6[0]", Off: 100, Size: 4, At: uint16(unsafe.Offsetof(c.RemoteIP6)), Width: 4, Whole: true},
		{Name: "remote_ip6[1]", Off: 104, Size: 4, At: uint16(unsafe.Offsetof(c.RemoteIP6)) + 4, Width: 4, Whole: true},
		{Name: "remote_ip6[2]", Off: 108, Size: 4, At: uint16(unsafe.Offsetof(c.RemoteIP6)) + 8, Width: 4, Whole: true},
		{Name: "remote_ip6[3]", Off: 112, Size: 4, At: uint16(unsafe.Offsetof(c.RemoteIP6)) + 12, Width: 4, Whole: true},
		{Name: "local_ip6[0]", Off: 116, Size: 4, At: uint16(unsafe.Offsetof(c.LocalIP6)), Width: 4, Whole: true},
		{Name: "local_ip6[1]", Off: 120, Size: 4, At: uint16(unsafe.Offsetof(c.LocalIP6)) + 4, Width: 4, Whole: true},
		{Name: "local_ip6[2]", Off: 124, Size: 4, At: uint16(unsafe.Offsetof(c.LocalIP6)) + 8, Width: 4, Whole: true},
		{Name: "local_ip6[3]", Off: 128, Size: 4, At: uint16(unsafe.Offsetof(c.LocalIP6)) + 12, Width: 4, Whole: true},
		{Name: "remote_port", Off: 132, Size: 4, At: uint16(unsafe.Offsetof(c.RemotePort)), Width: 4},
		{Name: "local_port", Off: 136, Size: 4, At: uint16(unsafe.Offsetof(c.LocalPort)), Width: 4},
		{Name: "data_meta", Off: 140, Size: 4, At: uint16(unsafe.Offsetof(c.Meta)), Width: 8, Kind: MetaPtr},
		{Name: "tstamp", Off: skbTstamp, Size: 8, At: uint16(unsafe.Offsetof(c.Tstamp)), Width: 8, Whole: true},
		{Name: "wire_len", Off: skbWireLen, Size: 4, At: uint16(unsafe.Offsetof(c.WireLen)), Width: 4},
		{Name: "gso_segs", Off: skbGSOSegs, Size: 4, At: uint16(unsafe.Offsetof(c.GSOSegs)), Width: 2},
		{Name: "sk", Off: 168, Size: 8, At: uint16(unsafe.Offsetof(c.Socket)), Width: 8, Whole: true, Kind: SocketPtr},
		{Name: "gso_size", Off: skbGSOSize, Size: 4, At: uint16(unsafe.Offsetof(c.GSOSize)), Width: 2},
		{Name: "tstamp_type", Off: 180, Size: 1, At: uint16(unsafe.Offsetof(c.TstampType)), Width: 1, Whole: true},
		{Name: "hwtstamp", Off: skbHWTstamp, Size: 8, At: uint16(unsafe.Offsetof(c.HWTstamp)), Width: 8, Whole: true},
	}
}

// socketFields are what only types with a socket may read.
var socketFields = []string{
	"family", "remote_ip4", "local_ip4", "remote_ip6[0]", "remote_ip6[1]", "remote_ip6[2]", "remote_ip6[3]",
	"local_ip6[0]", "local_ip6[1]", "local_ip6[2]", "local_ip6[3]", "remote_port", "local_port",
}

// skbFieldsFor gives the fields without some and with some writable.
func skbFieldsFor(without, writable []string) []Field {
	fields := slices.DeleteFunc(skbFields(), func(f Field) bool { return slices.Contains(without, f.Name) })
	for i := range fields {
		fields[i].Write = slices.Contains(writable, fields[i].Name)
	}
	return fields
}

func init() {
	tcFields := skbFieldsFor(socketFields,
		[]string{"mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"})
	tcVerdicts := map[uint32]string{
		^uint32(0): "TC_ACT_UNSPEC", 0: "TC_ACT_OK", 1: "TC_ACT_RECLASSIFY", 2: "TC_ACT_SHOT", 3: "TC_ACT_PIPE",
		4: "TC_ACT_STOLEN", 5: "TC_ACT_QUEUED", 6: "TC_ACT_REPEAT", 7: "TC_ACT_REDIRECT", 8: "TC_ACT_TRAP",
	}
	for prog, name := range map[ebpf.ProgramType]string{ebpf.SchedCLS: "tc", ebpf.SchedACT: "action"} {
		register(&Type{
			Prog: prog, Name: name,
			CtxName: "struct __sk_buff", CtxSize: skbSize,
			Fields: tcFields, Verdicts: tcVerdicts,
			Setup: func(s *exec.State, in *Input) error { return setupSKB(s, in, prog, true) }, Finish: finishSKB,
			Packet: true,
		})
	}
	register(&Type{
		Prog: ebpf.SocketFilter, Name: "socket",
		CtxName: "struct __sk_buff", CtxSize: skbSize,
		Fields: skbFieldsFor(append([]string{
			"tc_classid", "data", "data_meta", "data_end", "tstamp", "wire_len", "tstamp_type", "hwtstamp",
		}, socketFields...), []string{"cb"}),
		// A socket filter returns how many bytes to keep.
		Verdicts: map[uint32]string{0: "drop"},
		Setup:    func(s *exec.State, in *Input) error { return setupSKB(s, in, ebpf.SocketFilter, false) }, Finish: finishSKB,
		Packet: true,
	})
	cgroup := func(verdicts map[uint32]string, attach ...ebpf.AttachType) *Type {
		return &Type{
			Prog: ebpf.CGroupSKB, Attach: attach, Name: "cgroup_skb",
			CtxName: "struct __sk_buff", CtxSize: skbSize,
			Fields: skbFieldsFor([]string{"tc_classid", "data_meta", "wire_len", "tstamp_type"},
				[]string{"mark", "priority", "cb", "tstamp"}),
			Verdicts: verdicts, Returns: &Range{0, int64(len(verdicts)) - 1},
			Setup:  func(s *exec.State, in *Input) error { return setupSKB(s, in, ebpf.CGroupSKB, false) },
			Finish: finishSKB, Packet: true,
		}
	}
	register(
		cgroup(map[uint32]string{0: "drop", 1: "pass"}, ebpf.AttachCGroupInetIngress),
		// A sender may be told of congestion besides.
		cgroup(map[uint32]string{0: "drop", 1: "pass", 2: "drop+cn", 3: "pass+cn"}, ebpf.AttachCGroupInetEgress),
	)
}

// skbBehind is how many bytes behind a packet are zero when a run begins, as in
// Linux, where the whole buffer is: bpf_skb_adjust_room moves what it takes for
// headers even where the packet ends before.
const skbBehind = 512

// setupSKB is bpf_prog_test_run_skb up to the run: a type that works at layer 2
// sees the packet from its Ethernet header and may write to it, the others see
// it from the header behind.
func setupSKB(s *exec.State, in *Input, t ebpf.ProgramType, l2 bool) error {
	ctx, err := readCtx(in.Ctx, skbSize)
	if err != nil {
		return err
	}
	if len(in.Data) < ethHeader {
		return refuse("packet has %d bytes, which is less than an Ethernet header", len(in.Data))
	}
	s.SetPlainCtx(0)
	if err := s.SetPacket(t, in.Data, exec.Headroom, exec.MaxPacket-len(in.Data)+exec.Tailroom); err != nil {
		return err
	}
	clear(mem.View(s.Packet.DataEnd, skbBehind))
	c := SKB(s)
	*c = SKBContext{Ifindex: loopback}
	if in.Place != nil {
		in.Place.enterSKB(s)
		return nil
	}
	if err := c.receive(s, in.Data); err != nil {
		return err
	}
	if err := c.ownSocket(s); err != nil {
		return err
	}
	p := &s.Packet
	p.ReadOnly = !l2
	if l2 {
		c.L2 = 1
		p.Meta = p.Data
	} else {
		p.Data += ethHeader
	}
	if len(in.Ctx) > 0 {
		if err := c.take(&ctx, p.Len()); err != nil {
			return err
		}
	}
	s.PacketMoved()
	return nil
}

// receive sets what eth_type_trans and the test run's socket know from the
// packet.
func (c *SKBContext) receive(s *exec.State, data []byte) error {
	c.Mac = uint64(s.Packet.Data)
	c.Network = c.Mac + ethHeader
	// The loopback interface's address is all zeros.
	if dst := data[:6]; dst[0]&1 != 0 {
		c.PktType = pktMulticast
	} else if dst[0]|dst[1]|dst[2]|dst[3]|dst[4]|dst[5] != 0 {
		c.PktType = pktOtherHost
	}
	c.Protocol = EtherProtocol(data[12:])
	payload := data[ethHeader:]
	le := binary.LittleEndian
	switch c.Protocol {
	case ProtoIP:
		if len(payload) < 20 {
			return refuse("packet has %d bytes behind its Ethernet header, which is less than an IPv4 header", len(payload))
		}
		c.Family = AFInet
		c.LocalIP4, c.RemoteIP4 = le.Uint32(payload[12:]), le.Uint32(payload[16:])
	case ProtoIPv6:
		if len(payload) < 40 {
			return refuse("packet has %d bytes behind its Ethernet header, which is less than an IPv6 header", len(payload))
		}
		c.Family = AFInet6
		for i := range 4 {
			c.LocalIP6[i], c.RemoteIP6[i] = le.Uint32(payload[8+4*i:]), le.Uint32(payload[24+4*i:])
		}
	}
	return nil
}

// ownSocket is the socket that a test run makes for its packet.
func (c *SKBContext) ownSocket(s *exec.State) error {
	k, err := s.OwnSocket()
	if err != nil {
		return err
	}
	*k.SockFields = exec.SockFields{Family: uint32(c.Family), State: tcpClose, RxQueue: -1}
	le := binary.LittleEndian
	le.PutUint32(k.SrcIP4[:], c.LocalIP4)
	le.PutUint32(k.DstIP4[:], c.RemoteIP4)
	for i := range 4 {
		le.PutUint32(k.SrcIP6[4*i:], c.LocalIP6[i])
		le.PutUint32(k.DstIP6[4*i:], c.RemoteIP6[i])
	}
	c.Socket = k.SockAddr()
	return nil
}

const tcpClose = 7

const (
	pktMulticast = 2
	pktOtherHost = 3
)

// EtherProtocol is the protocol of a frame whose type field b begins with, in
// network byte order: an IEEE 802.3 length there means LLC, or raw IPX.
func EtherProtocol(b []byte) uint16 {
	switch t := binary.BigEndian.Uint16(b); {
	case t >= 0x0600:
		return htons(t)
	case len(b) >= 4 && binary.BigEndian.Uint16(b[2:]) == 0xffff:
		return proto8023
	}
	return proto8022
}

// take is convert___skb_to_skb: it takes from a caller's context what a test
// run may set, and refuses the rest.
func (c *SKBContext) take(ctx *[maxCtx]byte, length int) error {
	allowed := [...][2]int{
		{skbMark, 4}, {skbPriority, 4}, {skbIngress, 4}, {skbIfindex, 4}, {skbCB, 20},
		{skbTstamp, 8}, {skbWireLen, 4}, {skbGSOSegs, 4}, {skbGSOSize, 4}, {skbHWTstamp, 8},
	}
	at := 0
	for _, a := range allowed {
		if err := zero(ctx, at, a[0]); err != nil {
			return err
		}
		at = a[0] + a[1]
	}
	if err := zero(ctx, at, skbSize); err != nil {
		return err
	}

	le := binary.LittleEndian
	c.Mark = le.Uint32(ctx[skbMark:])
	c.Priority = le.Uint32(ctx[skbPriority:])
	c.Ingress = le.Uint32(ctx[skbIngress:])
	if i := le.Uint32(ctx[skbIfindex:]); i != 0 {
		c.Ifindex = i
	}
	c.CB = [20]byte(ctx[skbCB:])
	c.Tstamp = le.Uint64(ctx[skbTstamp:])
	c.WireLen = le.Uint32(ctx[skbWireLen:])
	if c.WireLen == 0 {
		c.WireLen = uint32(length)
	}
	if int(c.WireLen) < length || c.WireLen > 65536 {
		return refuse("wire_len of the context is %d; it lies between the packet's length, %d, and 65536", c.WireLen, length)
	}
	segs := le.Uint32(ctx[skbGSOSegs:])
	if segs > 65535 {
		return refuse("gso_segs of the context is %d, more than 65535", segs)
	}
	c.GSOSegs = uint16(segs)
	c.GSOSize = uint16(le.Uint32(ctx[skbGSOSize:]))
	c.HWTstamp = le.Uint64(ctx[skbHWTstamp:])
	return nil
}

func zero(ctx *[maxCtx]byte, from, to int) error {
	for i := from; i < to; i++ {
		if ctx[i] != 0 {
			return refuse("context has a byte other than 0 at %d, in a field that a run sets itself", i)
		}
	}
	return nil
}

// finishSKB gives the packet from its Ethernet header on, which is zeros for
// types that don't see it, and the context.
func finishSKB(s *exec.State, out *Output) {
	c := SKB(s)
	if c.L2 == 0 {
		var header [ethHeader]byte
		out.Data = append(out.Data, header[:]...)
	}
	if out.SKB != nil { // the packet goes on with what is known of it
		*out.SKB = *c
		out.Meta = int(s.Packet.Data - s.Packet.Meta)
		out.Data = append(out.Data, mem.View(s.Packet.Meta, out.Meta)...)
	}
	out.Data = append(out.Data, s.Packet.Bytes()...)
	out.VLAN = c.VLAN()

	var ctx [skbSize]byte
	le := binary.LittleEndian
	le.PutUint32(ctx[skbMark:], c.Mark)
	le.PutUint32(ctx[skbPriority:], c.Priority)
	le.PutUint32(ctx[skbIngress:], c.Ingress)
	le.PutUint32(ctx[skbIfindex:], c.Ifindex)
	copy(ctx[skbCB:], c.CB[:])
	le.PutUint64(ctx[skbTstamp:], c.Tstamp)
	le.PutUint32(ctx[skbWireLen:], c.WireLen)
	le.PutUint32(ctx[skbGSOSegs:], uint32(c.GSOSegs))
	le.PutUint32(ctx[skbGSOSize:], uint32(c.GSOSize))
	le.PutUint64(ctx[skbHWTstamp:], c.HWTstamp)
	copy(out.Ctx, ctx[:])
}

// htons turns a number into network byte order; the machine is little-endian.
func htons(v uint16) uint16 { return bits.ReverseBytes16(v) }
