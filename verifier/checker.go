package verifier

import (
	"fmt"
	"regexp"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/verifier/scalar"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Map is a map as the verifier sees it. There is one for each that a program
// refers to, so that pointers can be compared.
type Map struct {
	*ebpf.MapSpec
	Fields maps.Fields // the value's special fields
	Frozen []byte      // the contents of a frozen read-only array of one element; or nil
	Inner  *Map        // of maps of maps: what a lookup gives
}

// function is one function of the program.
type function struct {
	program.Function
	end              int  // behind its last instruction
	global           bool // verified on its own, by its BTF
	called           bool
	verified         bool   // of global ones
	stack            int    // bytes of stack that it uses
	uninit           uint64 // words of the stack of which bytes may be read that were not written
	exit             int    // its last exit instruction; -1: none
	tailCalls, ldAbs bool
	callback         bool // called by a helper or kernel function
	async            bool // later, on a stack of its own
	exception        bool // the exception callback
	effects          effects
	args             []globalArg // of global ones, once they were asked for
	postorder        []int32
}

// insnAux is what is noted of an instruction.
type insnAux struct {
	seen          bool // some path reaches it
	prune         bool // states are compared and kept here
	force         bool // and kept each time
	jump          bool // belongs into a path's history
	nospec        bool // a speculative path ends here
	nospecResult  bool // and here, behind the instruction
	guard         guard
	callsCallback bool
	iterNext      bool
	access        pointer // of loads and stores: through what; NotInit: none yet
	accessMany    bool    // through others too
	memory        Memory  // that is reached
	// kernel are registers of a call, by bits, that may lead to memory which is not
	// there; passed those that hold what a global function was given as memory, and
	// passedAccess where an access goes through that.
	kernel, passed uint8
	number         *scalar.Value // that it always leaves in the register that it writes; or nil
	mapPtr         *Map          // of calls with a map: which
	mapMany        bool          // more than one: these, too, as far as there is room
	mapsToo        [3]*Map
	constKey       uint64
	liveRegs       uint16 // registers that are read from here on
	loop           int32  // the strongly connected part that it is in; 0: none
	went           uint8  // where paths go on: wentOn, wentJump
	next           []int  // what may follow, where the instruction does not tell
}

// passedAccess is the bit of insnAux.passed that is no register's of a call.
const passedAccess = 1 << 0

// checker is one verification.
type checker struct {
	img    *program.Image
	insns  []isa.Instruction
	maps   []*Map // what Imm of a map load is an index into
	typ    *progtype.Type
	opts   *Options
	specs  map[string]*ebpf.MapSpec
	kernel *kernels.Kernel
	// asked is told what the program needs that the kernel has not, and since when Linux
	// has it; nil: the program is refused for it.
	asked func(since kernels.Version, what string)

	rules scalar.Rules

	// What the loader's capabilities allow.
	capable bool // CAP_BPF
	leaks   bool // may see addresses (CAP_PERFMON)
	bypass  bool // needs no guards against speculation (CAP_PERFMON)
	strict  bool // accesses must be aligned

	uninitReads bool // those who may see addresses may read the stack as it is
	everyState  bool // keep each state (BPF_F_TEST_STATE_FREQ)
	everyNumber bool // compare numbers whether they are precise or not; of tests
	aluLimits   bool // what guards against speculation depends on exact numbers

	funcs     []function
	order     []int // functions, callees before their callers
	exception int   // where the function begins that bpf_throw calls; 0: none
	aux       []insnAux
	constants []constants // before each instruction; only until the walk
	uses      stackUses
	target    *target // what the program is attached to; nil where BTF does not describe it
	types     types
	kfuncs    map[string]*kfunc // those that were called, by their names
	helpers   [len(protos)]*proto
	call      callArgs // of the helper being called

	st       *state // of the path being followed
	insn     int    // the instruction being looked at
	prev     int    // the one before it on the path; -1: none
	recorded bool   // the instruction is in the path's history

	pending []branch
	ids     uint32

	log    *logger
	trails bool    // paths remember their instructions
	watch  watcher // of tests; nil: none

	// What pruning and precision need.
	kept                 []*state // the states kept, by bucketOf
	visits               map[callchain]*visit
	jumps                int // jumps and calls looked at
	keptJumps, keptInsns int // jumps and instructions when a state was kept last
	bt                   backtrack
	idMap                idMap
	idCounts             []idCount
	spareStates          []*state
	spareFrames          []*frame
	spareRegs            []Reg // for registers on the stack

	passesKernel bool // a global function is given memory that may not be there

	results   []result // what instructions leave, where it is asked for
	summary   *summary // of a walk that summarises loops; or nil
	processed int
	result    *Result
}

// watcher is told of the walk.
type watcher interface {
	begin()                        // it begins, perhaps again
	step(c *checker)               // an instruction is about to be looked at
	keep(kept *state)              // the state before it is kept
	covered(c *checker, by *state) // a kept state ends the path
}

// branch is a path still to be followed.
type branch struct {
	st         *state
	insn, prev int
}

func (c *checker) newID() uint32 { c.ids++; return c.ids }

// reg is a register of the running function.
func (c *checker) reg(n uint8) *Reg { return &c.st.cur().regs[n] }

// fail refuses the program at the current instruction. The words are those of
// Linux's log.
func (c *checker) fail(cause Cause, format string, args ...any) error {
	return c.failReg(cause, -1, format, args...)
}

// failReg is fail where a register is to blame.
func (c *checker) failReg(cause Cause, reg int, format string, args ...any) error {
	return c.refuse(&Error{Cause: cause, Insn: c.insn, Reg: reg, Kernel: fmt.Sprintf(format, args...)})
}

// refuse completes a refusal.
func (c *checker) refuse(e *Error) error {
	e.Program = c.img.Name
	if e.Insn >= 0 {
		e.Where, e.Line, e.Text = c.img.Where(e.Insn), c.img.LineAt(e.Insn), c.text(e.Insn)
	}
	if why, poisoned := c.img.Poisoned[e.Insn]; poisoned {
		e.Cause, e.Missing = CauseMissing, why
	}
	e.Reg = c.blamed(e)
	if e.Reg >= 0 && c.st != nil {
		if r := c.reg(uint8(e.Reg)); r.Type != NotInit {
			e.Value = c.regText(r, len(c.st.frames)-1, false)
		}
	}
	return e
}

// namedReg finds the register that words of Linux's log are about.
var namedReg = regexp.MustCompile(`\bR(\d)\b`)

// blamed is the register that a refusal is about: in arithmetic on a pointer the
// number that has no bounds, otherwise the one that it or its words name; -1: none.
func (c *checker) blamed(e *Error) int {
	if e.Cause == CauseUnboundedOffset && e.Insn >= 0 {
		ins := &c.insns[e.Insn]
		if cl := ins.Class(); (cl == isa.ClassALU || cl == isa.ClassALU64) && ins.Op&isa.SrcX != 0 {
			if c.reg(ins.Dst).Type == Scalar {
				return int(ins.Dst)
			}
			return int(ins.Src)
		}
	}
	if e.Reg >= 0 {
		return e.Reg
	}
	if found := namedReg.FindStringSubmatch(e.Kernel); found != nil {
		return int(found[1][0] - '0')
	}
	return -1
}

// read demands that a register was written (check_reg_arg, SRC_OP).
func (c *checker) read(n uint8) error {
	if n > isa.R10 {
		return c.fail(CauseInstruction, "R%d is invalid", n)
	}
	if c.reg(n).Type == NotInit {
		return c.failReg(CauseUninitRegister, int(n), "R%d !read_ok", n)
	}
	return nil
}

// write demands that a register may be written (check_reg_arg, DST_OP_NO_MARK).
func (c *checker) write(n uint8) error {
	if n > isa.R10 {
		return c.fail(CauseInstruction, "R%d is invalid", n)
	}
	if n == isa.R10 {
		return c.failReg(CauseInstruction, int(n), "frame pointer is read only")
	}
	return nil
}

// setUnknown makes a register any number.
func (c *checker) setUnknown(n uint8) { c.reg(n).setUnknown() }

// isPointer reports whether a register holds an address that this loader must
// not see (is_pointer_value).
func (c *checker) isPointer(n uint8) bool { return !c.leaks && c.reg(n).Type != Scalar }

// push puts a path aside that goes on at an instruction, with a copy of the state.
func (c *checker) push(insn int, speculative bool) (*state, error) {
	if len(c.pending) >= complexityLimitPending {
		return nil, c.fail(CauseTooComplex, "The sequence of %d jumps is too complex.", len(c.pending))
	}
	s := c.clone(c.st)
	s.speculative = s.speculative || speculative
	if s.parent != nil {
		s.parent.branches++
	}
	c.pending = append(c.pending, branch{s, insn, c.insn})
	return s, nil
}

// complexityLimitPending is BPF_COMPLEXITY_LIMIT_JMP_SEQ.
const complexityLimitPending = 8192

// unknown is the Value of any number.
var unknown = scalar.Unknown()
