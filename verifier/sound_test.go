package verifier_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// TestValues runs accepted programs about numbers on random inputs: at each
// instruction, the registers are as one of the states there says, and no access leaves
// its object.
func TestValues(t *testing.T) {
	seed := testenv.Seed(t)
	steps := 0
	for i := range edgePrograms(t) / 4 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		p := edgegen.Numbers(r)
		var log strings.Builder
		opts := verifier.Options{Kernel: []string{"6.18", "7.2"}[i%2], Log: &log, Budget: 1000}
		if _, err := verifier.CheckImage(image(p), specs(p), &opts); err != nil {
			continue
		}
		if strings.Contains(log.String(), ": safe") {
			continue // states stand for others, with numbers that do not matter
		}
		known := statesBefore(t, log.String())
		for range 50 {
			m := newMachine(p.Insns, r)
			for !m.done && m.err == nil {
				if !m.within(known[m.pc]) {
					t.Fatalf("program %d of seed %d under %s: registers %x at instruction %d are in no state\n%s",
						i, seed, opts.Kernel, m.regs, m.pc, log.String())
				}
				m.step()
				steps++
			}
			if m.err != nil {
				t.Fatalf("program %d of seed %d under %s, at instruction %d: %v\n%s", i, seed, opts.Kernel, m.pc, m.err, log.String())
			}
		}
	}
	t.Logf("%d instructions", steps)
}

// numbers are the registers that hold numbers in a state.
type numbers map[uint8]scalar.Value

// statesBefore gives the states in which each instruction is reached.
func statesBefore(t *testing.T, log string) map[int][]numbers {
	states := map[int][]numbers{}
	for _, s := range logStates(log) {
		n := numbers{}
		for reg, text := range s.before {
			var r uint8
			if _, err := fmt.Sscanf(reg, "R%d", &r); err != nil {
				t.Fatal(err)
			}
			if v, err := logNumber(text); err == nil {
				n[r] = v
			}
		}
		states[s.insn] = append(states[s.insn], n)
	}
	return states
}

// machine runs a program of [edgegen.Numbers].
type machine struct {
	insns []isa.Instruction
	pc    int
	regs  [11]uint64
	value [64]byte // of the map
	stack [64]byte
	done  bool
	err   error
}

// Where the machine's memory lies.
const (
	valueAt    = 1 << 40
	stackEndAt = 1 << 41
)

func newMachine(insns []isa.Instruction, r *rand.Rand) *machine {
	m := &machine{insns: insns}
	m.regs[isa.R10] = stackEndAt
	for i := 0; i < len(m.value); i += 8 {
		binary.LittleEndian.PutUint64(m.value[i:], input(insns, r))
	}
	return m
}

// input is a number near a constant of the program, or any.
func input(insns []isa.Instruction, r *rand.Rand) uint64 {
	v := uint64(int64(insns[r.IntN(len(insns))].Imm)) + uint64(r.IntN(5)) - 2
	switch r.IntN(6) {
	case 0:
		v = r.Uint64() >> r.IntN(64)
	case 1:
		v = uint64(uint32(v))
	case 2:
		v |= r.Uint64() << 32
	case 3:
		v = -v
	}
	return v
}

// within reports whether the registers are as one of the states says.
func (m *machine) within(states []numbers) bool {
	for _, s := range states {
		all := true
		for r, v := range s {
			all = all && v.Has(m.regs[r])
		}
		if all {
			return true
		}
	}
	return false
}

func (m *machine) step() {
	ins := m.insns[m.pc]
	m.pc++
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		m.alu(&ins)
	case isa.ClassJMP, isa.ClassJMP32:
		m.jump(&ins)
	case isa.ClassLDX:
		if b := m.at(m.regs[ins.Src], ins.Off, isa.SizeOf(ins.Op)); b != nil {
			m.regs[ins.Dst] = number(b, ins.Op&0xe0 == isa.ModeMEMSX)
		}
	case isa.ClassST, isa.ClassSTX:
		v := m.regs[ins.Src]
		if ins.Class() == isa.ClassST {
			v = uint64(int64(ins.Imm))
		}
		if b := m.at(m.regs[ins.Dst], ins.Off, isa.SizeOf(ins.Op)); b != nil {
			copy(b, binary.LittleEndian.AppendUint64(nil, v))
		}
	default: // the map's value
		m.regs[ins.Dst] = valueAt
		m.pc++
	}
}

// at is memory at an address and offset, or nil where it is outside.
func (m *machine) at(addr uint64, off int16, size int) []byte {
	addr += uint64(int64(off))
	switch {
	case addr >= valueAt && addr+uint64(size) <= valueAt+uint64(len(m.value)):
		return m.value[addr-valueAt:][:size]
	case addr >= stackEndAt-uint64(len(m.stack)) && addr+uint64(size) <= stackEndAt:
		return m.stack[addr+uint64(len(m.stack))-stackEndAt:][:size]
	}
	m.err = fmt.Errorf("%d bytes at %#x are outside", size, addr)
	return nil
}

// number reads a number of the bytes' width.
func number(b []byte, signed bool) uint64 {
	var v uint64
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	if n := 64 - 8*len(b); signed {
		return uint64(int64(v<<n) >> n)
	}
	return v
}

func (m *machine) operand(ins *isa.Instruction) uint64 {
	if ins.Op&isa.SrcX != 0 {
		return m.regs[ins.Src]
	}
	return uint64(int64(ins.Imm))
}

func (m *machine) alu(ins *isa.Instruction) {
	dst, v, narrow := &m.regs[ins.Dst], m.operand(ins), ins.Class() == isa.ClassALU
	switch op := ins.Op & 0xf0; {
	case op == isa.AluMOV:
		if ins.Off != 0 {
			v = number(binary.LittleEndian.AppendUint64(nil, v)[:ins.Off/8], true)
		}
		*dst = v
	case op == isa.AluEND:
		b := binary.LittleEndian.AppendUint64(nil, *dst)[:ins.Imm/8]
		if ins.Op&isa.SrcX != 0 {
			for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
				b[i], b[j] = b[j], b[i]
			}
		}
		*dst = number(b, false)
		return
	case narrow:
		r, _ := scalar.Eval32(op, ins.Off == 1, uint32(*dst), uint32(v))
		*dst = uint64(r)
	default:
		*dst, _ = scalar.Eval(op, ins.Off == 1, *dst, v)
	}
	if narrow {
		*dst = uint64(uint32(*dst))
	}
}

func (m *machine) jump(ins *isa.Instruction) {
	a, b := m.regs[ins.Dst], m.operand(ins)
	if ins.Class() == isa.ClassJMP32 {
		a, b = uint64(int64(int32(a))), uint64(int64(int32(b))) // keeps every order
	}
	var taken bool
	switch s, t := int64(a), int64(b); ins.Op & 0xf0 {
	case isa.JmpEXIT:
		m.done = true
	case isa.JmpJEQ:
		taken = a == b
	case isa.JmpJNE:
		taken = a != b
	case isa.JmpJSET:
		taken = a&b != 0
	case isa.JmpJGT:
		taken = a > b
	case isa.JmpJGE:
		taken = a >= b
	case isa.JmpJLT:
		taken = a < b
	case isa.JmpJLE:
		taken = a <= b
	case isa.JmpJSGT:
		taken = s > t
	case isa.JmpJSGE:
		taken = s >= t
	case isa.JmpJSLT:
		taken = s < t
	case isa.JmpJSLE:
		taken = s <= t
	}
	if taken {
		m.pc += int(ins.Off)
	}
}
