package verifier

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// packetAccess says what program types may do with a packet's bytes directly.
type packetAccess uint8

const (
	packetNone packetAccess = iota
	packetRead
	packetWrite
)

// packetTypes are the program types that see a packet's bytes
// (may_access_direct_pkt_data).
var packetTypes = map[ebpf.ProgramType]packetAccess{
	ebpf.LWTIn: packetRead, ebpf.LWTOut: packetRead, ebpf.LWTSeg6Local: packetRead, ebpf.SkReuseport: packetRead,
	ebpf.FlowDissector: packetRead, ebpf.CGroupSKB: packetRead,
	ebpf.SchedCLS: packetWrite, ebpf.SchedACT: packetWrite, ebpf.XDP: packetWrite, ebpf.LWTXmit: packetWrite,
	ebpf.SkSKB: packetWrite, ebpf.SkMsg: packetWrite, ebpf.CGroupSockopt: packetWrite,
}

// accessPacket checks an access to a packet or its metadata.
func (c *checker) accessPacket(a *memAccess) error {
	if a.write && packetTypes[c.typ.Prog] != packetWrite {
		return c.failReg(CauseReadOnly, int(a.n), "cannot write into packet")
	}
	if err := c.leaksInto(a, "packet"); err != nil {
		return err
	}
	if err := c.packetRange(a.reg, a.n, a.off, a.size, false); err != nil {
		return err
	}
	c.loaded(a)
	return nil
}

// packetRange checks that size bytes at an offset from a packet pointer lie in the
// range that a comparison has proved to be in the packet.
func (c *checker) packetRange(r *Reg, n uint8, off, size int, zeroOK bool) error {
	const outside = "R%d offset is outside of the packet"
	switch {
	case c.foldsOffsets() && r.Range < 0:
		return c.failReg(CausePacketBounds, int(n), outside, n)
	case c.foldsOffsets():
		// There the range is counted from where the variable offset is 0.
		limit := int64(r.Range)
		if limit > 0 {
			limit += int64(r.UMax)
		}
		return c.region(r, n, off, size, limit, zeroOK)
	case r.SMin < 0:
		return c.failReg(CauseUnboundedOffset, int(n), "R%d min value is negative, either use unsigned index or do a if (index >=0) check.", n)
	case r.Range < 0:
		return c.failReg(CausePacketBounds, int(n), outside, n)
	}
	if at := int64(r.Off) + int64(off); !inBounds(at, size, int64(r.Range), zeroOK) {
		return c.failReg(CausePacketBounds, int(n), "invalid access to packet, off=%d size=%d, R%d(id=%d,off=%d,r=%d)\n"+outside,
			at, size, n, r.ID, r.Off, r.Range, n)
	}
	return nil
}

// loadPacket looks at the historical packet loads (LD_ABS, LD_IND). They are calls in
// disguise: the context is in R6, R1 to R5 are lost, and R0 is the result.
func (c *checker) loadPacket(ins *isa.Instruction) error {
	switch c.typ.Prog {
	case ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT:
	default:
		return c.fail(CauseInstruction, "BPF_LD_[ABS|IND] instructions not allowed for this program type")
	}
	for _, f := range c.st.frames[1:] {
		if f.callback {
			return c.fail(CauseCallback, "cannot use BPF_LD_[ABS|IND] within callback")
		}
	}
	if err := c.read(isa.R6); err != nil {
		return err
	}
	// Where the packet is too short they end the program.
	if err := c.released(false, "BPF_LD_[ABS|IND]"); err != nil {
		return err
	}
	ctx := c.reg(isa.R6)
	if ctx.Type != PtrToCtx {
		return c.failReg(CauseContext, isa.R6, "at the time of BPF_LD_ABS|IND R6 != pointer to skb")
	}
	if ins.Op&0xe0 == isa.ModeIND {
		if err := c.read(ins.Src); err != nil {
			return err
		}
	}
	if err := c.unmodified(ctx, isa.R6, false); err != nil {
		return err
	}
	c.clearCallerSaved()
	c.setUnknown(isa.R0)
	if len(c.st.frames) > 1 {
		return c.leaveEarly()
	}
	return nil
}
