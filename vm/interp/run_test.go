package interp

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func TestRun(t *testing.T) {
	counts := array(t, 16)
	tests := map[string]struct {
		typ  ebpf.ProgramType
		text string
		want uint64
	}{
		"division by zero": {text: `
			mov %r0, 7
			mov %r1, 0
			mov %r2, 9
			div %r0, %r1
			mod %r2, %r1
			lsh %r2, 8
			or %r0, %r2
			exit`, want: 0x900},
		"least by minus one": {text: `
			lddw %r0, 0x8000000000000000
			mov %r1, -1
			mov %r2, %r0
			sdiv %r0, %r1
			smod %r2, %r1
			add %r0, %r2
			exit`, want: 1 << 63},
		"shift masks": {text: `
			mov %r0, 1
			mov %r1, 65
			lsh %r0, %r1
			mov32 %r2, 1
			mov %r1, 33
			lsh32 %r2, %r1
			add %r0, %r2
			exit`, want: 4},
		"cmpxchg32 zero-extends": {text: `
			lddw %r0, 0xffffffff00000005
			mov %r1, 5
			stxdw [%r10-8], %r1
			mov %r1, 6
			lock cmpxchg32 [%r10-8], %r1
			exit`, want: 5},
		"spilled pointer": {text: `
			stdw [%r10-16], 42
			mov %r2, %r10
			add %r2, -16
			stxdw [%r10-8], %r2
			ldxdw %r3, [%r10-8]
			ldxdw %r0, [%r3]
			exit`, want: 42},
		"spilled pointer, exchanged": {text: `
			stdw [%r10-16], 42
			mov %r2, %r10
			add %r2, -16
			stxdw [%r10-8], %r2
			mov %r3, 0
			lock xchg [%r10-8], %r3
			ldxdw %r0, [%r3]
			exit`, want: 42},
		"stack of the caller": {text: `
			mov %r1, %r10
			add %r1, -8
			call local f
			ldxdw %r0, [%r10-8]
			exit
			f:
			stdw [%r1], 7
			stdw [%r10-8], 9
			mov %r0, 0
			exit`, want: 7},
		"callee-saved registers": {text: `
			mov %r6, 1
			mov %r7, 2
			mov %r8, 3
			mov %r9, 4
			call local f
			mov %r0, %r6
			add %r0, %r7
			add %r0, %r8
			add %r0, %r9
			exit
			f:
			mov %r6, 10
			mov %r7, 10
			mov %r8, 10
			mov %r9, 10
			mov %r0, 0
			exit`, want: 10},
		"recursion of eight frames": {text: `
			mov %r1, 7
			call local f
			exit
			f:
			mov %r0, %r1
			add %r1, -1
			jeq %r1, 0, end
			call local f
			add %r0, 1
			end:
			exit`, want: 7},
		"map value": {text: `
			stw [%r10-4], 1
			lddw %r1, map 0
			mov %r2, %r10
			add %r2, -4
			call 1
			jne %r0, 0, found
			exit
			found:
			stdw [%r0+8], 5
			lddw %r1, value 0+8
			stdw [%r1], 6
			ldxdw %r1, [%r1]
			ldxdw %r0, [%r0+8]
			add %r0, %r1
			exit`, want: 11},
		"callback": {text: `
			stdw [%r10-8], 0
			mov %r1, 10
			lddw %r2, func 10
			mov %r3, %r10
			add %r3, -8
			mov %r4, 0
			call 181
			ldxdw %r0, [%r10-8]
			exit
			ldxdw %r3, [%r2]    # instruction 10
			add %r3, %r1
			stxdw [%r2], %r3
			mov %r0, 0
			exit`, want: 45},
		"packet": {typ: ebpf.XDP, text: `
			mov %r6, %r1
			stxdw [%r10-8], %r1
			ldxdw %r7, [%r10-8]
			ldxw %r2, [%r7]
			ldxw %r3, [%r6+4]
			mov %r0, 0
			mov %r4, %r2
			add %r4, 14
			jgt %r4, %r3, end
			ldxb %r0, [%r2]
			end:
			exit`, want: 2},
		"context of a subprogram": {typ: ebpf.XDP, text: `
			call local f
			exit
			f:
			ldxw %r2, [%r1+4]
			ldxw %r3, [%r1]
			sub %r2, %r3
			mov %r0, %r2
			exit`, want: uint64(len(packet))},
		"packet loads": {typ: ebpf.SocketFilter, text: `
			mov %r6, %r1
			ldabsh 0
			mov %r7, %r0
			mov %r1, 2
			ldindb %r1, 1
			add %r0, %r7
			ldabsw 4000
			exit`, want: 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := &Input{Insns: assemble(t, tt.text), Maps: []maps.Map{counts}}
			if tt.typ != 0 {
				in.Type = progType(t, tt.typ)
			}
			p := compile(t, in)
			if !p.Verified() {
				t.Error("the program does not run fast")
			}
			inBothModes(t, p, wantR0(tt.want))
		})
	}
}

// TestUninitStack: what a program may read of its stack without having written it is 0,
// whatever ran before.
func TestUninitStack(t *testing.T) {
	soil := compile(t, &Input{Insns: assemble(t, `
		mov %r1, %r10
		call local f
		stdw [%r10-8], 7
		stdw [%r10-16], 7
		exit
		f:
		stdw [%r10-8], 7
		stdw [%r10-24], 7
		mov %r0, 0
		exit`)})
	p := compile(t, &Input{Insns: assemble(t, `
		mov %r1, %r10
		call local f
		ldxdw %r1, [%r10-8]
		or %r0, %r1
		ldxb %r1, [%r10-9]
		or %r0, %r1
		exit
		f:
		ldxdw %r0, [%r10-24]
		ldxdw %r2, [%r1-16]
		or %r0, %r2
		exit`)})
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			s.SetPlainCtx(8)
			if _, err := soil.Run(s, mode); err != nil {
				t.Fatal(err)
			}
			if got, err := p.Run(s, mode); err != nil || got != 0 {
				t.Errorf("reads %#x, error %v", got, err)
			}
		})
	}
}

func TestMayGoto(t *testing.T) {
	insns := []isa.Instruction{
		{Op: isa.ClassALU64 | isa.AluMOV, Dst: 0},
		{Op: isa.ClassJMP | isa.JmpJCOND, Off: 2},
		{Op: isa.ClassALU64 | isa.AluADD, Dst: 0, Imm: 1},
		{Op: isa.ClassJMP | isa.JmpJA, Off: -3},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}
	inBothModes(t, compile(t, &Input{Insns: insns}), wantR0(8<<20))
}

func TestAtomicBytes(t *testing.T) {
	size := map[uint8]uint64{isa.SizeB: 0xaa, isa.SizeH: 0xbbaa, isa.SizeW: 0xddccbbaa, isa.SizeDW: 0x11223344ddccbbaa}
	for op, want := range size {
		for _, at := range []int16{-16, -16 + int16(isa.SizeOf(op))} {
			insns := append(assemble(t, `
				stdw [%r10-16], 0
				stdw [%r10-8], 0
				lddw %r1, 0x11223344ddccbbaa
				mov %r0, 0`),
				isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | op, Dst: 10, Src: 1, Off: at, Imm: isa.AtomicStoreRl},
				isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | op, Dst: 0, Src: 10, Off: at, Imm: isa.AtomicLoadAcq},
				isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})
			inBothModes(t, compile(t, &Input{Insns: insns}), wantR0(want))
		}
	}
}

// TestAtomic: CPUs that count in one value lose nothing.
func TestAtomic(t *testing.T) {
	counts := array(t, 16)
	p := compile(t, &Input{Maps: []maps.Map{counts}, Insns: assemble(t, `
		lddw %r2, value 0+0
		mov %r1, 1
		mov %r6, 1000
		mov %r7, 2
		again:
		lock add [%r2], %r1
		mov %r3, 1
		lock fetch add32 [%r2+8], %r3
		lock xor32 [%r2+12], %r7
		add %r6, -1
		jne %r6, 0, again
		mov %r0, 0
		exit`)})
	var wg sync.WaitGroup
	for _, mode := range modes {
		for range 4 {
			s := newState(t)
			wg.Go(func() {
				if _, err := p.Run(s, mode); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	value := make([]byte, 16)
	if err := counts.UserLookup(make([]byte, 4), value, 0); err != nil {
		t.Fatal(err)
	}
	got := [3]uint64{binary.LittleEndian.Uint64(value), uint64(binary.LittleEndian.Uint32(value[8:])), uint64(binary.LittleEndian.Uint32(value[12:]))}
	if want := [3]uint64{8000, 8000, 0}; got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestTailCall(t *testing.T) {
	progs := newMap(t, &ebpf.MapSpec{Name: "progs", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	hit := array(t, 8)
	all := []maps.Map{progs, hit}
	// Each run counts itself and calls itself again.
	p := compile(t, &Input{Name: "again", Maps: all, Insns: assemble(t, `
		lddw %r2, value 1+0
		mov %r3, 1
		lock add [%r2], %r3
		lddw %r2, map 0
		mov %r3, 0
		call 12
		mov %r0, 5
		exit`)})
	id := maps.RegisterProg(p)
	t.Cleanup(func() { maps.UnregisterProg(id) })
	if err := progs.UserUpdate(make([]byte, 4), binary.LittleEndian.AppendUint32(nil, id), 0); err != nil {
		t.Fatal(err)
	}
	// From a function, only its frame is replaced.
	caller := compile(t, &Input{Name: "caller", Maps: all, Insns: assemble(t, `
		mov %r6, %r1
		call local f
		add %r0, 100
		exit
		f:
		lddw %r2, map 0
		mov %r3, 0
		call 12
		mov %r0, 1
		exit`)})
	missing := compile(t, &Input{Name: "missing", Maps: all, Insns: assemble(t, `
		lddw %r2, map 0
		mov %r3, 3
		call 12
		mov %r0, 1
		exit`)})
	for _, tt := range []struct {
		p         *Program
		want, hit uint64
	}{{p, 5, isa.MaxTailCalls + 1}, {caller, 105, isa.MaxTailCalls}, {missing, 1, 0}} {
		t.Run(tt.p.Name(), func(t *testing.T) {
			inBothModes(t, tt.p, func(t *testing.T, s *exec.State, r0 uint64, err error) {
				wantR0(tt.want)(t, s, r0, err)
				value := make([]byte, 8)
				if err := hit.UserLookup(make([]byte, 4), value, 0); err != nil {
					t.Fatal(err)
				}
				if got := binary.LittleEndian.Uint64(value); got != tt.hit {
					t.Errorf("%d runs, want %d", got, tt.hit)
				}
				if err := hit.UserUpdate(make([]byte, 4), make([]byte, 8), 0); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestBudget(t *testing.T) {
	endless := compile(t, &Input{Insns: assemble(t, `
		mov %r0, 0
		again:
		add %r0, 1
		ja again`)})
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			s.Budget = 1_000_000
			if _, err := endless.Run(s, mode); !errors.Is(err, ErrBudget) {
				t.Errorf("error %v, want ErrBudget", err)
			}
			if s.Budget > 0 || s.Budget < -3 {
				t.Errorf("%d instructions of the budget are left", s.Budget)
			}
			s.Budget = 1 << 40
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			s.Context = ctx
			if _, err := endless.Run(s, mode); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
		})
	}
}

// TestBudgetCounts: a run takes from the budget what it executes, to the
// instruction, also through calls and callbacks.
func TestBudgetCounts(t *testing.T) {
	p := compile(t, &Input{Insns: assemble(t, `
		mov %r0, 0
		jeq %r0, 0, over
		mov %r0, 1
		mov %r0, 2
		over:
		call local f        # instruction 4
		mov %r1, 3
		lddw %r2, func 14
		mov %r3, 0
		mov %r4, 0
		call 181
		exit
		f:
		mov %r0, 0          # instruction 12
		exit
		mov %r0, 0          # instruction 14
		exit`)})
	inBothModes(t, p, func(t *testing.T, s *exec.State, _ uint64, err error) {
		if used := testBudget - s.Budget; err != nil || used != 3+2+7+3*2 {
			t.Errorf("a run takes %d instructions, error %v", used, err)
		}
	})
}

func TestAllocations(t *testing.T) {
	counts := array(t, 8)
	p := compile(t, &Input{Type: progType(t, ebpf.XDP), Maps: []maps.Map{counts}, Insns: assemble(t, `
		mov %r6, %r1
		ldxw %r7, [%r6]
		stw [%r10-4], 1
		lddw %r1, map 0
		mov %r2, %r10
		add %r2, -4
		call 1
		jeq %r0, 0, end
		mov %r1, 1
		lock add [%r0], %r1
		call local f
		end:
		mov %r0, 2
		exit
		f:
		mov %r0, 0
		exit`)})
	for name, mode := range modes {
		s := newState(t)
		packetType(t, s)
		n := testing.AllocsPerRun(100, func() {
			s.Budget = 1 << 20
			if _, err := p.Run(s, mode); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a run", name, n)
		}
	}
}
