package verifier

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// flagTestStates is BPF_F_TEST_STATE_FREQ of a program's flags.
const flagTestStates = 1 << 3

// What a program may have at most.
const (
	maxInsns             = 1_000_000 // BPF_COMPLEXITY_LIMIT_INSNS
	maxInsnsUnprivileged = 4096      // BPF_MAXINSNS
	maxFunctions         = 256       // BPF_MAX_SUBPROGS
)

// structure finds the functions, refuses instructions that do not exist and jumps
// that lead nowhere, marks where states are kept and computes which registers are
// live.
func (c *checker) structure() error {
	limit := maxInsns
	if !c.capable {
		limit = maxInsnsUnprivileged
	}
	if n := len(c.insns); n == 0 || n > limit {
		return c.refuse(&Error{Cause: CauseTooLarge, Insn: -1, Reg: -1,
			Kernel: fmt.Sprintf("a program has 1 to %d instructions, not %d", limit, n)})
	}
	c.aux = make([]insnAux, len(c.insns))
	c.everyState = c.capable && c.img.Flags&flagTestStates != 0
	for _, pass := range []func() error{
		c.findFunctions,
		c.checkJumps,
		c.checkFields,
		c.findTargets,
		c.checkReach,
		c.orderFunctions,
	} {
		if err := pass(); err != nil {
			return err
		}
	}
	c.findConstants()
	c.findLoops()
	c.findLive()
	c.findStackUse()
	c.constants = nil
	return nil
}

// findFunctions finds where functions begin: at what is called, and at what is
// taken the address of.
func (c *checker) findFunctions() error {
	starts := []int{0}
	for i := range c.insns {
		c.insn = i
		ins := &c.insns[i]
		local := ins.IsCall(isa.CallLocal) || isFuncLoad(ins)
		if !local && !ins.IsCall(isa.CallKfunc) {
			continue
		}
		if !c.capable {
			return c.fail(CausePrivilege, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN")
		}
		if !local {
			continue
		}
		start := callee(i, ins)
		if start < 0 || start >= len(c.insns) {
			return c.fail(CauseControlFlow, "call to invalid destination")
		}
		if at, found := slices.BinarySearch(starts, start); !found {
			if len(starts) == maxFunctions {
				return c.fail(CauseTooLarge, "too many subprograms")
			}
			starts = slices.Insert(starts, at, start)
		}
	}
	if err := c.findException(); err != nil {
		return err
	}
	if e := c.exception; e != 0 {
		if at, found := slices.BinarySearch(starts, e); !found {
			starts = slices.Insert(starts, at, e)
		}
	}
	for i, start := range starts {
		end := len(c.insns)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		f := function{Function: program.Function{Start: start}, end: end, exit: -1}
		if at := slices.IndexFunc(c.img.Funcs, func(f program.Function) bool { return f.Start == start }); at >= 0 {
			f.Function = c.img.Funcs[at]
		}
		f.global = f.Type != nil && f.Type.Linkage == btf.GlobalFunc
		if start == c.exception && start != 0 {
			f.callback, f.async, f.exception = true, true, true
		}
		c.funcs = append(c.funcs, f)
	}
	return nil
}

// findException finds the function that bpf_throw calls: the one that a tag of the
// main program names.
func (c *checker) findException() error {
	c.insn, c.exception = 0, c.img.Exception
	if len(c.img.Funcs) == 0 || c.img.Funcs[0].Type == nil {
		return nil
	}
	var names []string
	for _, tag := range c.img.Funcs[0].Type.Tags {
		if name, ok := strings.CutPrefix(tag, "exception_callback:"); ok {
			names = append(names, name)
		}
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
	default:
		return c.fail(CauseException, "multiple exception callback tags for main subprog")
	}
	at := slices.IndexFunc(c.img.Funcs, func(f program.Function) bool { return f.Name == names[0] })
	switch {
	case at < 0:
		return c.fail(CauseException, "exception callback '%s' could not be found in BTF", names[0])
	case c.img.Funcs[at].Type != nil && c.img.Funcs[at].Type.Linkage != btf.GlobalFunc:
		return c.fail(CauseException, "exception callback '%s' must have global linkage", names[0])
	case at == 0:
		return c.fail(CauseException, "invalid exception callback insn_off in func_info: 0")
	}
	c.exception = c.img.Funcs[at].Start
	return nil
}

// isFuncLoad reports whether an instruction takes the address of a function.
func isFuncLoad(ins *isa.Instruction) bool {
	return ins.Op == isa.OpLDDW && ins.Src == isa.PseudoFunc
}

// callee is where a local call, or the load of a function's address, leads.
func callee(at int, ins *isa.Instruction) int { return at + int(ins.Imm) + 1 }

// funcAt gives the function that an instruction belongs to, as an index into
// c.funcs.
func (c *checker) funcAt(insn int) int {
	return sort.Search(len(c.funcs), func(i int) bool { return c.funcs[i].Start > insn }) - 1
}

// isGotox reports whether an instruction jumps to where a register points.
func isGotox(ins *isa.Instruction) bool { return ins.Op == isa.ClassJMP|isa.JmpJA|isa.SrcX }

// isMayGoto reports whether an instruction is a may_goto.
func isMayGoto(ins *isa.Instruction) bool {
	return ins.Op == isa.ClassJMP|isa.JmpJCOND && ins.Src == 0
}

// isJump reports whether an instruction is a jump, and whether it may also go on
// with the next one. Calls and exits are none.
func isJump(ins *isa.Instruction) (jump, conditional bool) {
	if class := ins.Class(); class != isa.ClassJMP && class != isa.ClassJMP32 {
		return false, false
	}
	switch ins.Op & 0xf0 {
	case isa.JmpCALL, isa.JmpEXIT:
		return false, false
	case isa.JmpJA:
		return true, false
	}
	return true, true
}

// jumpTarget is where a jump leads.
func jumpTarget(at int, ins *isa.Instruction) int {
	if ins.Op == isa.ClassJMP32|isa.JmpJA {
		return at + int(ins.Imm) + 1
	}
	return at + int(ins.Off) + 1
}

// isPacketLoad reports whether an instruction is a historical packet load, which
// leaves the program where the packet ends.
func isPacketLoad(ins *isa.Instruction) bool {
	mode := ins.Op & 0xe0
	return ins.Class() == isa.ClassLD && (mode == isa.ModeABS || mode == isa.ModeIND)
}

// checkJumps demands that jumps stay in their function, and that no function is
// left but by an exit or a jump.
func (c *checker) checkJumps() error {
	for n := range c.funcs {
		f := &c.funcs[n]
		for i := f.Start; i < f.end; i++ {
			c.insn = i
			ins := &c.insns[i]
			switch {
			case ins.IsCall(isa.CallHelper) && ins.Imm == helperTailCall:
				f.tailCalls = true
			case isPacketLoad(ins):
				f.ldAbs = true
			case ins.Op&0xf0 == isa.JmpEXIT && (ins.Class() == isa.ClassJMP || ins.Class() == isa.ClassJMP32):
				f.exit = i
			}
			if jump, _ := isJump(ins); !jump || isGotox(ins) {
				continue
			}
			if to := jumpTarget(i, ins); to < f.Start || to >= f.end {
				return c.fail(CauseControlFlow, "jump out of range from insn %d to %d", i, to)
			}
		}
		c.insn = f.end - 1
		switch c.insns[c.insn].Op {
		case isa.ClassJMP | isa.JmpEXIT, isa.ClassJMP | isa.JmpJA, isa.ClassJMP32 | isa.JmpJA, isa.ClassJMP | isa.JmpJA | isa.SrcX:
		default:
			return c.fail(CauseControlFlow, "last insn is not an exit or jmp")
		}
	}
	return nil
}

// findTargets notes of each instruction whether states are compared before it,
// and whether a path that comes there has jumped.
func (c *checker) findTargets() error {
	point := func(i int) {
		if i < len(c.aux) {
			c.aux[i].prune, c.aux[i].jump = true, true
		}
	}
	for i := 0; i < len(c.insns); i++ {
		c.insn = i
		ins, aux := &c.insns[i], &c.aux[i]
		switch jump, conditional := isJump(ins); {
		case isFuncLoad(ins):
			aux.prune = true
			point(callee(i, ins))
			point(i + 2)
		case isGotox(ins):
			targets, err := c.jumpTable(i)
			if err != nil {
				return err
			}
			aux.prune, aux.next = true, targets
			for _, t := range targets {
				c.aux[t].jump = true
			}
		case conditional:
			aux.prune, aux.force = true, isMayGoto(ins)
			point(jumpTarget(i, ins))
		case jump:
			point(jumpTarget(i, ins))
		case ins.Op == isa.ClassJMP|isa.JmpCALL:
			c.findCallPoints(i)
			point(i + 1)
		}
		if exit := c.funcs[c.funcAt(i)].exit; exit >= 0 && (isPacketLoad(ins) || ins.IsCall(isa.CallHelper) && ins.Imm == helperTailCall) {
			aux.next = []int{i + 1, exit}
		}
		if ins.IsWide() {
			i++
		}
	}
	return nil
}

// findCallPoints is findTargets of a call.
func (c *checker) findCallPoints(i int) {
	ins, aux := &c.insns[i], &c.aux[i]
	switch c.callbackOf(i) {
	case callbackSync:
		// How often a callback is called is not known: it is followed until a state
		// comes back.
		aux.callsCallback, aux.force, aux.prune, aux.jump = true, true, true, true
	case callbackAsync:
		aux.prune = true
	}
	if c.isIterNext(i) {
		aux.iterNext, aux.force, aux.prune = true, true, true
	}
	if ins.Src == isa.CallLocal {
		aux.prune = true
		to := callee(i, ins)
		c.aux[to].prune, c.aux[to].jump = true, true
	}
}

// successors gives the instructions of the same function that may follow one. buf
// is room for the answer.
func (c *checker) successors(i int, buf *[2]int) []int {
	if next := c.aux[i].next; next != nil {
		return next
	}
	ins := &c.insns[i]
	jump, conditional := isJump(ins)
	switch {
	case conditional:
		*buf = [2]int{i + 1, jumpTarget(i, ins)}
		return buf[:]
	case jump:
		buf[0] = jumpTarget(i, ins)
	case ins.Op == isa.ClassJMP|isa.JmpEXIT:
		return nil
	case ins.IsWide():
		buf[0] = i + 2
	default:
		buf[0] = i + 1
	}
	return buf[:1]
}
