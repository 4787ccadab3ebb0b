package exec

import "encoding/binary"

// CtxShape says what memory the context is to the program.
type CtxShape struct {
	Form CtxForm
	Size int // bytes; 0 where Form is CtxFields
	// Hidden is how many of the first bytes the program must not see.
	Hidden int
}

// CtxForm is a form of a context.
type CtxForm uint8

// The forms.
const (
	CtxFields   CtxForm = iota // fields that lie elsewhere than programs see them
	CtxMemory                  // plain memory
	CtxReadOnly                // plain memory that programs only read
	CtxTyped                   // words of 8 bytes, some of which are pointers into Env.Objects
)

// SetCtx makes the context what c says, of at most [MaxPlainCtx] bytes, and gives
// its memory, which holds what earlier runs left. It is true for all runs until
// it is called again.
func (s *State) SetCtx(c CtxShape) []byte {
	s.ctx, s.leadsToOwn, s.shown = c, false, false
	return s.PlainCtx()
}

// SetPlainCtx makes the context size bytes of plain memory. A size of 0 is for
// types whose context has fields.
func (s *State) SetPlainCtx(size int) []byte {
	if size == 0 {
		return s.SetCtx(CtxShape{})
	}
	return s.SetCtx(CtxShape{Form: CtxMemory, Size: size})
}

// CtxShape says what the context of this run is.
func (s *State) CtxShape() CtxShape { return s.ctx }

// PlainCtx is the context's memory where it is of another form than fields.
func (s *State) PlainCtx() []byte { return s.block.Bytes()[ctxOffset : ctxOffset+s.ctx.Size] }

// ctxRegion is what plain accesses of the context may reach: those of fields and
// of typed words are the engine's to judge.
func (s *State) ctxRegion() Region {
	if s.ctx.Form == CtxTyped {
		return Region{Base: s.Ctx()}
	}
	return Region{
		Base: s.Ctx() + uintptr(s.ctx.Hidden), Size: uintptr(s.ctx.Size - s.ctx.Hidden),
		ReadOnly: s.ctx.Form == CtxReadOnly,
	}
}

// sessionOffset is where the number lies that a session's runs share: behind any
// context of such programs.
const sessionOffset = ctxBytes - 8

// ShareSession gives a session's program the number that its runs share as memory,
// which is the run's Buffer; Session is that number.
func (s *State) ShareSession(number uint64) {
	b := s.CtxBytes()[sessionOffset:]
	binary.NativeEndian.PutUint64(b, number)
	s.Buffer = Region{Base: Addr(b), Size: uintptr(len(b))}
}

// Session is the number that [State.ShareSession] shares.
func (s *State) Session() uint64 { return binary.NativeEndian.Uint64(s.CtxBytes()[sessionOffset:]) }
