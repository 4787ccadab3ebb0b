package jit

import (
	"crypto/rand"
	"fmt"
	"maps"
	randv2 "math/rand/v2"
	"runtime"
	"slices"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit/ir"
	vmmaps "github.com/skep-ebpf/skep/vm/maps"
)

// Options say how code is made.
type Options struct {
	// Harden is for programs from strangers: numbers that the program chose do not
	// stand in the code, and nobody can tell where what it made of its instructions lies.
	// The code is slower, and different each time.
	Harden bool
}

// Compile makes machine code of a program that the verifier accepted. It fails where
// the system lets no code be made ([Available]), where nothing was proved of the
// program, and where functions call themselves.
func Compile(p *interp.Program, opts Options) (*Program, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	w := newWorkspace()
	defer w.release()
	c, err := w.compile(p, backends[runtime.GOARCH], opts)
	if err != nil {
		return nil, err
	}
	return load(p, c.code, c.funcs, c.helpers)
}

// Assemble makes the code that Compile would on an architecture (a GOARCH), to be
// looked at.
func Assemble(p *interp.Program, arch string) (*ir.Code, error) {
	b, ok := backends[arch]
	if !ok {
		return nil, fmt.Errorf("skep makes no machine code for %s%s", arch, suggest.Name(arch, slices.Collect(maps.Keys(backends))))
	}
	w := newWorkspace()
	defer w.release()
	c, err := w.compile(p, b, Options{})
	if err != nil {
		return nil, err
	}
	return c.code.Clone(), nil
}

// compiled is what comes of a program, as long as its workspace is not released.
type compiled struct {
	code    *ir.Code
	funcs   []*ir.Func
	helpers []*helper.Helper
}

func (w *workspace) compile(p *interp.Program, b backend, opts Options) (*compiled, error) {
	if !p.Verified() {
		return nil, fmt.Errorf("compile program %s: the verifier did not see it, and machine code tests nothing", p.Name())
	}
	src := newSource(p)
	prog, err := ir.Lift(&src.Source, &w.ir)
	if err != nil {
		return nil, err
	}
	prog.Expand(&src.calls)
	prog.Optimise(b.target)
	seed, err := harden(prog, opts)
	if err != nil {
		return nil, fmt.Errorf("compile program %s: %w", p.Name(), err)
	}
	prog.Colour(b.target)
	code, err := b.emit(w, prog, seed)
	if err != nil {
		return nil, fmt.Errorf("compile program %s: %w", p.Name(), err)
	}
	return &compiled{code, prog.Funcs, src.calls.Helpers}, nil
}

// harden hides numbers if it is to, and gives the seed of padding; 0: none.
func harden(prog *ir.Program, opts Options) (uint64, error) {
	if !opts.Harden {
		return 0, nil
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	random := randv2.NewChaCha8(seed)
	return random.Uint64() | 1, prog.Blind(random)
}

// source is a program of the interpreter as one to be compiled.
type source struct {
	ir.Source
	prog  *interp.Program
	calls ir.Calls
	index map[*helper.Helper]int
}

func newSource(p *interp.Program) *source {
	in := p.Input()
	s := &source{prog: p, index: make(map[*helper.Helper]int)}
	s.calls.Type, s.calls.Maps = in.Type.Prog, in.Maps
	s.Source = ir.Source{
		Name: in.Name, Insns: in.Insns, Facts: in.Facts, Exception: in.Exception,
		Call: s.call, Constant: p.Constant, Access: s.access, Targets: s.targets,
		Trapped: p.Trapped(),
	}
	return s
}

// call numbers the helpers and kernel functions that the program calls.
func (s *source) call(at int) (int, uint8) {
	h := s.prog.Helper(at)
	n, ok := s.index[h]
	if !ok {
		n = len(s.calls.Helpers)
		s.index[h] = n
		s.calls.Helpers = append(s.calls.Helpers, h)
	}
	return n, uint8(len(h.Args))
}

func (s *source) access(at int) ir.Access {
	switch a := s.prog.Access(at); a.Form {
	case interp.Slow:
		return ir.Access{Slow: true}
	case interp.Field:
		return ir.Access{Width: a.Width, Shift: a.Shift, Off: a.Off, Mask: a.Mask, Limit: a.Limit}
	}
	return ir.Access{}
}

// targets are the instructions of the jump's function that jump tables lead to.
func (s *source) targets(at int) (all []ir.JumpTarget) {
	marked := s.prog.Targets()
	for to, leads := range marked {
		address := vmmaps.InsnBase + uint64(to)
		if _, err := s.prog.Target(at, address); leads && err == nil {
			all = append(all, ir.JumpTarget{Address: address, At: to})
		}
	}
	return all
}
