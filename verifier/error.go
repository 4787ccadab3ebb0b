package verifier

import (
	"fmt"
	"sync"

	"github.com/skep-ebpf/skep/program"
)

// Cause is the kind of thing that a program was refused for.
type Cause uint8

// The causes.
const (
	CauseUnsupported       Cause = iota // skep cannot tell; the program may be safe
	CauseInstruction                    // an instruction that does not exist, or reserved fields that are set
	CauseControlFlow                    // a jump out of the program, unreachable code, falling off its end
	CauseLoop                           // a loop that may not end
	CauseTooComplex                     // more instructions to look at than Linux would
	CauseTooLarge                       // too many instructions, maps or functions
	CauseStackDepth                     // more than 512 bytes of stack, or too many frames
	CauseUninitRegister                 // a register that was not written is read
	CauseUninitStack                    // the same of the stack
	CauseMaybeNull                      // a pointer that may be NULL is used
	CauseNotPointer                     // a number is used as a pointer
	CausePointerArithmetic              // arithmetic that such a pointer does not allow
	CausePointerLeak                    // an address would become visible
	CauseBounds                         // an access outside an object
	CausePacketBounds                   // an access that no comparison with data_end covers
	CauseUnboundedOffset                // an offset or size without a useful bound
	CauseStackBounds                    // an access outside the stack
	CauseAlignment                      // an access at an odd address
	CauseReadOnly                       // a store to what is read-only, or a load from what is write-only
	CauseContext                        // a field of the context that is not for this program
	CauseHelper                         // a helper that does not exist or is not for this program
	CauseKfunc                          // the same of a kernel function
	CauseArgument                       // an argument of a wrong kind
	CauseMap                            // a map that is not for this program or this call
	CauseReference                      // an object is not released, or released twice
	CauseLock                           // rules of spin locks
	CauseRCU                            // rules of RCU, preemption and interrupt sections
	CauseSleepable                      // may sleep where it must not
	CauseReturn                         // a result out of the allowed range
	CauseCallback                       // rules of callbacks
	CauseGlobal                         // rules of global functions
	CauseTailCall                       // rules of tail calls
	CauseDynptr                         // rules of dynptrs
	CauseIterator                       // rules of open-coded iterators
	CauseGraph                          // rules of lists and trees
	CauseBTF                            // type information that is missing or wrong
	CauseAttach                         // a target that the program cannot be attached to
	CauseLicense                        // only for programs of a GPL compatible licence
	CausePrivilege                      // needs a capability
	CauseKernel                         // needs a newer Linux
	CauseException                      // rules of exceptions
	CauseMissing                        // something that the kernel's types or functions lack
	CauseThisKernel                     // one kernel's verifier refuses what ours accepts
)

// Error says why a program was refused. Error prints one line; %+v prints all.
type Error struct {
	Cause   Cause
	Program string
	Insn    int           // the instruction; -1: the program as a whole
	Reg     int           // the register that the refusal is about; -1: none
	Kernel  string        // what Linux's log says of it: "R1 invalid mem access 'scalar'"
	Where   string        // the source position: "firewall.bpf.c:42: if (ip + 1 > end)"; "": unknown
	Line    *program.Line // the same in parts; nil: unknown
	Text    string        // the instruction
	Value   string        // what the register held, in the notation of Linux's log
	Missing string        // of CauseMissing: "the target has no field task_struct.pid"

	once      sync.Once
	again     func(*Explanation) // nil: the walk was too long to be made again
	explained *Explanation
}

// Error is one line: place, cause, and what Linux says.
func (e *Error) Error() string { return e.line() }

// Format prints one line, and with %+v everything that is known.
func (e *Error) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('+') {
		fmt.Fprint(f, e.full())
		return
	}
	fmt.Fprint(f, e.line())
}
