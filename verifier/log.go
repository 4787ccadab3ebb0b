package verifier

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
	"github.com/skep-ebpf/skep/vm/helper"
)

// logger writes what the walk sees, in the notation of Linux's log at level 2.
// A nil logger writes nothing.
type logger struct {
	w    io.Writer
	line bytes.Buffer
	// frame is a copy of the running function's frame from before the instruction,
	// frames how many there were.
	frame  frame
	frames int
	where  string // the source position last shown
}

// logComments is the column at which states stand behind instructions.
const logComments = 40

func newLogger(w io.Writer) *logger {
	if w == nil {
		return nil
	}
	return &logger{w: w}
}

// begin writes the state in which a function is entered.
func (l *logger) begin(c *checker) {
	if l == nil {
		return
	}
	fmt.Fprintf(l.w, "%d:%s\n", c.insn, c.stateText(c.st, nil))
}

// resume writes the state in which a path is taken up again.
func (l *logger) resume(c *checker) {
	if l == nil {
		return
	}
	fmt.Fprintf(l.w, "\nfrom %d to %d%s:%s\n", c.prev, c.insn, speculation(c.st), c.stateText(c.st, nil))
}

// widened writes the state that stands for all turns of a loop.
func (l *logger) widened(c *checker) {
	if l == nil {
		return
	}
	fmt.Fprintf(l.w, "\nfrom %d to %d (all turns):%s\n", c.prev, c.insn, c.stateText(c.st, nil))
}

// covered writes that a path need not be followed further.
func (l *logger) covered(c *checker) {
	if l == nil {
		return
	}
	fmt.Fprintf(l.w, "%d: safe\n", c.insn)
}

func speculation(s *state) string {
	if s.speculative {
		return " (speculative execution)"
	}
	return ""
}

// before writes an instruction that is about to be looked at.
func (l *logger) before(c *checker) {
	if l == nil {
		return
	}
	if where := c.img.Where(c.insn); where != l.where && where != "" {
		fmt.Fprintf(l.w, "; %s\n", where)
		l.where = where
	}
	l.frame = *c.st.cur()
	l.frame.stack = append([]slot(nil), l.frame.stack...)
	l.frames = len(c.st.frames)
	l.line.Reset()
	fmt.Fprintf(&l.line, "%d: (%02x) %s", c.insn, c.insns[c.insn].Op, c.text(c.insn))
}

// after writes what the instruction changed.
func (l *logger) after(c *checker) {
	if l == nil {
		return
	}
	var before *frame
	if l.frames == len(c.st.frames) {
		before = &l.frame
	}
	if changes := c.stateText(c.st, before); changes != "" && changes != frameName(c.st) {
		fmt.Fprintf(&l.line, "%*s;%s", max(1, logComments-l.line.Len()), "", changes)
	}
	l.flush()
}

// flush ends the current line.
func (l *logger) flush() {
	if l != nil && l.line.Len() > 0 {
		l.line.WriteByte('\n')
		l.w.Write(l.line.Bytes())
		l.line.Reset()
	}
}

func frameName(s *state) string {
	if n := len(s.frames) - 1; n > 0 {
		return fmt.Sprintf(" frame%d:", n)
	}
	return ""
}

// stateText is the running function's registers and stack that differ from
// before; all, where that is nil.
func (c *checker) stateText(s *state, before *frame) string {
	var b strings.Builder
	b.WriteString(frameName(s))
	f, frames := s.cur(), len(s.frames)
	for i := range f.regs {
		r := &f.regs[i]
		if r.Type == NotInit || before != nil && *r == before.regs[i] {
			continue
		}
		fmt.Fprintf(&b, " R%d=%s", i, c.regText(r, frames-1, f.precise>>i&1 != 0))
	}
	for i := range f.stack {
		if before != nil && i < len(before.stack) && f.stack[i] == before.stack[i] {
			continue
		}
		b.WriteString(c.slotText(f, i, frames-1))
	}
	if before == nil && len(s.refs) > 0 {
		b.WriteString(" refs=")
		for i, r := range s.refs {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, r.id)
		}
	}
	if f.callback {
		b.WriteString(" cb")
	}
	if f.async {
		b.WriteString(" async_cb")
	}
	return b.String()
}

// slotLetters say in the log what a byte of the stack is.
var slotLetters = [...]byte{
	slotInvalid: '?', slotSpill: 'r', slotMisc: 'm', slotZero: '0', slotDynptr: 'd', slotIter: 'i', slotIRQFlag: 'f',
}

// slotText is one slot of the stack; "" where nothing is in it.
func (c *checker) slotText(f *frame, i, frame int) string {
	sl := &f.stack[i]
	switch sl.kind[0] {
	case slotDynptr:
		if !sl.object.first {
			return ""
		}
		return fmt.Sprintf(" fp%d=dynptr_%s", fp(i), dynptrNames[sl.reg.Flags&anyDynptr])
	case slotIter:
		if !sl.object.first {
			return ""
		}
		state := "active"
		if sl.object.state == iterDrained {
			state = "drained"
		}
		return fmt.Sprintf(" fp%d=iter_%s(ref_id=%d,state=%s,depth=%d)", fp(i),
			strings.TrimPrefix(sl.reg.BTF.Name, "bpf_iter_"), sl.reg.RefID, state, sl.object.depth)
	}
	letters := make([]byte, 8)
	valid, spilled := false, 8
	for j, k := range sl.kind {
		letters[j] = slotLetters[k]
		valid = valid || k != slotInvalid
		if k == slotSpill {
			spilled = min(spilled, j)
		}
	}
	switch {
	case !valid:
		return ""
	case spilled < 8:
		return fmt.Sprintf(" fp%d=%s%s", fp(i), letters[:spilled], c.regText(sl.reg, frame, f.preciseSlots>>i&1 != 0))
	}
	return fmt.Sprintf(" fp%d=%s", fp(i), letters)
}

// regText is a register as a function of the given frame sees it.
func (c *checker) regText(r *Reg, frame int, precise bool) string {
	var b strings.Builder
	if r.Type == Scalar && precise {
		b.WriteByte('P')
	}
	if r.isConst() {
		b.WriteString(signedText(int64(r.Bits.Value)))
		return b.String()
	}
	b.WriteString(r.typeName())
	switch r.Type {
	case PtrToArena:
		return b.String()
	case PtrToStack:
		if int(r.Frame) != frame {
			fmt.Fprintf(&b, "[%d]", r.Frame)
		}
		if r.Value.IsConst() {
			b.WriteString(signedText(int64(r.Bits.Value) + int64(r.Off)))
			return b.String()
		}
	case PtrToBTF:
		b.WriteString(r.BTF.Name)
	}
	b.WriteByte('(')
	b.WriteString(strings.Join(c.attributes(r), ","))
	b.WriteByte(')')
	return b.String()
}

// attributes are what the log says of a register in parentheses.
func (c *checker) attributes(r *Reg) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case r.ID&idAddConst != 0:
		add("id=%d%+d", r.ID&^idAddConst, r.Delta)
	case r.ID != 0:
		add("id=%d", r.ID)
	}
	if r.RefID != 0 {
		add("ref_obj_id=%d", r.RefID)
	}
	if r.Flags&NonOwning != 0 {
		add("non_own_ref")
	}
	if r.Map != nil {
		add("map=%s", r.Map.Name)
		add("ks=%d", r.Map.KeySize)
		add("vs=%d", r.Map.ValueSize)
	}
	if r.Type != Scalar && r.Off != 0 {
		add("off=%s", signedText(int64(r.Off)))
	}
	if r.isPacket() {
		add("r=%s", unsignedText(uint64(int64(r.Range))))
	}
	switch r.Type {
	case PtrToMem:
		add("sz=%d", r.Size)
	case ConstPtrToDynptr:
		add("type=%s", dynptrNames[r.Flags&anyDynptr])
	}
	if r.Value.IsConst() {
		if r.Bits.Value != 0 {
			add("imm=%s", signedText(int64(r.Bits.Value)))
		}
		return list
	}
	list = append(list, rangesText(&r.Value)...)
	if r.Bits.Mask != ^uint64(0) {
		add("var_off=(%#x; %#x)", r.Bits.Value, r.Bits.Mask)
	}
	return list
}

// signedText writes numbers of up to 16 bits in decimal and others in
// hexadecimal.
func signedText(v int64) string {
	if isShort(v) {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", uint64(v))
}

func isShort(v int64) bool { return v >= math.MinInt16 && v <= math.MaxInt16 }

func unsignedText(v uint64) string {
	if v < 1<<16 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

// rangesText writes the bounds that say something. Equal ones share a number:
// "smax=umax=255".
func rangesText(v *scalar.Value) []string {
	type bound struct {
		name   string
		v      uint64
		signed bool
		trite  bool
	}
	// In hexadecimal, a sign is not extended beyond the bound's own width.
	signed32 := func(x int32) uint64 {
		if isShort(int64(x)) {
			return uint64(x)
		}
		return uint64(uint32(x))
	}
	full := &unknown
	bounds := [...]bound{
		{"smin", uint64(v.SMin), true, v.SMin == full.SMin},
		{"smax", uint64(v.SMax), true, v.SMax == full.SMax},
		{"umin", v.UMin, false, v.UMin == full.UMin},
		{"umax", v.UMax, false, v.UMax == full.UMax},
		{"smin32", signed32(v.S32Min), true, v.S32Min == full.S32Min},
		{"smax32", signed32(v.S32Max), true, v.S32Max == full.S32Max},
		{"umin32", uint64(v.U32Min), false, v.U32Min == full.U32Min},
		{"umax32", uint64(v.U32Max), false, v.U32Max == full.U32Max},
	}
	negative := func(b *bound) bool { return b.signed && int64(b.v) < 0 }
	var list []string
	for i := range bounds {
		b := &bounds[i]
		if b.trite {
			continue
		}
		names := b.name
		for j := i + 2; j < len(bounds); j += 2 {
			if c := &bounds[j]; !c.trite && c.v == b.v && negative(c) == negative(b) {
				names += "=" + c.name
				c.trite = true
			}
		}
		text := unsignedText(b.v)
		if b.signed {
			text = signedText(int64(b.v))
		}
		list = append(list, names+"="+text)
	}
	return list
}

// text is an instruction with the names of what it refers to.
func (c *checker) text(i int) string {
	ins := &c.insns[i]
	switch {
	case ins.IsWide() && i+1 < len(c.insns):
		switch ins.Src {
		case isa.PseudoMapFD, isa.PseudoMapValue:
			if n := int(ins.Imm); n >= 0 && n < len(c.maps) {
				if ins.Src == isa.PseudoMapFD {
					return fmt.Sprintf("r%d = map[%s]", ins.Dst, c.maps[n].Name)
				}
				return fmt.Sprintf("r%d = map[%s][0]+%d", ins.Dst, c.maps[n].Name, c.insns[i+1].Imm)
			}
		case isa.PseudoFunc:
			if fn := c.img.FuncAt(i + 1 + int(ins.Imm)); fn != nil {
				return fmt.Sprintf("r%d = %s", ins.Dst, fn.Name)
			}
		}
		return ins.Text(c.insns[i+1].Imm)
	case ins.IsCall(isa.CallKfunc):
		if fn := c.img.Kfuncs[i]; fn != nil {
			return "call " + fn.Name
		}
	case ins.IsCall(isa.CallLocal):
		if fn := c.img.FuncAt(i + 1 + int(ins.Imm)); fn != nil {
			return "call " + fn.Name
		}
	case ins.IsCall(isa.CallHelper):
		if e, ok := helper.FromLinux(uint32(ins.Imm)); ok {
			return fmt.Sprintf("call %s#%d", e.Name, ins.Imm)
		}
	}
	return ins.Text(0)
}
