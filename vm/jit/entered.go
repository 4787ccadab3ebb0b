package jit

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// entered are the programs that stand, or stood, in a program array: native code goes
// on in them without telling Go, which then finds them by the address of their code. A
// reader takes the slice as it is, a writer replaces it. Whoever takes a program out of
// an array must keep it until runs that may be in it are over.
var entered struct {
	sync.Mutex
	all atomic.Pointer[[]placed] // by address
}

type placed struct {
	addr uintptr // of the code's first byte
	prog weak.Pointer[Program]
}

func (p placed) compare(addr uintptr) int { return cmp.Compare(p.addr, addr) }

// Entry implements [maps.Entered]: programs that take much stack are for Go to enter, which
// looks how much there is.
func (p *Program) Entry() uintptr {
	p.placed.Do(func() {
		entered.Lock()
		defer entered.Unlock()
		all := enteredPrograms()
		at, _ := slices.BinarySearchFunc(all, p.base, placed.compare)
		all = slices.Insert(slices.Clone(all), at, placed{p.base, weak.Make(p)})
		entered.all.Store(&all)
	})
	if p.main.stack > abi.BecomeStack {
		return maps.EntryInGo
	}
	return p.main.addr
}

// leave forgets a program whose code is freed.
func leave(code *mem.Code) {
	entered.Lock()
	defer entered.Unlock()
	all := enteredPrograms()
	if at, ok := slices.BinarySearchFunc(all, code.Addr(), placed.compare); ok {
		all = slices.Delete(slices.Clone(all), at, at+1)
		entered.all.Store(&all)
	}
}

func enteredPrograms() []placed {
	if all := entered.all.Load(); all != nil {
		return *all
	}
	return nil
}

// programAt is the program whose code ends behind an address or has it, of those that
// stand in a program array.
func programAt(behind uintptr) *Program {
	all := enteredPrograms()
	at, _ := slices.BinarySearchFunc(all, behind, placed.compare)
	if at == 0 {
		return nil
	}
	if p := all[at-1].prog.Value(); p != nil && p.has(behind) {
		return p
	}
	return nil
}
