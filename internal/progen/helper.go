package progen

import (
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
)

// arg writes code that fills an argument's register.
type arg func(g *gen, r uint8)

// helperCall is a helper and how its arguments are made.
type helperCall struct {
	fn    asm.BuiltinFunc
	types []ebpf.ProgramType // nil: all
	args  []arg
}

// growers lengthen a socket buffer at its head. Linux doubles its memory each
// time that it has to be allocated anew, and gives ENOMEM after about eleven
// times; so programs call them outside of loops only.
var growers = []asm.BuiltinFunc{asm.FnSkbVlanPush, asm.FnSkbChangeHead, asm.FnSkbChangeProto, asm.FnSkbAdjustRoom}

var (
	xdp    = []ebpf.ProgramType{ebpf.XDP}
	tc     = []ebpf.ProgramType{ebpf.SchedCLS}
	skb    = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SocketFilter}
	direct = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.XDP}
)

// helperCalls are the helpers whose result depends on nothing but the case.
var helperCalls = []helperCall{
	{asm.FnGetSmpProcessorId, nil, nil},
	{asm.FnStrncmp, nil, []arg{memory(8, 5, 1, 16), size, literal}},
	{asm.FnStrtol, nil, []arg{digits, size, oneOf(0, 0, 8, 10, 16, 1), memory(8)}},
	{asm.FnStrtoul, nil, []arg{digits, size, oneOf(0, 0, 8, 10, 16, 37), memory(8)}},
	{asm.FnSnprintf, nil, []arg{memory(1, 8, 24, 32), size, format, nil, nil}},
	{asm.FnCsumDiff, direct, []arg{memory(4, 8, 20, 40), size, memory(4, 8, 20, 40), size, number}},
	{asm.FnRedirect, direct, []arg{masked(7), oneOf(0, 0, 1, 2, 4)}},

	{asm.FnXdpAdjustHead, xdp, []arg{context, delta}},
	{asm.FnXdpAdjustTail, xdp, []arg{context, delta}},
	{asm.FnXdpAdjustMeta, xdp, []arg{context, delta}},
	{asm.FnXdpGetBuffLen, xdp, []arg{context}},
	{asm.FnXdpLoadBytes, xdp, []arg{context, offset, memory(1, 4, 14, 33), size}},
	{asm.FnXdpStoreBytes, xdp, []arg{context, offset, memory(1, 4, 14, 33), size}},

	{asm.FnSkbLoadBytes, skb, []arg{context, offset, memory(1, 4, 14, 33), size}},
	{asm.FnSkbLoadBytesRelative, skb, []arg{context, offset, memory(1, 4, 14, 33), size, oneOf(0, 1, 2)}},
	{asm.FnSkbStoreBytes, tc, []arg{context, offset, memory(1, 4, 14, 33), size, oneOf(0, 0, 1, 2, 3, 4)}},
	{asm.FnL3CsumReplace, tc, []arg{context, checksum, number, number, oneOf(0, 2, 4, 3, 1)}},
	{asm.FnL4CsumReplace, tc, []arg{context, checksum, number, number, oneOf(0, 2, 4, 0x10, 0x12, 0x14, 0x22, 0x62, 0x54, 0x100)}},
	{asm.FnSkbPullData, tc, []arg{context, offset}},
	{asm.FnCsumUpdate, tc, []arg{context, number}},
	{asm.FnCsumLevel, tc, []arg{context, oneOf(0, 1, 2, 3, 4)}},
	{asm.FnSkbChangeType, tc, []arg{context, oneOf(0, 1, 2, 3, 4)}},
	{asm.FnSetHash, tc, []arg{context, number}},
	{asm.FnSetHashInvalid, tc, []arg{context}},
	{asm.FnSkbVlanPush, tc, []arg{context, oneOf(0x0081, 0xa888, 0), masked(0xffff)}},
	{asm.FnSkbVlanPop, tc, []arg{context}},
	{asm.FnSkbChangeTail, tc, []arg{context, masked(0x7ff), oneOf(0, 0, 0, 1)}},
	{asm.FnSkbChangeHead, tc, []arg{context, masked(0x1f), oneOf(0, 0, 0, 1)}},
	{asm.FnSkbChangeProto, tc, []arg{context, oneOf(0x0008, 0xdd86), oneOf(0, 0, 0, 1)}},
	{asm.FnSkbAdjustRoom, tc, []arg{context, delta, oneOf(0, 0, 1, 1, 2), roomFlags}},
	{asm.FnSkbAdjustRoom, tc, []arg{context, oneOf(8, 20, 28, 40), oneOf(0, 1), roomFlags}},
	{asm.FnSkbEcnSetCe, tc, []arg{context}},
	{asm.FnSkbSetTstamp, tc, []arg{context, number, oneOf(0, 1, 2, 3)}},
	{asm.FnRedirectPeer, tc, []arg{masked(7), oneOf(0, 0, 1)}},
	{asm.FnRedirectNeigh, tc, []arg{masked(7), oneOf(0), oneOf(0), oneOf(0, 0, 1)}},
}

// helper calls a helper out of the table.
func (g *gen) helper() {
	var fit []helperCall
	for _, h := range helperCalls {
		needsCtx := len(h.args) > 0 && h.types != nil && !slices.Equal(h.types, direct)
		if slices.Contains(growers, h.fn) && (g.f.level > 0 || g.depth > 1) {
			continue
		}
		if (h.types == nil || slices.Contains(h.types, g.c.Type)) && (!needsCtx || hasCtx(g)) {
			fit = append(fit, h)
		}
	}
	h := pick(g, fit)
	for i, a := range h.args {
		if a != nil {
			a(g, isa.R1+uint8(i))
			g.held |= 1 << (isa.R1 + uint8(i))
		}
	}
	g.callHelper(int32(h.fn))
	g.release(callerSaved)
}

// context is the program's context.
func context(g *gen, r uint8) { g.load(isa.SizeDW, r, isa.R10, slotBase) }

// number is any number.
func number(g *gen, r uint8) { g.movReg(r, g.reg()) }

// masked is a number of some bits.
func masked(mask int32) arg {
	return func(g *gen, r uint8) {
		number(g, r)
		g.aluImm(isa.AluAND, r, mask)
	}
}

// oneOf is one of some constants.
func oneOf(of ...int32) arg {
	return func(g *gen, r uint8) { g.movImm(r, pick(g, of)) }
}

// offset is a place in the packet, or behind it, or none.
func offset(g *gen, r uint8) {
	if g.one(2) {
		masked(pick(g, []int32{0x3f, 0x1ff, 0x7ff}))(g, r)
	} else {
		g.movImm(r, pick(g, []int32{0, 12, 14, 23, 24, 40, 50, -1, 0xffff, 0x10000}))
	}
}

// checksum is where a checksum of a header may lie.
func checksum(g *gen, r uint8) {
	if g.one(4) {
		offset(g, r)
	} else {
		g.movImm(r, pick(g, []int32{24, 36, 40, 50, 60, 16, 13}))
	}
}

// roomFlags are flags of bpf_skb_adjust_room: layers that are added or taken
// away, and in the upper byte the length of an added MAC header.
func roomFlags(g *gen, r uint8) {
	if g.one(3) {
		g.wide(r, isa.PseudoNone, pick(g, []int32{2, 4, 0x0a, 0x52}), int32(14<<24))
		return
	}
	g.movImm(r, pick(g, []int32{0, 0, 0, 1, 2, 4, 6, 0x0a, 0x0c, 0x12, 0x14, 0x1a, 0x20, 0x80, 0x100, 0x180}))
}

// delta is a length by which a packet grows or shrinks.
func delta(g *gen, r uint8) {
	if g.one(2) {
		masked(pick(g, []int32{0x3, 0x1c, 0x3f}))(g, r)
		if g.one(2) {
			g.add(isa.Instruction{Op: isa.ClassALU64 | isa.AluNEG, Dst: r})
		}
	} else {
		g.movImm(r, pick(g, []int32{0, 1, -1, 4, -4, -8, 14, -14, 20, -20, 28, -32, 40, -40, -216, -217, -256, 256, 1500, 3000, -3000}))
	}
}

// memory is a piece of the data slots, of one of some sizes in bytes.
func memory(sizes ...int) arg {
	return func(g *gen, r uint8) {
		g.bytesPassed = pick(g, sizes)
		g.pointer(r, g.dataAt(min(g.bytesPassed, g.f.data)))
	}
}

// digits is memory that begins with text as bpf_strtol reads it.
func digits(g *gen, r uint8) {
	g.bytesPassed = pick(g, []int{16, 9, 8, 5, 3})
	off := int16(g.dataAt(16))
	g.storeImm(isa.SizeW, isa.R10, off, word(pick(g, []string{"1234", " -12", "0x7f", "0777", "-0xF", "+1  ", "9223", "18x4", "\t\n42", "-"})))
	g.storeImm(isa.SizeW, isa.R10, off+4, word(pick(g, []string{"5678", "9abc", " 1", "", "g", "ffff", "9999"})))
	g.storeImm(isa.SizeDW, isa.R10, off+8, word(pick(g, []string{"", "1234", "ffff", "\n"})))
	g.pointer(r, int32(off))
}

// word is up to four bytes of text as an immediate.
func word(text string) (imm int32) {
	for i := range len(text) {
		imm |= int32(text[i]) << (8 * i)
	}
	return imm
}

// size is the size of the memory that was passed before.
func size(g *gen, r uint8) { g.movImm(r, int32(g.bytesPassed)) }

// literal is a constant string.
func literal(g *gen, r uint8) {
	g.loadMap(r, isa.PseudoMapValue, g.mapOf(mapText), int32(pick(g, formats).at))
}

// format is a format string; it fills in the two arguments behind as well.
func format(g *gen, r uint8) {
	f := pick(g, formats)
	g.loadMap(r, isa.PseudoMapValue, g.mapOf(mapText), int32(f.at))
	g.held |= 1 << r
	memory(8*f.args)(g, r+1)
	g.movImm(r+2, int32(8*f.args))
	g.held |= 1 << (r + 2)
}

// formats are the strings of mapText: where they begin, and how many numbers
// they print.
var formats []struct{ at, args int }

// text is all of them, each ended by a zero byte.
var text = func() string {
	var all string
	for _, f := range []struct {
		text string
		args int
	}{
		{"", 0}, {"plain", 0}, {"100%%", 0}, {"%d", 1}, {"%u %x", 2}, {"%lld %llu %llx", 3}, {"%i|%ld", 2},
		{"%5d|%-8x|%08llx", 3}, {"%c%c", 2}, {"%X %x", 2}, {"%+d % d", 2}, {"%lu:%lx:%li", 3},
	} {
		formats = append(formats, struct{ at, args int }{len(all), f.args})
		all += f.text + "\x00"
	}
	return all
}()
