package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
)

// What follows is for other engines, which execute the same programs: what Compile
// resolved, and what is done in Go wherever it is executed. An engine's own program
// embeds *Program; a tail call of either then finds the other (Interpreted).

// Interpreted is the program itself.
func (p *Program) Interpreted() *Program { return p }

// Input is what the program was compiled from. It must not be changed.
func (p *Program) Input() *Input { return &p.in }

// Verified reports whether the program has facts, without which only the checked loop
// runs it.
func (p *Program) Verified() bool { return p.in.Facts != nil }

// Trap gives the reason why an instruction must not be reached; false where it may be.
// Reaching one ends the run with [Program.Fault].
func (p *Program) Trap(insn int) (why string, ok bool) {
	if o := p.op(insn); o.code == codeTrap {
		return p.traps[o.off], true
	}
	return "", false
}

// Trapped are the instructions that must not be reached, but for those that the verifier
// found no way to.
func (p *Program) Trapped() []int { return p.trapped }

// op is an instruction as the fast loop has it, or the checked one where it alone runs
// the program.
func (p *Program) op(insn int) *op {
	if p.fast != nil {
		return &p.fast[insn]
	}
	return &p.ops[insn]
}

// Constant is what the wide load at an instruction gives: a number, a map's handle, the
// address of a map's value, or a function's first instruction.
func (p *Program) Constant(insn int) uint64 { return p.ops[insn].imm }

// Helper is the helper or kernel function that is called at an instruction, ready to be
// called; nil where none is. bpf_tail_call is none. An engine must not do the work of
// one that is Guarded itself.
func (p *Program) Helper(insn int) *helper.Helper {
	if o := p.op(insn); o.code == codeCallHelper {
		return p.helpers[o.off]
	}
	return nil
}

// TailCalls reports whether an instruction calls bpf_tail_call.
func (p *Program) TailCalls(insn int) bool { return p.op(insn).code == codeTailCall }

// HelperOf is the helper that a call by register calls, where the register has a value.
// An error is a [*Fault].
func (p *Program) HelperOf(insn int, value uint64) (*helper.Helper, error) {
	h, reason := p.helperOf(p.in.Insns[insn].Dst, value)
	if reason != "" {
		return nil, p.Fault(insn, reason)
	}
	return h, nil
}

// Targets marks the instructions that the program's jump tables lead to; nil where the
// program has no indirect jumps.
func (p *Program) Targets() []bool { return p.targets }

// Target is the instruction that an indirect jump leads to, where its register has a
// value. An error is a [*Fault].
func (p *Program) Target(insn int, value uint64) (int, error) {
	to := value - maps.InsnBase
	bounds := p.ops[insn].imm
	switch {
	case to >= uint64(len(p.targets)) || !p.targets[to]:
		return 0, p.Fault(insn, fmt.Sprintf("R%d is 0x%x, which is not the address of an instruction in a jump table", p.in.Insns[insn].Dst, value))
	case to < bounds>>32 || to >= uint64(uint32(bounds)):
		return 0, p.Fault(insn, fmt.Sprintf("R%d points to instruction %d, which is in another function", p.in.Insns[insn].Dst, to))
	}
	return int(to), nil
}

// Arena gives the address of the first byte of the program's arena in the machine and
// the one that user space knows; false where the program casts no addresses.
func (p *Program) Arena() (base, user uint64, ok bool) {
	if p.arena == nil {
		return 0, 0, false
	}
	return p.arena.base, p.arena.user, true
}

// ToArena is the address-space cast to the machine's address of an arena's byte, and
// FromArena that to user space's.
func (p *Program) ToArena(v uint64) uint64   { return p.arena.toKernel(v) }
func (p *Program) FromArena(v uint64) uint64 { return p.arena.toUser(v) }

// LoadPacket is the legacy packet load at an instruction (LD_ABS, LD_IND) whose source
// register has a value: what R0 becomes. Where it is false the function ends, with 0 as
// its result.
func (p *Program) LoadPacket(s *exec.State, insn int, value uint64) (r0 uint64, ok bool) {
	ins := p.in.Insns[insn]
	at := ins.Imm
	if ins.Op&0xe0 == isa.ModeIND {
		at += int32(value)
	}
	return loadPacket(s, at, isa.SizeOf(ins.Op))
}

// MayGotoLimit is how often a frame may fall through may_goto before it jumps.
const MayGotoLimit = mayGotoLimit

// Begin makes the state ready for a run of the program by an engine that relies on the
// verifier.
func (p *Program) Begin(s *exec.State) { s.Checked, s.Attach = false, p.in.Attach }

// End takes back what a run has kept, locks and reserved records among them. err is why
// the run ended early; nil: it came to the program's end at an instruction. End gives
// the error of the run.
func (p *Program) End(s *exec.State, insn int, err error) error {
	kept := s.EndRun()
	reason := ""
	switch {
	case err != nil:
	case kept.Reference != nil:
		reason = fmt.Sprintf("the program ends, and the reference of %s (instruction %d) is not released",
			p.calledAt(kept.Reference.Insn), kept.Reference.Insn)
	case kept.Locks > 0 && s.Checked:
		reason = fmt.Sprintf("the program ends with %d spin locks held: bpf_spin_unlock is missing", kept.Locks)
	case kept.Records > 0:
		reason = fmt.Sprintf("the program ends without having submitted or discarded %d reserved records", kept.Records)
	}
	if reason != "" {
		return p.Fault(insn, reason)
	}
	return err
}

// Continue executes the program for an engine whose run tail-called it, after so many
// tail calls, and gives its result. What the run keeps is for the engine to take back.
func (p *Program) Continue(s *exec.State, tails int) (uint64, error) {
	m, attach := machineOf(s), s.Attach
	m.begin(s, p, Fast)
	m.tails, s.Attach = tails, attach
	m.execute(p.entry(m.checked))
	return m.end()
}

// Fault is the error of a run that an instruction ends.
func (p *Program) Fault(insn int, reason string) error {
	f := &Fault{Prog: p.in.Name, Insn: insn, Text: p.in.text(insn), Reason: reason}
	if p.in.Where != nil {
		f.Where = p.in.Where(insn)
	}
	return f
}
