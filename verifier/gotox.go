package verifier

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// insnAddress is the size of a pointer that a program loads from such an array.
const insnAddress = 8

// jumpTable gives the instructions of its function that an indirect jump may lead
// to: all those in the arrays that begin with one of this function.
func (c *checker) jumpTable(i int) ([]int, error) {
	f := &c.funcs[c.funcAt(i)]
	var all []int
	for _, m := range c.maps {
		if m.Type != maps.TypeInsnArray {
			continue
		}
		targets, err := c.insnArray(m, 0, int(m.MaxEntries)-1)
		if err != nil {
			return nil, err
		}
		if first := targets[0]; first >= f.Start && first < f.end {
			all = append(all, targets...)
		}
	}
	if len(all) == 0 {
		return nil, c.fail(CauseControlFlow, "no jump tables found for subprog starting at %d", f.Start)
	}
	slices.Sort(all)
	for _, t := range all {
		if t < f.Start || t >= f.end {
			return nil, c.fail(CauseControlFlow, "jump table for insn %d points outside of the subprog [%d,%d]", i, f.Start, f.end)
		}
	}
	return slices.Compact(all), nil
}

// insnArray gives the different instructions that elements of an array point to.
func (c *checker) insnArray(m *Map, first, last int) ([]int, error) {
	var targets []int
	for i := first; i <= last; i++ {
		insn, ok := insnAddressAt(m, i)
		if !ok {
			return nil, c.fail(CauseUnsupported, "the contents of the jump table %s are not known", m.Name)
		}
		targets = append(targets, insn)
	}
	slices.Sort(targets)
	return slices.Compact(targets), nil
}

// insnAddressAt gives the instruction that an element points to: the first four
// bytes of its initial value.
func insnAddressAt(m *Map, i int) (int, bool) {
	for _, kv := range m.Contents {
		if key, ok := kv.Key.(uint32); !ok || int(key) != i {
			continue
		}
		if value, ok := kv.Value.([]byte); ok && len(value) >= 4 {
			return int(binary.LittleEndian.Uint32(value)), true
		}
	}
	return 0, false
}

// jumpIndirect follows a gotox to each instruction that the register may point to.
func (c *checker) jumpIndirect(ins *isa.Instruction) error {
	r := c.reg(ins.Dst)
	if r.Type != PtrToInsn {
		return c.failReg(CauseNotPointer, int(ins.Dst), "R%d has type %s, expected PTR_TO_INSN", ins.Dst, typeName(r.Type, r.Flags))
	}
	low, high := r.UMin+uint64(int64(r.Off)), r.UMax+uint64(int64(r.Off))
	switch limit := uint64(math.MaxUint32) * insnAddress; {
	case low > limit:
		return c.failReg(CauseBounds, int(ins.Dst), "the sum of R%d umin_value %d is too big", ins.Dst, low)
	case high > limit:
		return c.failReg(CauseBounds, int(ins.Dst), "the sum of R%d umax_value %d is too big", ins.Dst, high)
	}
	low, high = low/insnAddress, high/insnAddress
	if high >= uint64(r.Map.MaxEntries) {
		return c.failReg(CauseBounds, int(ins.Dst), "R%d points to outside of jump table: [%d,%d] max_entries %d", ins.Dst, low, high, r.Map.MaxEntries)
	}
	targets, err := c.insnArray(r.Map, int(low), int(high))
	if err != nil {
		return err
	}
	last := len(targets) - 1
	for _, t := range targets[:last] {
		if _, err := c.push(t, false); err != nil {
			return err
		}
	}
	c.insn = targets[last]
	return errJumped
}
