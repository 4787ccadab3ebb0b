package edgegen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Flow makes a program whose fate depends on which way it took: registers and stack
// slots get numbers and pointers on some ways, through branches, loops, functions and
// callbacks, and decide later whether an access is inside its object. It is for what
// forgets ways: pruning, precision, liveness, loops that converge.
func Flow(r *rand.Rand) *Program {
	g := &gen{Rand: r}
	g.maps = []*ebpf.MapSpec{{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 1}}
	f := &flow{gen: g, numbers: []uint8{6, 7, 8, 9}}
	f.begin()
	for range 4 + r.IntN(9) {
		f.statement()
	}
	f.emit(isa.ClassALU64|isa.AluMOV, 0, 0, 0, 0)
	f.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
	for n := 0; n < len(f.calls); n++ {
		f.callee(f.calls[n])
	}
	return &Program{g.insns, g.maps}
}

// flow builds one function of such a program.
type flow struct {
	*gen
	numbers []uint8 // registers that hold numbers
	memory  bool    // R6 points to memory of the caller's
	calls   []call  // functions yet to be made
	level   int     // of calls
	nested  int     // of branches and loops
}

// call is the call, or the load of the address, of a function yet to be made.
type call struct {
	at       int
	callback bool
	level    int
}

const flowSlots = 5

// flowStatements with how often each is made.
var flowStatements []flowChoice

type flowChoice struct {
	weight int
	make   func(*flow)
}

func init() {
	flowStatements = []flowChoice{
		{8, (*flow).unknown}, {8, (*flow).assign}, {8, (*flow).compute}, {7, (*flow).spill}, {7, (*flow).fill},
		{12, (*flow).skip}, {8, (*flow).use}, {4, (*flow).pointer}, {4, (*flow).usePointer}, {3, (*flow).count},
		{2, (*flow).mayGoto}, {3, (*flow).call}, {2, (*flow).loopHelper}, {2, (*flow).caller},
	}
}

func (f *flow) statement() {
	if len(f.insns) > maxInsns {
		return
	}
	total := 0
	for _, s := range flowStatements {
		total += s.weight
	}
	n := f.IntN(total)
	for _, s := range flowStatements {
		if n -= s.weight; n < 0 {
			s.make(f)
			return
		}
	}
}

// begin gives all registers and most slots a number.
func (f *flow) begin() {
	for _, r := range f.numbers {
		f.emit(isa.ClassALU64|isa.AluMOV, r, 0, 0, f.index())
	}
	for n := range flowSlots {
		if f.IntN(8) > 0 {
			f.emit(isa.ClassST|isa.ModeMEM|isa.SizeDW, 10, 0, slotOffset(n), f.index())
		}
	}
}

func slotOffset(n int) int16 { return int16(-8 * (n + 1)) }

func (f *flow) slot() int16 { return slotOffset(f.IntN(flowSlots)) }

func (f *flow) num() uint8 { return f.numbers[f.IntN(len(f.numbers))] }

// index is a number that is, most of the time, an index into the map's value.
func (f *flow) index() int32 {
	if f.IntN(12) == 0 {
		return []int32{64, 65, -1, 128}[f.IntN(4)]
	}
	return []int32{0, 0, 1, 2, 4, 8, 16, 32, 40, 60}[f.IntN(10)]
}

// unknown makes a number of which a few bits are not known.
func (f *flow) unknown() {
	f.emit(isa.ClassJMP|isa.JmpCALL, 0, isa.CallHelper, 0, 7) // bpf_get_prandom_u32
	r := f.num()
	f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, 0, 0, 0)
	if f.IntN(6) > 0 {
		f.emit(isa.ClassALU64|isa.AluAND, r, 0, 0, []int32{1, 3, 7, 15, 63, 4, 8}[f.IntN(7)])
	}
}

func (f *flow) assign() {
	class := uint8(isa.ClassALU64)
	if f.IntN(4) == 0 {
		class = isa.ClassALU
	}
	if f.IntN(2) == 0 {
		f.emit(class|isa.AluMOV|isa.SrcX, f.num(), f.num(), 0, 0)
		return
	}
	f.emit(class|isa.AluMOV, f.num(), 0, 0, f.index())
}

func (f *flow) compute() {
	class := uint8(isa.ClassALU64)
	if f.IntN(4) == 0 {
		class = isa.ClassALU
	}
	switch r := f.num(); f.IntN(5) {
	case 0:
		f.emit(class|isa.AluAND, r, 0, 0, []int32{1, 7, 15, 31, 63}[f.IntN(5)])
	case 1:
		f.emit(class|isa.AluADD|isa.SrcX, r, f.num(), 0, 0)
	case 2:
		f.emit(class|isa.AluRSH, r, 0, 0, int32(1+f.IntN(2)))
	default:
		f.emit(class|isa.AluADD, r, 0, 0, []int32{1, 1, 2, 4, -1, 8}[f.IntN(6)])
	}
}

func (f *flow) size() uint8 {
	return []uint8{isa.SizeDW, isa.SizeDW, isa.SizeDW, isa.SizeW, isa.SizeW, isa.SizeH, isa.SizeB}[f.IntN(7)]
}

func (f *flow) spill() {
	off := f.slot()
	size := f.size()
	if size != isa.SizeDW && f.IntN(3) == 0 {
		off += 4
	}
	if f.IntN(4) == 0 {
		f.emit(isa.ClassST|isa.ModeMEM|size, 10, 0, off, f.index())
		return
	}
	f.emit(isa.ClassSTX|isa.ModeMEM|size, 10, f.num(), off, 0)
}

func (f *flow) fill() {
	off := f.slot()
	size := f.size()
	if size != isa.SizeDW && f.IntN(4) == 0 {
		off += 4
	}
	f.emit(isa.ClassLDX|isa.ModeMEM|size, f.num(), 10, off, 0)
}

// block makes some statements.
func (f *flow) block(most int) {
	f.nested++
	for range 1 + f.IntN(most) {
		f.statement()
	}
	f.nested--
}

// compareNumber emits a jump that is yet to be given where it leads.
func (f *flow) compareNumber() int {
	class := uint8(isa.ClassJMP)
	if f.IntN(4) == 0 {
		class = isa.ClassJMP32
	}
	op := []uint8{isa.JmpJEQ, isa.JmpJNE, isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE, isa.JmpJSGT, isa.JmpJSLT, isa.JmpJSET}[f.IntN(9)]
	if f.IntN(4) == 0 {
		return f.emit(class|op|isa.SrcX, f.num(), f.num(), 0, 0)
	}
	return f.emit(class|op, f.num(), 0, 0, f.index())
}

// land makes a jump lead here.
func (f *flow) land(at int) { f.insns[at].Off = int16(len(f.insns) - at - 1) }

// skip makes statements that one side passes by, and perhaps others for that side.
func (f *flow) skip() {
	if f.nested > 2 {
		return
	}
	at := f.compareNumber()
	f.block(3)
	if f.IntN(3) == 0 {
		over := f.emit(isa.ClassJMP|isa.JmpJA, 0, 0, 0, 0)
		f.land(at)
		f.block(2)
		at = over
	}
	f.land(at)
}

// use accesses the map's value, or the stack, at a number.
func (f *flow) use() {
	if f.IntN(3) == 0 {
		f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 1, 10, 0, 0)
		f.emit(isa.ClassALU64|isa.AluADD, 1, 0, 0, -72)
		f.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, 1, f.num(), 0, 0)
	} else {
		f.mapValue(1)
		f.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, 1, f.num(), 0, 0)
	}
	if f.IntN(3) == 0 {
		f.emit(isa.ClassST|isa.ModeMEM|isa.SizeB, 1, 0, 0, 1)
		return
	}
	f.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeB, f.num(), 1, 0, 0)
}

func (f *flow) mapValue(dst uint8) {
	f.emit(isa.OpLDDW, dst, isa.PseudoMapValue, 0, 0)
	f.emit(0, 0, 0, 0, 0)
}

// pointer puts a pointer into a slot.
func (f *flow) pointer() {
	switch f.IntN(3) {
	case 0:
		f.mapValue(1)
	case 1:
		f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 1, 10, 0, 0)
		f.emit(isa.ClassALU64|isa.AluADD, 1, 0, 0, int32(f.slot()))
	default:
		f.mapValue(1)
		f.emit(isa.ClassALU64|isa.AluADD, 1, 0, 0, f.index())
	}
	f.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, 1, f.slot(), 0)
}

// usePointer accesses memory through what a slot holds.
func (f *flow) usePointer() {
	f.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, 1, 10, f.slot(), 0)
	if f.IntN(2) == 0 {
		f.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 1, f.num(), 0, 0)
		return
	}
	f.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, f.num(), 1, 0, 0)
}

// count makes a loop that a register or a slot counts.
func (f *flow) count() {
	if f.nested > 1 {
		return
	}
	i, off := f.num(), f.slot()
	inSlot := f.IntN(3) == 0
	f.emit(isa.ClassALU64|isa.AluMOV, i, 0, 0, 0)
	if inSlot {
		f.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, i, off, 0)
	}
	head := len(f.insns)
	f.block(3)
	if inSlot {
		f.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, i, 10, off, 0)
	}
	f.emit(isa.ClassALU64|isa.AluADD, i, 0, 0, 1)
	if inSlot {
		f.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, i, off, 0)
	}
	at := f.emit(isa.ClassJMP|[]uint8{isa.JmpJLT, isa.JmpJNE, isa.JmpJSLT}[f.IntN(3)], i, 0, 0, int32(2+f.IntN(9)))
	f.insns[at].Off = int16(head - at - 1)
}

// mayGoto makes a loop that a may_goto ends.
func (f *flow) mayGoto() {
	if f.nested > 1 {
		return
	}
	head := f.emit(isa.ClassJMP|isa.JmpJCOND, 0, 0, 0, 0)
	f.block(4)
	back := f.emit(isa.ClassJMP|isa.JmpJA, 0, 0, 0, 0)
	f.insns[back].Off = int16(head - back - 1)
	f.land(head)
}

// argument makes of a register a pointer to a slot or, of a callee, perhaps the
// memory that it was given.
func (f *flow) argument(r uint8) {
	if f.memory && f.IntN(3) == 0 {
		f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, 6, 0, 0)
		return
	}
	f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, 10, 0, 0)
	f.emit(isa.ClassALU64|isa.AluADD, r, 0, 0, int32(f.slot()))
}

// call calls a function with a pointer to a slot and a number.
func (f *flow) call() {
	if f.level > 1 || len(f.calls) > 2 {
		return
	}
	f.argument(1)
	f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 2, f.num(), 0, 0)
	at := f.emit(isa.ClassJMP|isa.JmpCALL, 0, isa.CallLocal, 0, 0)
	f.calls = append(f.calls, call{at, false, f.level + 1})
	f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, f.num(), 0, 0, 0)
}

// loopHelper calls bpf_loop with a callback that gets a pointer to a slot.
func (f *flow) loopHelper() {
	if f.level > 0 || len(f.calls) > 2 {
		return
	}
	f.emit(isa.ClassALU64|isa.AluMOV, 1, 0, 0, int32(1+f.IntN(6)))
	at := f.emit(isa.OpLDDW, 2, isa.PseudoFunc, 0, 0)
	f.emit(0, 0, 0, 0, 0)
	f.calls = append(f.calls, call{at, true, f.level + 1})
	f.argument(3)
	f.emit(isa.ClassALU64|isa.AluMOV, 4, 0, 0, 0)
	f.emit(isa.ClassJMP|isa.JmpCALL, 0, isa.CallHelper, 0, 181)
	if f.IntN(2) == 0 {
		f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, f.num(), 0, 0, 0)
	}
}

// caller reads or writes the memory that a function was given.
func (f *flow) caller() {
	if !f.memory {
		return
	}
	switch f.IntN(3) {
	case 0:
		f.emit(isa.ClassLDX|isa.ModeMEM|f.size(), f.num(), 6, 0, 0)
	case 1:
		f.emit(isa.ClassSTX|isa.ModeMEM|f.size(), 6, f.num(), 0, 0)
	default:
		f.emit(isa.ClassST|isa.ModeMEM|f.size(), 6, 0, 0, f.index())
	}
}

// callee makes a function.
func (f *flow) callee(c call) {
	f.insns[c.at].Imm = int32(len(f.insns) - c.at - 1)
	f.numbers, f.memory, f.level, f.nested = []uint8{7, 8, 9}, true, c.level, 0
	memory, number := uint8(1), uint8(2)
	if c.callback {
		memory, number = number, memory
	}
	f.begin()
	f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 6, memory, 0, 0)
	f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, f.num(), number, 0, 0)
	for range 1 + f.IntN(4) {
		f.statement()
	}
	if c.callback && f.IntN(8) > 0 {
		f.emit(isa.ClassALU64|isa.AluMOV, 0, 0, 0, int32(f.IntN(2)))
	} else {
		f.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 0, f.num(), 0, 0)
	}
	f.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
}
