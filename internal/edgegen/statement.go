package edgegen

import "github.com/skep-ebpf/skep/isa"

// sizes are the size bits of loads and stores, with the sizes in bytes.
var sizes = []struct {
	bits  uint8
	bytes int
}{{isa.SizeB, 1}, {isa.SizeH, 2}, {isa.SizeW, 4}, {isa.SizeDW, 8}}

// unknownNumber makes a register hold a number that nobody knows.
func (g *gen) unknownNumber() {
	r := g.free()
	switch g.IntN(4) {
	case 0, 1:
		g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, r, 6, 8, 0) // skb->mark
	case 2:
		g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, r, 6, 0, 0) // skb->len
	case 3:
		g.call0(7) // bpf_get_prandom_u32
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, 0, 0, 0)
	}
	g.regs[r] = number
	if g.IntN(3) == 0 {
		g.emit(isa.ClassALU64|isa.AluAND, r, 0, 0, g.small())
	}
}

// call0 calls a helper without arguments.
func (g *gen) call0(id int32) {
	g.emit(isa.ClassJMP|isa.JmpCALL, 0, 0, 0, id)
	for r := 1; r <= 5; r++ {
		g.regs[r] = empty
	}
	g.regs[0] = number
}

var aluOps = []uint8{
	isa.AluADD, isa.AluADD, isa.AluSUB, isa.AluSUB, isa.AluAND, isa.AluAND, isa.AluOR, isa.AluXOR, isa.AluMUL,
	isa.AluDIV, isa.AluMOD, isa.AluLSH, isa.AluRSH, isa.AluARSH, isa.AluNEG, isa.AluEND,
}

// arithmetic changes a number.
func (g *gen) arithmetic() {
	r := g.pickKind(number)
	class, width := uint8(isa.ClassALU64), int32(64)
	if g.IntN(2) == 0 {
		class, width = isa.ClassALU, 32
	}
	op := aluOps[g.IntN(len(aluOps))]
	switch {
	case op == isa.AluNEG:
		g.emit(class|op, r, 0, 0, 0)
		return
	case op == isa.AluEND:
		g.emit(isa.ClassALU|op|[]uint8{isa.SrcK, isa.SrcX}[g.IntN(2)], r, 0, 0, []int32{16, 32, 64}[g.IntN(3)])
		return
	}
	var off int16
	if (op == isa.AluDIV || op == isa.AluMOD) && g.IntN(3) == 0 {
		off = 1
	}
	if g.IntN(3) == 0 {
		g.emit(class|op|isa.SrcX, r, g.pickKind(number), off, 0)
		return
	}
	imm := g.any()
	switch op {
	case isa.AluLSH, isa.AluRSH, isa.AluARSH:
		imm = int32(g.IntN(int(width)))
		if g.IntN(2) == 0 {
			imm = []int32{1, 2, 3, 8, 16, width / 2, width - 1}[g.IntN(7)]
		}
	case isa.AluDIV, isa.AluMOD:
		if imm == 0 {
			imm = 1
		}
	}
	g.emit(class|op, r, 0, off, imm)
}

var jumpOps = []uint8{
	isa.JmpJGT, isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE, isa.JmpJSGT, isa.JmpJSGE, isa.JmpJSLT, isa.JmpJSLE,
	isa.JmpJEQ, isa.JmpJNE, isa.JmpJSET,
}

// compare is a conditional jump on a number, whose target is still to be set.
func (g *gen) compare(r uint8) int {
	class := uint8(isa.ClassJMP)
	if g.IntN(3) == 0 {
		class = isa.ClassJMP32
	}
	op := jumpOps[g.IntN(len(jumpOps))]
	if g.IntN(4) == 0 {
		return g.emit(class|op|isa.SrcX, r, g.pickKind(number), 0, 0)
	}
	return g.emit(class|op, r, 0, 0, g.small())
}

// bound compares a number and leaves the program on one side.
func (g *gen) bound() {
	r := g.pickKind(number)
	g.exits = append(g.exits, g.compare(r))
}

// copy copies a register, whole or in part.
func (g *gen) copy() {
	src := uint8(g.IntN(10))
	if g.regs[src] == empty && g.IntN(20) > 0 {
		src = g.pickKind(number)
	}
	dst, kind := g.free(), g.regs[src]
	switch {
	case kind == number && g.IntN(4) == 0:
		g.emit(isa.ClassALU|isa.AluMOV|isa.SrcX, dst, src, 0, 0)
	case kind == number && g.IntN(5) == 0:
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, src, []int16{8, 16, 32}[g.IntN(3)], 0)
	default:
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, src, 0, 0)
	}
	g.regs[dst] = kind
	if kind == number && g.IntN(3) == 0 { // a linked number with a distance
		g.emit(isa.ClassALU64|isa.AluADD, dst, 0, 0, g.small())
	}
}

// lookup asks a map for a value.
func (g *gen) lookup() {
	m := int32(g.IntN(2))
	g.emit(isa.ClassST|isa.ModeMEM|isa.SizeDW, 10, 0, -8, int32(g.IntN(3)))
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 2, 10, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD, 2, 0, 0, -8)
	g.emit(isa.OpLDDW, 1, isa.PseudoMapFD, 0, m)
	g.emit(0, 0, 0, 0, 0)
	g.call0(1)
	g.regs[0] = valueOrNull
	if g.IntN(3) > 0 {
		g.exits = append(g.exits, g.emit(isa.ClassJMP|isa.JmpJEQ, 0, 0, 0, 0))
		g.regs[0] = value
	}
	if g.IntN(2) == 0 {
		dst := []uint8{7, 8, 9}[g.IntN(3)]
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, 0, 0, 0)
		g.regs[dst] = g.regs[0]
	}
}

// nullCheck compares a pointer with NULL, and copies of it become pointers too.
func (g *gen) nullCheck() {
	r, ok := g.pick(valueOrNull)
	if !ok {
		return
	}
	at := g.emit(isa.ClassJMP|[]uint8{isa.JmpJEQ, isa.JmpJEQ, isa.JmpJEQ, isa.JmpJNE}[g.IntN(4)], r, 0, 0, 0)
	g.exits = append(g.exits, at)
	for i, k := range g.regs {
		if k == valueOrNull {
			g.regs[i] = value
		}
	}
}

// addToPointer adds a number, or takes one away.
func (g *gen) addToPointer() {
	r, ok := g.pick(value, packet, stack, value, packet)
	if !ok || r == 6 {
		return
	}
	op := uint8(isa.AluADD)
	if g.IntN(6) == 0 {
		op = isa.AluSUB
	}
	if n, ok := g.pick(number); ok && g.IntN(3) > 0 {
		if g.IntN(3) == 0 { // the right bound, or nearly
			g.exits = append(g.exits, g.emit(isa.ClassJMP|isa.JmpJGT, n, 0, 0, int32(g.maps[0].ValueSize)-8+int32(g.IntN(10))))
		}
		g.emit(isa.ClassALU64|op|isa.SrcX, r, n, 0, 0)
		return
	}
	g.emit(isa.ClassALU64|op, r, 0, 0, g.small())
}

// memory loads or stores through a pointer, near the object's end.
func (g *gen) memory() {
	r, ok := g.pick(value, packet, stack, value, packet, valueOrNull)
	if !ok && g.IntN(20) > 0 {
		return
	}
	if !ok || g.IntN(100) == 0 {
		r = uint8(g.IntN(10))
	}
	size := sizes[g.IntN(len(sizes))]
	off := int16(g.IntN(5))
	switch g.regs[r] {
	case value:
		if g.IntN(2) == 0 {
			off = int16(int(g.maps[0].ValueSize) - size.bytes + []int{-8, -4, -1, 0, 0, 0, 1}[g.IntN(7)])
		}
	case stack:
		off = -int16(size.bytes) * int16(1+g.IntN(4))
	case packet:
		off = int16([]int{0, 1, 8, 12, 13, 14, 16, 20}[g.IntN(8)])
	}
	if g.IntN(3) == 0 {
		if src, ok := g.pick(number); ok && g.IntN(2) == 0 {
			g.emit(isa.ClassSTX|isa.ModeMEM|size.bits, r, src, off, 0)
			return
		}
		g.emit(isa.ClassST|isa.ModeMEM|size.bits, r, 0, off, g.small())
		return
	}
	mode := uint8(isa.ModeMEM)
	if size.bytes < 8 && g.IntN(5) == 0 {
		mode = isa.ModeMEMSX
	}
	dst := g.free()
	g.emit(isa.ClassLDX|mode|size.bits, dst, r, off, 0)
	g.regs[dst] = number
}

// packetPointers loads the packet's beginning and end.
func (g *gen) packetPointers() {
	dst := []uint8{7, 8, 2}[g.IntN(3)]
	g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, dst, 6, 76, 0) // skb->data
	g.regs[dst] = packet
	end := []uint8{9, 3}[g.IntN(2)]
	g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, end, 6, 80, 0) // skb->data_end
	g.regs[end] = packetEnd
}

// packetCheck compares a pointer behind the packet's beginning with its end.
func (g *gen) packetCheck() {
	p, ok := g.pick(packet)
	if !ok {
		return
	}
	end, ok := g.pick(packetEnd)
	if !ok {
		return
	}
	probe := g.free()
	if probe == p || probe == end {
		return
	}
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, probe, p, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD, probe, 0, 0, []int32{1, 8, 13, 14, 15, 20, 34}[g.IntN(7)])
	if n, ok := g.pick(number); ok && g.IntN(4) == 0 {
		g.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, probe, n, 0, 0)
	}
	g.regs[probe] = packet
	op := []uint8{isa.JmpJGT, isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE}[g.IntN(5)]
	if g.IntN(3) == 0 {
		g.exits = append(g.exits, g.emit(isa.ClassJMP|op|isa.SrcX, end, probe, 0, 0))
		return
	}
	g.exits = append(g.exits, g.emit(isa.ClassJMP|op|isa.SrcX, probe, end, 0, 0))
}

// spillAndFill takes a register through the stack, whole or in part.
func (g *gen) spillAndFill() {
	src := uint8(g.IntN(10))
	if g.regs[src] == empty {
		src = g.pickKind(number)
	}
	off := -int16(8 * (2 + g.IntN(4)))
	in, out := sizes[3], sizes[3]
	if g.regs[src] == number {
		in, out = sizes[g.IntN(4)], sizes[g.IntN(4)]
		if g.IntN(2) == 0 {
			out = in
		}
	}
	g.emit(isa.ClassSTX|isa.ModeMEM|in.bits, 10, src, off, 0)
	if g.IntN(6) == 0 {
		g.emit(isa.ClassST|isa.ModeMEM|sizes[g.IntN(4)].bits, 10, 0, off+int16(g.IntN(8)), g.small())
	}
	if g.IntN(4) == 0 {
		g.statement()
	}
	dst := g.free()
	shift := int16(0)
	if out.bytes < 8 && g.IntN(4) == 0 {
		shift = int16(out.bytes * g.IntN(8/out.bytes))
	}
	kind := g.regs[src]
	g.emit(isa.ClassLDX|isa.ModeMEM|out.bits, dst, 10, off+shift, 0)
	g.regs[dst] = kind
}

// stackPointer makes a pointer into the stack.
func (g *gen) stackPointer() {
	dst := g.free()
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, 10, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD, dst, 0, 0, -int32(8*g.IntN(6)))
	g.regs[dst] = stack
}

// loop counts a register up to a number.
func (g *gen) loop() {
	if g.depth > 1 {
		return
	}
	g.depth++
	defer func() { g.depth-- }()
	i := []uint8{7, 8, 9}[g.IntN(3)]
	g.emit(isa.ClassALU64|isa.AluMOV, i, 0, 0, int32(g.IntN(3)))
	g.regs[i] = number
	head := len(g.insns)
	for range 1 + g.IntN(3) {
		g.statement()
	}
	step := isa.ClassALU64 | isa.AluADD
	if g.IntN(4) == 0 {
		step = isa.ClassALU | isa.AluADD
	}
	g.emit(uint8(step), i, 0, 0, int32(1+g.IntN(2)))
	at := g.emit(isa.ClassJMP|[]uint8{isa.JmpJLT, isa.JmpJLT, isa.JmpJSLT, isa.JmpJNE, isa.JmpJLE}[g.IntN(5)], i, 0, 0, int32(2+g.IntN(12)))
	if n, ok := g.pick(number); ok && n != i && g.IntN(6) == 0 {
		g.insns[at].Op |= isa.SrcX
		g.insns[at].Src, g.insns[at].Imm = n, 0
	}
	g.insns[at].Off = int16(head - at - 1)
}

// branch does something on one side only.
func (g *gen) branch() {
	at := g.compare(g.pickKind(number))
	before := g.regs
	for range 1 + g.IntN(3) {
		g.statement()
	}
	g.insns[at].Off = int16(len(g.insns) - at - 1)
	for r, k := range before {
		if k != g.regs[r] && g.IntN(20) > 0 {
			g.regs[r] = empty
		}
	}
}

// call calls the function behind the program.
func (g *gen) call() {
	for r := uint8(1); r <= 2; r++ {
		src := g.pickKind(number)
		if src != r {
			g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, src, 0, 0)
		}
		g.regs[r] = number
	}
	g.funcs = append(g.funcs, g.emit(isa.ClassJMP|isa.JmpCALL, 0, isa.CallLocal, 0, 0))
	for r := 1; r <= 5; r++ {
		g.regs[r] = empty
	}
	g.regs[0] = number
}

// helper calls a helper that reads or writes memory of a size.
func (g *gen) helper() {
	room := int32(8 * (1 + g.IntN(4)))
	size := room + []int32{0, 0, 0, 1, -1, -8}[g.IntN(6)]
	n, bounded := g.pick(number)
	if bounded = bounded && g.IntN(2) == 0; bounded {
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 4, n, 0, 0)
		if g.IntN(4) > 0 {
			g.exits = append(g.exits, g.emit(isa.ClassJMP|isa.JmpJGT, 4, 0, 0, size))
		}
		if g.IntN(2) == 0 {
			g.exits = append(g.exits, g.emit(isa.ClassJMP|isa.JmpJEQ, 4, 0, 0, 0))
		}
	} else {
		g.emit(isa.ClassALU64|isa.AluMOV, 4, 0, 0, size)
	}
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 1, 6, 0, 0)
	g.emit(isa.ClassALU64|isa.AluMOV, 2, 0, 0, int32(g.IntN(16)))
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 3, 10, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD, 3, 0, 0, -room)
	id := int32(26) // bpf_skb_load_bytes
	if g.IntN(3) == 0 {
		id = 9 // bpf_skb_store_bytes
		g.emit(isa.ClassALU64|isa.AluMOV, 5, 0, 0, 0)
	}
	g.call0(id)
	if id == 9 {
		for r, k := range g.regs {
			if k == packet || k == packetEnd {
				g.regs[r] = empty
			}
		}
	}
}

var atomicOps = []int32{
	isa.AtomicADD, isa.AtomicADD | isa.AtomicFetch, isa.AtomicOR | isa.AtomicFetch, isa.AtomicAND, isa.AtomicXOR,
	isa.AtomicXCHG, isa.AtomicCMPXCHG,
}

// atomic changes a map's value or the stack.
func (g *gen) atomic() {
	r, ok := g.pick(value, stack)
	if !ok {
		return
	}
	off := int16(0)
	if g.regs[r] == stack {
		off = -8
	}
	src := g.pickKind(number)
	op := atomicOps[g.IntN(len(atomicOps))]
	if op == isa.AtomicCMPXCHG && g.regs[0] != number && g.IntN(5) > 0 {
		return
	}
	g.emit(isa.ClassSTX|isa.ModeATOMIC|[]uint8{isa.SizeW, isa.SizeDW}[g.IntN(2)], r, src, off, op)
	switch {
	case op == isa.AtomicCMPXCHG:
		g.regs[0] = number
	case op&isa.AtomicFetch != 0:
		g.regs[src] = number
	}
}
