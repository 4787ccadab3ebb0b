package verifier

import (
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

const (
	// privateStackMin is how much stack a function must use to get one of its own
	// (BPF_PRIV_STACK_MIN_SIZE).
	privateStackMin = 64
	// tailCallStack is how much stack the callers of a function with tail calls may
	// use together: tail calls keep it.
	tailCallStack = 256
)

// stackMode is where a function's stack is.
type stackMode uint8

const (
	stackUnknown stackMode = iota
	stackShared            // the kernel's stack, with its callers'
	stackPrivate           // memory of its own
)

// stackCheck adds up the stack of functions that call each other.
type stackCheck struct {
	*checker
	chain   []int       // functions, each called by the one before it
	modes   []stackMode // of each function
	private bool        // functions may have a stack of their own
	seen    []stackSeen // of each function
}

// stackSeen is what a function was checked with: it need not be again with less.
type stackSeen struct {
	done, callback bool
	used, frame    int
}

// covers reports whether that was enough.
func (s *stackSeen) covers(used, frame int, callback bool) bool {
	return s.done && used <= s.used && frame <= s.frame && (s.callback || !callback)
}

// checkStack refuses programs whose functions use more stack together than there
// is, and calls that go too deep (check_max_stack_depth).
func (c *checker) checkStack() error {
	s := stackCheck{checker: c, modes: make([]stackMode, len(c.funcs)), seen: make([]stackSeen, len(c.funcs))}
	c.insn = 0
	// What runs asynchronously uses the kernel's stack. It goes first, so that what it
	// calls does so too where the main program calls it.
	for n := len(c.funcs) - 1; n > 0; n-- {
		if c.funcs[n].async {
			if err := s.enter(n, 0, 0); err != nil {
				return err
			}
		}
	}
	s.private = c.privateStack()
	clear(s.seen)
	return s.enter(0, 0, 0)
}

// privateStack reports whether functions of the program may have a stack of their
// own.
func (c *checker) privateStack() bool {
	if !c.since(6, 13) {
		return false
	}
	for i := range c.funcs {
		if c.funcs[i].tailCalls {
			return false
		}
	}
	switch c.img.Type {
	case ebpf.Kprobe, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint:
		return true
	case ebpf.Tracing:
		return c.img.Attach != ebpf.AttachTraceIter
	}
	return false
}

// rounded is how much stack a function takes of what it uses.
func (s *stackCheck) rounded(n int) int {
	used := s.funcs[n].stack
	if s.since(6, 8) {
		return (used + 15) &^ 15
	}
	return (max(used, 1) + 31) &^ 31
}

// enter checks a function that is called with so many bytes of stack in use, as the
// frame of a number.
func (s *stackCheck) enter(n, used, frame int) error {
	f := &s.funcs[n]
	s.chain = append(s.chain, n)
	defer func() { s.chain = s.chain[:len(s.chain)-1] }()
	callback := s.inCallback()
	if s.seen[n].covers(used, frame, callback) {
		return nil
	}
	s.seen[n] = stackSeen{true, callback, used, frame}
	if f.ldAbs && callback {
		return s.fail(CauseCallback, "cannot use BPF_LD_[ABS|IND] within callback")
	}
	if n != 0 && f.tailCalls && used >= tailCallStack {
		return s.fail(CauseTailCall, "tail_calls are not allowed when call stack of previous frames is %d bytes. Too large", used)
	}
	size := s.rounded(n)
	switch {
	case !s.private:
		s.modes[n] = stackShared
	case s.modes[n] == stackUnknown && size >= privateStackMin:
		s.modes[n] = stackPrivate
	}
	if s.modes[n] == stackPrivate {
		if size > isa.StackSize {
			return s.fail(CauseStackDepth, "stack size of subprog %d is %d. Too large", n, size)
		}
		s.result.Stack = max(s.result.Stack, size)
	} else {
		if used += size; used > isa.StackSize {
			return s.fail(CauseStackDepth, "combined stack size of %d calls is %d. Too large", len(s.chain), used)
		}
		s.result.Stack = max(s.result.Stack, used)
	}
	for i := f.Start; i < f.end; i++ {
		if err := s.calls(n, i, used, frame); err != nil {
			return err
		}
	}
	if f.tailCalls && s.inException() {
		return s.fail(CauseException, "cannot tail call within exception cb")
	}
	return nil
}

// calls checks what an instruction of a function calls.
func (s *stackCheck) calls(n, i, used, frame int) error {
	ins := &s.insns[i]
	s.insn = i
	local := ins.IsCall(isa.CallLocal)
	switch {
	case ins.IsCall(isa.CallKfunc):
		if k := s.img.Kfuncs[i]; k != nil && k.Name == kfuncThrow && s.inCallback() {
			return s.fail(CauseException, "bpf_throw kfunc (insn %d) cannot be called from callback subprog %d", i, n)
		}
		return nil
	case !local && !isFuncLoad(ins):
		return nil
	}
	to := s.funcAt(callee(i, ins))
	if f := &s.funcs[to]; f.async {
		if !local {
			return nil
		}
		if f.exception {
			return s.fail(CauseException, "insn %d cannot call exception cb directly", i)
		}
	}
	if slices.Contains(s.chain, to) {
		return s.fail(CauseControlFlow, "recursive call from %s() to %s()", s.funcs[n].Name, s.funcs[to].Name)
	}
	if frame++; s.funcs[to].global && s.since(7, 2) {
		frame = 0
	}
	if frame >= isa.MaxFrames {
		return s.fail(CauseStackDepth, "the call stack of %d frames is too deep !", frame)
	}
	return s.enter(to, used, frame)
}

// inCallback reports whether one of the functions in the chain is a callback.
func (s *stackCheck) inCallback() bool {
	for _, n := range s.chain {
		if s.funcs[n].callback {
			return true
		}
	}
	return false
}

// inException reports whether the exception callback is in the chain.
func (s *stackCheck) inException() bool {
	for _, n := range s.chain {
		if s.funcs[n].exception {
			return true
		}
	}
	return false
}
