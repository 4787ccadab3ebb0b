package progen

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// ctxField is a field of a context that a program may load.
type ctxField struct {
	off   int16
	size  uint8
	write bool
}

// types say what programs of a type may do with their context.
var types = map[ebpf.ProgramType]struct {
	fields        []ctxField
	data, dataEnd int16 // offsets of the packet's bounds; 0, 0: none
	legacy        bool  // LD_ABS and LD_IND
}{
	ebpf.XDP: {
		fields: []ctxField{{off: 12, size: isa.SizeW}, {off: 16, size: isa.SizeW}},
		data:   0, dataEnd: 4,
	},
	ebpf.SchedCLS: {
		fields: append(skbFields,
			ctxField{8, isa.SizeW, true}, ctxField{12, isa.SizeW, true}, ctxField{32, isa.SizeW, true},
			ctxField{44, isa.SizeW, true}, ctxField{72, isa.SizeW, true}, ctxField{160, isa.SizeW, false},
			ctxField{152, isa.SizeDW, true}, ctxField{8, isa.SizeB, false}, ctxField{10, isa.SizeH, false},
		),
		data: 76, dataEnd: 80, legacy: true,
	},
	ebpf.SocketFilter: {fields: skbFields, legacy: true},
}

// skbFields are the fields of __sk_buff that all its types load: len, pkt_type,
// mark, queue_mapping, protocol, vlan_*, priority, ingress_ifindex, ifindex,
// tc_index, cb, hash, napi_id, gso_*.
var skbFields = []ctxField{
	{0, isa.SizeW, false}, {4, isa.SizeW, false}, {8, isa.SizeW, false}, {12, isa.SizeW, false},
	{16, isa.SizeW, false}, {20, isa.SizeW, false}, {24, isa.SizeW, false}, {28, isa.SizeW, false},
	{32, isa.SizeW, false}, {36, isa.SizeW, false}, {40, isa.SizeW, false}, {44, isa.SizeW, false},
	{48, isa.SizeW, true}, {52, isa.SizeB, true}, {56, isa.SizeDW, true}, {62, isa.SizeH, true},
	{68, isa.SizeW, false}, {84, isa.SizeW, false}, {164, isa.SizeW, false}, {176, isa.SizeW, false},
	{0, isa.SizeH, false}, {1, isa.SizeB, false}, {35, isa.SizeB, false}, {17, isa.SizeB, false},
}

func hasCtx(g *gen) bool { return g.f.base == baseCtx }

func hasDirectPacket(g *gen) bool { return hasCtx(g) && g.c.Type != ebpf.SocketFilter }

// hasLegacyPacket: in functions that others call, Linux wants BTF for these.
func hasLegacyPacket(g *gen) bool { return hasCtx(g) && g.f.level == 0 && types[g.c.Type].legacy }

// context loads or stores a field.
func (g *gen) context() {
	f := pick(g, types[g.c.Type].fields)
	r := g.hold()
	g.load(isa.SizeDW, r, isa.R10, slotBase)
	if f.write && g.one(2) {
		g.store(f.size, r, f.off, g.reg())
	} else {
		g.load(f.size, g.reg(), r, f.off)
	}
	g.release(1 << r)
}

// packet accesses the packet behind a test of its bounds.
func (g *gen) packet() {
	t := types[g.c.Type]
	ctx, data, end := g.hold(), g.hold(), g.hold()
	g.load(isa.SizeDW, ctx, isa.R10, slotBase)
	g.load(isa.SizeW, data, ctx, t.data)
	g.load(isa.SizeW, end, ctx, t.dataEnd)
	if g.one(3) {
		r := g.reg()
		g.aluImm(isa.AluAND, r, pick(g, []int32{1, 7, 0x3f, 0xff, 0x7ff}))
		g.aluReg(isa.AluADD, data, r)
	}
	a := area{base: data, first: int16(pick(g, []int{0, 0, 6, 12, 14, 23, 60, g.rand.IntN(200)})), size: 1 + g.rand.IntN(16), plain: true}
	g.movReg(ctx, data) // from here on ctx is the end of what is accessed
	g.aluImm(isa.AluADD, ctx, int32(a.first)+int32(a.size))
	skip := g.jump(g.outside(ctx, end))
	for range 1 + g.rand.IntN(3) {
		g.access(a)
	}
	g.land(skip)
	g.release(1<<ctx | 1<<data | 1<<end)
}

// outside gives one of the comparisons that are true where p is beyond end.
func (g *gen) outside(p, end uint8) isa.Instruction {
	return pick(g, []isa.Instruction{
		{Op: isa.ClassJMP | isa.SrcX | isa.JmpJGT, Dst: p, Src: end},
		{Op: isa.ClassJMP | isa.SrcX | isa.JmpJGE, Dst: p, Src: end}, // one byte too careful
		{Op: isa.ClassJMP | isa.SrcX | isa.JmpJLT, Dst: end, Src: p},
		{Op: isa.ClassJMP | isa.SrcX | isa.JmpJLE, Dst: end, Src: p},
	})
}

// loadLegacy loads from the packet with LD_ABS or LD_IND; one that misses the
// packet ends the program.
func (g *gen) loadLegacy() {
	i := isa.Instruction{Op: isa.ClassLD | isa.ModeABS | pick(g, []uint8{isa.SizeB, isa.SizeH, isa.SizeW})}
	if g.one(2) {
		i.Op ^= isa.ModeABS ^ isa.ModeIND
		i.Src = g.regOf(0x3ff &^ (1 << isa.R6))
		if !g.one(4) {
			g.aluImm(isa.AluAND, i.Src, 0xf)
		}
	}
	i.Imm = pick(g, []int32{0, 0, 6, 12, 12, 14, 23, 60, -1, -0x100000, -0x200000, int32(g.rand.IntN(300))})
	g.load(isa.SizeDW, isa.R6, isa.R10, slotBase)
	g.add(i)
	g.release(callerSaved | 1<<isa.R6)
}

// input makes the packet and the context of a case.
func (g *gen) input() {
	g.c.Packet = g.frame(pick(g, []int{14, 15, 20, 33, 34, 42, 54, 60, 64, 128, 590, 1500, 14 + g.rand.IntN(1487)}))
	if g.one(2) {
		return
	}
	if g.c.Type == ebpf.XDP {
		g.c.Ctx = g.xdpContext()
	} else {
		g.c.Ctx = g.skbContext()
	}
}

// xdpContext makes a struct xdp_md: data is the length of the metadata before
// the packet, data_end its end.
func (g *gen) xdpContext() []byte {
	meta := 4 * g.rand.IntN(9)
	g.c.Packet = append(g.bytes(meta), g.c.Packet...)
	ctx := make([]byte, 24)
	binary.LittleEndian.PutUint32(ctx[0:], uint32(meta))
	binary.LittleEndian.PutUint32(ctx[4:], uint32(len(g.c.Packet)))
	return ctx
}

// skbContext makes a struct __sk_buff that sets mark, priority and cb.
func (g *gen) skbContext() []byte {
	ctx := make([]byte, 192)
	for _, off := range []int{8, 32, 48, 52, 56, 60, 64} {
		binary.LittleEndian.PutUint32(ctx[off:], uint32(g.word()))
	}
	return ctx
}

// frame makes an Ethernet frame of n bytes, at least 14; where there is room it
// looks like IP more often than not.
func (g *gen) frame(n int) []byte {
	b := g.bytes(n)
	switch {
	case n >= 34 && !g.one(3):
		copy(b[12:], []byte{0x08, 0x00, 0x45, 0x00, byte((n - 14) >> 8), byte(n - 14)})
		b[23] = pick(g, []byte{6, 17, 1})
	case n >= 54 && g.one(2):
		copy(b[12:], []byte{0x86, 0xdd, 0x60})
	case n >= 18 && g.one(2):
		copy(b[12:], []byte{0x81, 0x00, 0x00, 0x07, 0x08, 0x00})
	}
	return b
}
