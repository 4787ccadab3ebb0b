package interp

import (
	"fmt"
	"unsafe"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
)

const (
	stackBytes = exec.MaxDepth * isa.StackSize
	// mayGotoLimit is how often a function may fall through may_goto before it
	// jumps: BPF_MAX_LOOPS, which Linux keeps in one counter for each frame.
	mayGotoLimit = 8 << 20
	// slice is how many instructions run between two looks at State.Context.
	slice = 100_000
)

// machine is the registers and frames of a state's run.
//
// Instructions are counted without counting: limit is the address that pc would
// have when the slice's last instruction has run, if the program went straight
// on. A jump moves both alike, so that limit - pc remains what is left.
type machine struct {
	reg  [16]uint64
	prov [16]exec.Prov // checked only

	state   *exec.State
	prog    *Program
	checked bool
	depth   int
	tails   int // tail calls so far
	err     error
	thrown  uint64 // the result, where err is errThrown

	// The loop has its own pc and limit; these are right when it calls something.
	// pc is the op after the one that is being executed.
	pc    *op
	limit uintptr

	// frames are the calls in progress. What an entry saves is the caller's;
	// mayGoto and base are its own.
	frames [exec.MaxDepth]frame

	// shadow is where the 8-byte words of the stacks came from, dirty a bit for
	// each frame that was written to.
	shadow [stackBytes / 8]exec.Prov
	dirty  [(exec.MaxDepth + 63) / 64]uint64
}

type frame struct {
	prog    *Program
	ret     *op
	saved   [4]uint64 // R6 to R9
	prov    [4]exec.Prov
	mayGoto uint32
	base    int // depth at which the program began that the frame is of
}

func newMachine() *machine {
	m := new(machine)
	m.soilAll()
	return m
}

// run executes a program from its beginning.
func (m *machine) run(s *exec.State, p *Program, mode Mode) (uint64, error) {
	m.begin(s, p, mode)
	return m.from(p.entry(m.checked))
}

// begin makes registers and the first frame ready for a program.
func (m *machine) begin(s *exec.State, p *Program, mode Mode) {
	left := m.depth // frames that a run which failed has left behind
	m.state, m.prog, m.err = s, p, nil
	m.depth, m.tails = 0, 0
	m.checked = mode == Checked || p.fast == nil
	s.Engine, s.Checked, s.Attach = m, m.checked, p.in.Attach
	m.frames[0].mayGoto, m.frames[0].base = mayGotoLimit, 0
	m.reg = [16]uint64{isa.R1: uint64(s.Ctx()), isa.R10: uint64(s.Stack()) + isa.StackSize}
	if m.checked {
		s.ResetRegions()
		for i := 1; i <= left; i++ {
			m.stackRegion(i).Size = 0
		}
		m.prov = [16]exec.Prov{isa.R1: exec.Make(exec.RegionCtx, 0), isa.R10: exec.Make(exec.RegionStack, 0)}
		m.clean(0)
	} else {
		m.soilAll()
		m.zero(p.in.Facts[0].Uninit)
	}
}

// from executes a program from an op to its end, and takes back what it kept.
func (m *machine) from(o *op) (uint64, error) {
	m.execute(o)
	m.err = m.prog.End(m.state, m.index(m.pc)-1, m.err)
	return m.end()
}

// execute executes a program from an op to its end.
func (m *machine) execute(o *op) {
	m.pc, m.limit = o, addr(o)
	if m.refill(); m.err == nil {
		m.loop(0)
	}
	if m.err == errThrown {
		m.caught()
	}
	if m.checked && m.err == nil {
		m.returned()
	}
}

// end gives the state back what is left of the budget, and the run's result.
func (m *machine) end() (uint64, error) {
	m.state.Budget += m.left()
	m.prog = nil
	return m.reg[isa.R0], m.err
}

// loop runs the loop that fits until the frame of depth base returns.
func (m *machine) loop(base int) {
	if m.checked {
		m.runChecked(base)
	} else {
		m.runFast(base)
	}
}

func addr(o *op) uintptr { return uintptr(unsafe.Pointer(o)) }

// left is how many instructions of the slice are left.
func (m *machine) left() int64 { return int64(m.limit-addr(m.pc)) / int64(opSize) }

// refill begins the next slice of the budget, or ends the run.
func (m *machine) refill() {
	s := m.state
	s.Budget += m.left()
	m.limit = addr(m.pc)
	n := min(s.Budget, slice)
	err := error(ErrBudget)
	if n > 0 {
		err = s.Context.Err()
	}
	if err != nil {
		m.err = fmt.Errorf("program %s ended at instruction %d: %w", m.prog.in.Name, m.index(m.pc), err)
		return
	}
	s.Budget -= n
	m.limit += uintptr(n) * uintptr(opSize)
}

// jump goes on at pc, which may belong to another program.
func (m *machine) jump(pc *op) {
	m.limit += addr(pc) - addr(m.pc)
	m.pc = pc
}

// index is the instruction that an op of the current program stands for.
func (m *machine) index(o *op) int {
	return int(addr(o)-addr(m.prog.entry(m.checked))) / int(opSize)
}

// call begins a function on the next frame.
func (m *machine) call(o *op) {
	if !m.enter(o) {
		return
	}
	if !m.checked {
		m.zero(o.imm)
	}
	m.jump(o.target())
	if addr(m.pc) >= m.limit {
		m.refill()
	}
}

// enter takes the next frame for the call o; the function will return to m.pc.
func (m *machine) enter(o *op) bool {
	base := m.frames[m.depth].base
	most := exec.MaxDepth - base // the verifier knows that these are enough, or nearly always so
	if !m.prog.Verified() {
		most = isa.MaxFrames
	}
	if m.depth-base == most-1 {
		m.fail(o, fmt.Sprintf("calls are %d deep, and a call needs one frame more: there are %d", m.depth-base, most))
		return false
	}
	m.depth++
	f := &m.frames[m.depth]
	f.prog, f.ret, f.mayGoto, f.base = m.prog, m.pc, mayGotoLimit, base
	f.saved = [4]uint64(m.reg[isa.R6:isa.R10])
	m.reg[isa.R10] += isa.StackSize
	if m.checked {
		f.prov = [4]exec.Prov(m.prov[isa.R6:isa.R10])
		m.prov[isa.R10] = exec.Make(exec.RegionStack+exec.RegionID(m.depth), 0)
		m.stackRegion(m.depth).Size = isa.StackSize
		m.clean(m.depth)
	}
	return true
}

// ret gives the frame back and returns to the caller.
func (m *machine) ret() {
	f := &m.frames[m.depth]
	copy(m.reg[isa.R6:isa.R10], f.saved[:])
	m.reg[isa.R10] -= isa.StackSize
	if m.checked {
		m.stackRegion(m.depth).Size = 0
		clear(m.prov[isa.R1:isa.R6])
		copy(m.prov[isa.R6:isa.R10], f.prov[:])
		m.prov[isa.R10] = exec.Make(exec.RegionStack+exec.RegionID(m.depth-1), 0)
	}
	m.prog = f.prog
	m.depth--
	m.jump(f.ret)
}

// Callback implements [exec.Engine]: it runs a function of the program that
// called the helper, on the next frame.
func (m *machine) Callback(_ *exec.State, fn uint32, args *[5]uint64, prov *[5]exec.Prov) (uint64, error) {
	if m.err != nil {
		return 0, m.err
	}
	if !m.enter(m.pc.at(-1)) {
		return 0, m.err
	}
	copy(m.reg[isa.R1:], args[:])
	if m.checked {
		copy(m.prov[isa.R1:isa.R6], prov[:])
	} else {
		m.zero(m.prog.in.Facts[fn].Uninit)
	}
	m.jump(m.prog.entry(m.checked).at(int(fn)))
	if addr(m.pc) >= m.limit {
		m.refill()
	}
	if m.err == nil {
		m.loop(m.depth)
	}
	if m.err != nil {
		return 0, m.err
	}
	m.ret()
	return m.reg[isa.R0], nil
}

// trap ends the run at an instruction that must not be reached.
func (m *machine) trap(o *op) {
	m.fail(o, m.prog.traps[o.off])
}

// fail ends the run with a fault at an op.
func (m *machine) fail(o *op, reason string) { m.err = m.prog.Fault(m.index(o), reason) }

// Fail implements [exec.Engine].
func (m *machine) Fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// slow does an access that the fast loop does not do in place.
func (m *machine) slow(o *op) {
	insn := m.index(o)
	ins := m.prog.in.Insns[insn]
	v, err := m.prog.Slow(m.state, insn, m.reg[addressReg(ins)], m.reg[ins.Src], m.reg[isa.R0])
	if err != nil {
		m.err = err
		return
	}
	if r, ok := ins.Writes(); ok {
		m.reg[r] = v
	}
}

// stackRegion is the region of a frame's stack.
func (m *machine) stackRegion(depth int) *exec.Region {
	return &m.state.Regions()[int(exec.RegionStack)+depth]
}
