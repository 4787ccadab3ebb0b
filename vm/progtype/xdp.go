package progtype

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// XDPContext is the context of an XDP run as the machine keeps it (in Linux:
// struct xdp_buff).
type XDPContext struct {
	exec.PacketPointers
	Ingress uint32 // interface that the packet came in by
	Queue   uint32 // its receive queue
	Egress  uint32 // interface that it leaves by, for devmap programs
	// asked is the ingress that the caller's context named, 0 for none.
	asked uint32

	RX    RX // what the driver knows, where HasRX
	HasRX bool
}

// XDP is the context of the XDP run that s holds.
func XDP(s *exec.State) *XDPContext {
	return (*XDPContext)(unsafe.Pointer(unsafe.SliceData(s.CtxBytes())))
}

// Sizes of an XDP buffer in Linux's test run, in bytes.
const (
	XDPHeadroom  = 256 // XDP_PACKET_HEADROOM
	XDPFrameSize = 40  // struct xdp_frame, kept free at the buffer's beginning
	XDPMaxMeta   = 252

	// PageSize is the size of a fragment of a packet.
	PageSize = 4096

	sharedInfo = 320 // struct skb_shared_info, kept free at the page's end
	xdpLinear  = PageSize - XDPHeadroom - sharedInfo
	maxFrags   = 17 // MAX_SKB_FRAGS
	ethHeader  = 14

	// loopback is the interface that a test run's packets come from.
	loopback = 1

	xdpMDSize = 24 // struct xdp_md
)

func init() {
	var c XDPContext
	register(&Type{
		Prog: ebpf.XDP, Name: "xdp",
		CtxName: "struct xdp_md", CtxSize: xdpMDSize,
		Fields: []Field{
			{Name: "data", Off: 0, Size: 4, At: uint16(unsafe.Offsetof(c.Data)), Width: 8, Kind: PacketPtr},
			{Name: "data_end", Off: 4, Size: 4, At: uint16(unsafe.Offsetof(c.DataEnd)), Width: 8, Kind: PacketEnd},
			{Name: "data_meta", Off: 8, Size: 4, At: uint16(unsafe.Offsetof(c.Meta)), Width: 8, Kind: MetaPtr},
			{Name: "ingress_ifindex", Off: 12, Size: 4, At: uint16(unsafe.Offsetof(c.Ingress)), Width: 4, Whole: true},
			{Name: "rx_queue_index", Off: 16, Size: 4, At: uint16(unsafe.Offsetof(c.Queue)), Width: 4, Whole: true},
			{Name: "egress_ifindex", Off: 20, Size: 4, At: uint16(unsafe.Offsetof(c.Egress)), Width: 4, Whole: true},
		},
		Verdicts: map[uint32]string{
			0: "XDP_ABORTED", 1: "XDP_DROP", 2: "XDP_PASS", 3: "XDP_TX", 4: "XDP_REDIRECT",
		},
		Packet: true,
		Setup:  setupXDP,
		Finish: finishXDP,
	})
}

// setupXDP is bpf_prog_test_run_xdp up to the run. A packet that Linux would
// spread over fragments lies in one piece here, all of it in direct reach unless
// the program says that it takes fragments.
func setupXDP(s *exec.State, in *Input) error {
	ctx, err := readCtx(in.Ctx, xdpMDSize)
	if err != nil {
		return err
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(ctx[4*i:]) }
	data, dataEnd, dataMeta, ingress, queue, egress := word(0), word(1), word(2), word(3), word(4), word(5)
	if len(in.Ctx) == 0 {
		dataEnd = uint32(len(in.Data))
	}
	switch meta := int(data); {
	case dataMeta != 0:
		return refuse("data_meta of the context is %d; metadata begins at 0", dataMeta)
	case in.Frags && int(dataEnd) > len(in.Data):
		return refuse("data_end of the context is %d, behind the input's end, %d", dataEnd, len(in.Data))
	case !in.Frags && int(dataEnd) != len(in.Data):
		return refuse("data_end of the context is %d; it must be the length of the input, %d, where a program does not take fragments", dataEnd, len(in.Data))
	case data > dataEnd:
		return refuse("data of the context, %d, is behind data_end, %d", data, dataEnd)
	case meta%4 != 0 || meta > XDPHeadroom-XDPFrameSize:
		return refuse("data of the context is %d; metadata has a multiple of 4 bytes, at most %d", data, XDPHeadroom-XDPFrameSize)
	case len(in.Data)-meta < ethHeader:
		return refuse("packet has %d bytes, which is less than an Ethernet header", len(in.Data)-meta)
	case egress != 0:
		return refuse("egress_ifindex of the context must be 0")
	case ingress == 0 && queue != 0:
		return refuse("rx_queue_index of the context needs an ingress_ifindex")
	}

	s.SetPlainCtx(0)
	packet := in.Data[data:]
	if err := s.SetPacket(ebpf.XDP, packet, XDPHeadroom, xdpTailroom(len(packet))); err != nil {
		return err
	}
	p := &s.Packet
	clear(mem.View(p.HardStart, XDPHeadroom))
	p.Meta = p.Data - uintptr(data)
	copy(mem.View(p.Meta, int(data)), in.Data)

	if in.Frags {
		if err := fragment(s, int(dataEnd-data)); err != nil {
			return err
		}
	}

	c := XDP(s)
	c.Ingress, c.Queue, c.Egress, c.asked = ingress, queue, 0, ingress
	if ingress == 0 {
		c.Ingress = loopback
	}
	if c.HasRX = in.RX != nil; c.HasRX {
		c.RX = *in.RX
	}
	if in.Place != nil {
		in.Place.enterXDP(s)
	}
	s.PacketMoved()
	return nil
}

// fragment takes the packet's end out of direct reach: what is behind the first
// linear bytes, or does not fit into the first page.
func fragment(s *exec.State, linear int) error {
	p := &s.Packet
	p.Paged = p.Len() - min(linear, xdpLinear)
	p.DataEnd -= uintptr(p.Paged)
	p.HardEnd = p.Data + xdpLinear
	if p.Paged > maxFrags*PageSize {
		return fmt.Errorf("packet has %d bytes behind its first %d, and Linux takes %d fragments of %d: %w",
			p.Paged, p.Len()-p.Paged, maxFrags, PageSize, errno.ENOMEM)
	}
	return nil
}

// xdpTailroom is the room behind a packet of n bytes: what is left of its page,
// or of its last fragment's.
func xdpTailroom(n int) int {
	if n <= xdpLinear {
		return xdpLinear - n
	}
	return (PageSize - (n-xdpLinear)%PageSize) % PageSize
}

// finishXDP gives the packet with its metadata before it, and the context with
// offsets into that.
func finishXDP(s *exec.State, out *Output) {
	p, c := &s.Packet, XDP(s)
	out.Meta = int(p.Data - p.Meta)
	out.Data = append(out.Data, mem.View(p.Meta, out.Meta+p.Len())...)
	var md [xdpMDSize]byte
	le := binary.LittleEndian
	le.PutUint32(md[0:], uint32(p.Data-p.Meta))
	le.PutUint32(md[4:], uint32(p.DataEnd-p.Meta))
	le.PutUint32(md[12:], c.asked)
	if c.asked != 0 {
		le.PutUint32(md[16:], c.Queue)
	}
	copy(out.Ctx, md[:])
}

// readCtx gives a caller's context as size bytes, refusing what lies beyond.
func readCtx(ctx []byte, size int) (full [maxCtx]byte, err error) {
	for i := size; i < len(ctx); i++ {
		if ctx[i] != 0 {
			return full, fmt.Errorf("context has a byte other than 0 at %d, behind the %d bytes of its type: %w", i, size, errno.E2BIG)
		}
	}
	copy(full[:], ctx[:min(size, len(ctx))])
	return full, nil
}

// maxCtx is the size of the largest context, arm64's struct bpf_perf_event_data.
const maxCtx = 272 + 16

// refuse says what is wrong with a run's input; Linux says EINVAL.
func refuse(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errno.EINVAL)...)
}
