package arm64

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

// disassemble gives an instruction as GNU's assembler writes it.
func disassemble(t *testing.T, f form) string {
	t.Helper()
	ins, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, uint32(f)))
	if err != nil {
		t.Fatalf("%08x: %v", uint32(f), err)
	}
	return arm64asm.GNUSyntax(ins)
}

func TestForms(t *testing.T) {
	for _, tc := range []struct {
		f    form
		want string
	}{
		{addReg.d(1).n(2).m(3), "add w1, w2, w3"},
		{addReg.sized(8).d(1).n(2).m(3).shift(3), "add x1, x2, x3, lsl #3"},
		{subReg.sized(8).d(0).n(26).m(11), "sub x0, x26, x11"},
		{subsReg.sized(8).d(zr).n(4).m(5), "cmp x4, x5"},
		{andReg.d(1).n(2).m(3), "and w1, w2, w3"},
		{orrReg.d(9).n(zr).m(10), "mov w9, w10"},
		{ornReg.sized(8).d(9).n(zr).m(10), "mvn x9, x10"},
		{eorReg.sized(8).d(1).n(2).m(3), "eor x1, x2, x3"},
		{andsReg.sized(8).d(zr).n(2).m(3), "tst x2, x3"},
		{addExt.d(1).n(sp).m(3).shift(3), "add x1, sp, x3, lsl #3"},
		{addImm.sized(8).d(tmp0).n(sp), "mov x12, sp"},
		{addImm.d(1).n(2).imm12(4095), "add w1, w2, #0xfff"},
		{subImm.sized(8).d(sp).n(sp).imm12(1<<12 | 1), "sub sp, sp, #0x1, lsl #12"},
		{subsImm.sized(8).d(budget).n(budget).imm12(7), "subs x27, x27, #0x7"},
		{addsImm.d(zr).n(1).imm12(7), "cmn w1, #0x7"},
		{movz.d(1).imm16(0x1234, 0), "mov w1, #0x1234"},
		{movk.sized(8).d(1).imm16(0x1234, 3), "movk x1, #0x1234, lsl #48"},
		{movn.sized(8).d(1).imm16(4, 0), "mov x1, #0xfffffffffffffffb"},
		{sbfm.sized(8).d(1).n(2).bits(0, 31), "sxtw x1, w2"},
		{ubfm.d(1).n(2).bits(0, 15), "uxth w1, w2"},
		{ubfm.sized(8).d(1).n(2).bits(60, 59), "lsl x1, x2, #4"},
		{extr.sized(8).d(1).n(2).bits(0, 5).m(2), "ror x1, x2, #5"},
		{udiv.sized(8).d(1).n(2).m(3), "udiv x1, x2, x3"},
		{sdiv.d(1).n(2).m(3), "sdiv w1, w2, w3"},
		{lslv.d(1).n(2).m(3), "lsl w1, w2, w3"},
		{lsrv.sized(8).d(1).n(2).m(3), "lsr x1, x2, x3"},
		{asrv.d(1).n(2).m(3), "asr w1, w2, w3"},
		{rorv.d(1).n(2).m(3), "ror w1, w2, w3"},
		{madd.sized(8).d(1).n(2).m(3).a(zr), "mul x1, x2, x3"},
		{msub.d(1).n(2).m(3).a(4), "msub w1, w2, w3, w4"},
		{umulh.d(1).n(2).m(3), "umulh x1, x2, x3"},
		{rev16.d(1).n(2), "rev16 w1, w2"},
		{rev32.d(1).n(2), "rev w1, w2"},
		{rev64.d(1).n(2), "rev x1, x2"},
		{(store | isLoad).width(1).d(1).n(2).imm12(3), "ldrb w1, [x2,#3]"},
		{store.width(2).d(1).n(2).imm12(3), "strh w1, [x2,#6]"},
		{(store | isLoad).width(8).d(1).n(sp).imm12(2), "ldr x1, [sp,#16]"},
		{(store | isLoadSext).width(4).d(1).n(2), "ldrsw x1, [x2]"},
		{(unscaled | isLoadSext).width(1).d(1).n(2).imm9(-3), "ldursb x1, [x2,#-3]"},
		{unscaled.width(8).d(1).n(2).imm9(255), "stur x1, [x2,#255]"},
		{preIndex.width(8).d(lr).n(sp).imm9(-256), "str x30, [sp,#-256]!"},
		{(postIndex | isLoad).width(8).d(lr).n(sp).imm9(240), "ldr x30, [sp],#240"},
		{(indexed | isLoad | shiftIndex).width(8).d(1).n(2).m(3), "ldr x1, [x2,x3,lsl #3]"},
		{(indexed | isLoadSext).width(2).d(1).n(2).m(3), "ldrsh x1, [x2,x3]"},
		{storePair.sized(8).d(1).a(2).n(sp).imm7(-2), "stp x1, x2, [sp,#-16]"},
		{storePair.d(1).a(2).n(sp).imm7(-2), "stp w1, w2, [sp,#-8]"},
		{loadPair.sized(8).d(1).a(2).n(sp).imm7(63), "ldp x1, x2, [sp,#504]"},
		{ldar.width(1).d(1).n(2), "ldarb w1, [x2]"},
		{stlr.width(8).d(1).n(2), "stlr x1, [x2]"},
		{ldxr.width(4).d(1).n(2), "ldxr w1, [x2]"},
		{stxr.width(8).m(3).d(1).n(2), "stxr w3, x1, [x2]"},
		{stlxr.width(8).m(3).d(1).n(2), "stlxr w3, x1, [x2]"},
		{dmbISH, "dmb ish"},
		{distance(b, -2), "b .+0xfffffffffffffff8"},
		{distance(bl, 3), "bl .+0xc"},
		{distance(bcond|1, 2), "b.ne .+0x8"},
		{distance(cbz.sized(8).d(1), 2), "cbz x1, .+0x8"},
		{distance(tbnz.d(1).bit(63), -1), "tbnz x1, #63, .+0xfffffffffffffffc"},
		{distance(tbz.d(1).bit(3), 1<<13-1), "tbz w1, #3, .+0x7ffc"},
		{distance(adr.d(resumeAt), 2), "adr x15, .+0x8"},
		{br.n(1), "br x1"},
		{blr.n(1), "blr x1"},
		{ret.n(lr), "ret"},
		{nop, "nop "},
	} {
		if got := disassemble(t, tc.f); got != tc.want {
			t.Errorf("%08x is %q, not %q", uint32(tc.f), got, tc.want)
		}
	}
}

// The disassembler does not know the atomic instructions of Armv8.1.
func TestAtomicForms(t *testing.T) {
	for _, tc := range []struct {
		f    form
		want uint32 // from an assembler
	}{
		{ldadd.width(8).m(1).d(zr).n(2), 0xf821005f},             // stadd x1, [x2]
		{(ldadd | ordered).width(4).m(1).d(3).n(2), 0xb8e10043},  // ldaddal w1, w3, [x2]
		{(ldclr | ordered).width(8).m(1).d(3).n(2), 0xf8e11043},  // ldclral x1, x3, [x2]
		{(ldeor | ordered).width(8).m(1).d(3).n(2), 0xf8e12043},  // ldeoral x1, x3, [x2]
		{(ldset | ordered).width(8).m(1).d(3).n(2), 0xf8e13043},  // ldsetal x1, x3, [x2]
		{(swp | ordered).width(8).m(1).d(3).n(2), 0xf8e18043},    // swpal x1, x3, [x2]
		{(cas | casOrdered).width(8).m(1).d(3).n(2), 0xc8e1fc43}, // casal x1, x3, [x2]
		{(cas | casOrdered).width(4).m(1).d(3).n(2), 0x88e1fc43}, // casal w1, w3, [x2]
	} {
		if uint32(tc.f) != tc.want {
			t.Errorf("%08x, want %08x", uint32(tc.f), tc.want)
		}
	}
}

// TestBitmask tries all immediates that there are, and many that there are not.
func TestBitmask(t *testing.T) {
	all := map[uint64]bool{}
	for element := 2; element <= 64; element *= 2 {
		for ones := 1; ones < element; ones++ {
			for turn := range element {
				v := uint64(1)<<ones - 1
				v = v<<turn | v>>(element-turn)
				if element < 64 {
					v &= 1<<element - 1
				}
				for n := element; n < 64; n *= 2 {
					v |= v << n
				}
				all[v] = true
			}
		}
	}
	if len(all) != 5334 {
		t.Fatalf("%d immediates", len(all))
	}
	for v := range all {
		imm, ok := bitmask(v, 8)
		if !ok {
			t.Fatalf("%#x is one, and is not found", v)
		}
		if got, want := disassemble(t, andImm.sized(8).d(1).n(2)|imm), fmt.Sprintf("and x1, x2, #%#x", v); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		low := v & 0xffffffff
		if imm, ok := bitmask(v, 4); ok != all[low<<32|low] {
			t.Errorf("%#x for 4 bytes: %t", v, ok)
		} else if ok {
			want := fmt.Sprintf("and w1, w2, #%#x", uint32(v))
			if got := disassemble(t, andImm.d(1).n(2)|imm); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		v := r.Uint64() >> r.IntN(64)
		if r.IntN(2) == 0 {
			v |= v << 32
		}
		if _, ok := bitmask(v, 8); ok != all[v] {
			t.Errorf("%#x: found %t", v, ok)
		}
	}
}

// TestConstants runs what puts a constant into a register.
func TestConstants(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	longest := 0
	for range 100_000 {
		v := r.Uint64() >> r.IntN(64) << r.IntN(64)
		if r.IntN(2) == 0 {
			v = ^v
		}
		if r.IntN(2) == 0 {
			v &^= 0xffff << (16 * r.IntN(4))
		}
		var a assembler
		a.constant(7, v)
		longest = max(longest, len(a.code))
		if got := constantOf(t, a.code); got != v {
			t.Fatalf("%#x becomes %#x", v, got)
		}
	}
	if longest != 4 {
		t.Errorf("up to %d instructions", longest)
	}
	for v, want := range map[uint64]int{
		0: 1, 1: 1, 0xffff0000: 1, ^uint64(0): 1, 0xffffffff: 1, 0xfffffffb: 1, ^uint64(4): 1, 0x5555555555555555: 1,
		0x12345678: 2, 0xffffffff12345678: 2, 0x7f0000001000: 2, 0x123456789abc: 3,
	} {
		var a assembler
		if a.constant(7, v); len(a.code) != want {
			t.Errorf("%#x takes %d instructions, not %d", v, len(a.code), want)
		}
	}
}

// constantOf is what code that builds a constant leaves in x7.
func constantOf(t *testing.T, code []form) (v uint64) {
	t.Helper()
	for _, f := range code {
		if f&0x1f != 7 {
			t.Fatalf("%s writes another register", disassemble(t, f))
		}
		imm, shift := uint64(f>>5&0xffff), 16*int(f>>21&3)
		switch f & 0x7f800000 {
		case movz:
			v = imm << shift
		case movn:
			v = ^(imm << shift)
		case movk:
			v = v&^(0xffff<<shift) | imm<<shift
		case orrImm:
			v = maskOf(f)
		default:
			t.Fatalf("%s does not build a constant", disassemble(t, f))
		}
		if f&wide == 0 {
			v &= 0xffffffff
		}
	}
	return v
}

// maskOf is the bitmask of a logical operation.
func maskOf(f form) uint64 {
	r, s := int(f>>16&63), int(f>>10&63)
	element := 64
	if f>>22&1 == 0 {
		element = 1 << (bits.Len(uint(^s&63)) - 1)
	}
	v := uint64(1)<<(s&(element-1)+1) - 1
	for n := element; n < 64; n *= 2 {
		v |= v << n
	}
	return bits.RotateLeft64(v, -r)
}

func TestDistances(t *testing.T) {
	for _, tc := range []struct {
		f     form
		over  int // instructions between
		reach reach
		want  int // instructions that the jump takes
	}{
		{tbz, 1<<13 - 2, reachBit, 1},
		{tbz, 1<<13 - 1, reachCond, 2},
		{cbnz, 1<<18 - 2, reachBit, 1},
		{cbnz, 1<<18 - 1, reachFar, 2},
		{bcond, 1<<18 - 1, reachFar, 2},
		{b, 1 << 20, reachBit, 1},
	} {
		for _, back := range []bool{false, true} {
			a := assembler{reach: reachBit}
			for {
				need, err := emitJump(&a, tc.f, tc.over, back)
				if err != nil {
					t.Fatal(err)
				}
				if need == a.reach {
					break
				}
				a = assembler{reach: need}
			}
			from, to := 0, len(a.code)
			if back {
				from, to = tc.over, 0
			} else if size := len(a.code) - tc.over; a.reach != tc.reach || size != tc.want {
				t.Errorf("%s over %d: reach %d and %d instructions, not %d and %d", disassemble(t, tc.f), tc.over, a.reach, size, tc.reach, tc.want)
			}
			if got := landsAt(a.code, from); got != to {
				t.Errorf("%s over %d, back %t: goes to %d, not %d", disassemble(t, tc.f), tc.over, back, got, to)
			}
		}
	}
}

// emitJump emits a jump to a label, with so many instructions between them.
func emitJump(a *assembler, f form, over int, back bool) (reach, error) {
	label := a.label()
	if back {
		a.bind(label)
	} else {
		a.jump(f, label)
	}
	for range over {
		a.emit(nop)
	}
	if back {
		a.jump(f, label)
	} else {
		a.bind(label)
	}
	return a.link()
}

// landsAt is where a jump goes when it is taken, or the one that it goes around.
func landsAt(code []form, at int) int {
	f := code[at]
	w := width(f)
	d := int32(f<<(32-w)) >> (32 - w)
	if w < 26 {
		d = int32(f<<(27-w)) >> (32 - w)
	}
	if d == 2 && at+1 < len(code) && width(code[at+1]) == 26 && code[at+1] != nop {
		return landsAt(code, at+1)
	}
	return at + int(d)
}
