package verifier

import (
	"testing"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// newest is a checker of a privileged loader on the newest Linux.
func newest(t *testing.T) *checker {
	t.Helper()
	k, err := kernelOf("")
	if err != nil {
		t.Fatal(err)
	}
	return &checker{capable: true, bypass: true, leaks: true, kernel: k}
}

func number(v uint64) Reg { return Reg{Type: Scalar, Value: scalar.Const(v)} }

func linkedNumber(id uint32) Reg {
	return Reg{Type: Scalar, Value: scalar.Unknown(), ID: id}
}

func TestCovers(t *testing.T) {
	any := Reg{Type: Scalar, Value: scalar.Unknown()}
	value := Reg{Type: PtrToMapValue, Value: scalar.Const(0), Map: new(Map)}
	orNull := value
	orNull.Flags, orNull.ID = MaybeNull, 1
	packet := Reg{Type: PtrToPacket, Value: scalar.Const(0), Range: 14}
	longer := packet
	longer.Range = 20
	for _, tc := range []struct {
		name     string
		old, cur Reg
		precise  bool
		how      exactness
		want     bool
	}{
		{"numbers that do not matter", number(1), number(2), false, notExact, true},
		{"numbers that matter", number(1), number(2), true, notExact, false},
		{"any number covers one", any, number(2), true, notExact, true},
		{"one covers not any", number(2), any, true, notExact, false},
		{"in a loop numbers matter", number(1), number(2), false, rangeWithin, false},
		{"a pointer is no number", any, value, false, notExact, false},
		{"what was not read", Reg{}, value, false, notExact, true},
		{"perhaps NULL", value, orNull, false, notExact, false},
		{"a packet proved further", packet, longer, false, notExact, true},
		{"a packet proved less far", longer, packet, false, notExact, false},
		{"exactly", number(1), number(1), false, exact, true},
		{"not exactly", number(1), number(2), false, exact, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newest(t)
			if got := c.covers(&tc.old, &tc.cur, tc.precise, tc.how); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestIDs shows that what was linked must be linked, whatever the ids are.
func TestIDs(t *testing.T) {
	for _, tc := range []struct {
		name     string
		old, cur [2]uint32
		want     bool
	}{
		{"other ids", [2]uint32{1, 2}, [2]uint32{7, 8}, true},
		{"both linked", [2]uint32{1, 1}, [2]uint32{7, 7}, true},
		{"no longer linked", [2]uint32{1, 1}, [2]uint32{7, 8}, false},
		{"linked now", [2]uint32{1, 2}, [2]uint32{7, 7}, false},
		{"linked only now", [2]uint32{0, 0}, [2]uint32{7, 7}, true},
		{"not linked any more", [2]uint32{1, 1}, [2]uint32{0, 0}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newest(t)
			c.idMap.spare = 100
			got := true
			for i := range tc.old {
				old, cur := linkedNumber(tc.old[i]), linkedNumber(tc.cur[i])
				got = got && c.covers(&old, &cur, true, notExact)
			}
			if got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCoversSlot(t *testing.T) {
	spilled := func(r Reg, size int) slot {
		s := slot{reg: &r}
		for i := range size {
			s.kind[i] = slotSpill
		}
		return s
	}
	bytes := func(k slotKind) (s slot) {
		for i := range s.kind {
			s.kind[i] = k
		}
		return s
	}
	value := Reg{Type: PtrToMapValue, Value: scalar.Const(0), Map: new(Map)}
	for _, tc := range []struct {
		name     string
		old, cur slot
		precise  bool
		want     bool
	}{
		{"nothing was stored", slot{}, spilled(value, 8), false, true},
		{"a number was stored, bytes now", spilled(number(1), 8), bytes(slotMisc), false, true},
		{"a number that matters, bytes now", spilled(number(1), 8), bytes(slotMisc), true, false},
		{"a pointer was stored, bytes now", spilled(value, 8), bytes(slotMisc), false, false},
		{"zero was stored, bytes now", bytes(slotZero), bytes(slotMisc), false, false},
		{"bytes were stored, zero now", bytes(slotMisc), bytes(slotZero), false, true},
		{"half a number", spilled(number(1), 4), spilled(number(1), 4), true, true},
		{"another half", spilled(number(1), 4), spilled(number(2), 4), true, false},
		{"the same pointer", spilled(value, 8), spilled(value, 8), false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newest(t)
			if got := c.coversSlot(&tc.old, &tc.cur, tc.precise, notExact); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestWiden shows that a loop's number becomes any number where nothing depends on it.
func TestWiden(t *testing.T) {
	c := newest(t)
	turn := func(v uint64) *state {
		f := new(frame)
		f.regs[isa.R6], f.regs[isa.R7], f.regs[isa.R8] = number(v), number(v), number(5)
		return &state{frames: []*frame{f}}
	}
	old, s := turn(1), turn(2)
	old.cur().precise = 1 << isa.R7
	c.widen(old, s)
	for r, want := range map[int]bool{isa.R6: true, isa.R7: false, isa.R8: false} {
		if got := !s.cur().regs[r].isConst(); got != want {
			t.Errorf("R%d widened: %v, want %v", r, got, want)
		}
	}
}

// TestCoversIterator has an iterator's RCU section end between two states: before Linux
// 7.2 that made no difference to them.
func TestCoversIterator(t *testing.T) {
	protected := Reg{Type: PtrToStack, Value: scalar.Const(0), Flags: RCU}
	ended := protected
	ended.Flags = Untrusted
	at := func(r *Reg, state uint8) *slot {
		return &slot{reg: r, kind: [8]slotKind{slotIter}, object: slotObject{state: state}}
	}
	for _, tc := range []struct {
		kernel   string
		old, cur *slot
		want     bool
	}{
		{"6.18", at(&protected, iterActive), at(&ended, iterActive), true},
		{"7.2", at(&protected, iterActive), at(&ended, iterActive), false},
		{"7.2", at(&protected, iterActive), at(&protected, iterActive), true},
		{"6.18", at(&protected, iterActive), at(&protected, iterDrained), false},
	} {
		c := newest(t)
		var err error
		if c.kernel, err = kernelOf(tc.kernel); err != nil {
			t.Fatal(err)
		}
		if got := c.coversObject(tc.old, tc.cur, true, rangeWithin); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.kernel, got, tc.want)
		}
	}
}
