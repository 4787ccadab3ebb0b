package isa

import "testing"

func TestText(t *testing.T) {
	for _, c := range []struct {
		ins  Instruction
		high int32
		want string
	}{
		{Instruction{Op: 0xbf, Dst: 6, Src: 1}, 0, "r6 = r1"},
		{Instruction{Op: 0xb4, Dst: 0, Imm: -1}, 0, "w0 = -1"},
		{Instruction{Op: 0x3f, Dst: 1, Src: 2, Off: 1}, 0, "r1 s/= r2"},
		{Instruction{Op: 0xbf, Dst: 1, Src: 2, Off: 8}, 0, "r1 = (s8)r2"},
		{Instruction{Op: 0xbf, Dst: 1, Src: 2, Off: 1, Imm: 1 << 16}, 0, "r1 = addr_space_cast(r2, 1, 0)"},
		{Instruction{Op: 0xdc, Dst: 3, Imm: 16}, 0, "r3 = be16 r3"},
		{Instruction{Op: 0xd7, Dst: 3, Imm: 64}, 0, "r3 = bswap64 r3"},
		{Instruction{Op: 0x84, Dst: 3}, 0, "w3 = -w3"},
		{Instruction{Op: 0x7b, Dst: 10, Src: 1, Off: -8}, 0, "*(u64 *)(r10 -8) = r1"},
		{Instruction{Op: 0x72, Dst: 10, Off: -8, Imm: 5}, 0, "*(u8 *)(r10 -8) = 5"},
		{Instruction{Op: 0x61, Dst: 2, Src: 1, Off: 76}, 0, "r2 = *(u32 *)(r1 +76)"},
		{Instruction{Op: 0x91, Dst: 2, Src: 1}, 0, "r2 = *(s8 *)(r1 +0)"},
		{Instruction{Op: 0x18, Dst: 1, Imm: 2}, 1, "r1 = 0x100000002"},
		{Instruction{Op: 0x30, Imm: 12}, 0, "r0 = *(u8 *)skb[12]"},
		{Instruction{Op: 0xdb, Dst: 1, Src: 2, Imm: AtomicADD}, 0, "lock *(u64 *)(r1 +0) += r2"},
		{Instruction{Op: 0xc3, Dst: 1, Src: 2, Imm: AtomicOR | AtomicFetch}, 0, "r2 = atomic_fetch_or((u32 *)(r1 +0), r2)"},
		{Instruction{Op: 0xdb, Dst: 1, Src: 2, Off: 8, Imm: AtomicCMPXCHG}, 0, "r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)"},
		{Instruction{Op: 0xdb, Dst: 1, Src: 2, Imm: AtomicLoadAcq}, 0, "r1 = load_acquire((u64 *)(r2 +0))"},
		{Instruction{Op: 0x55, Dst: 1, Imm: 14, Off: 3}, 0, "if r1 != 0xe goto pc+3"},
		{Instruction{Op: 0x6e, Dst: 1, Src: 2, Off: -3}, 0, "if w1 s> w2 goto pc-3"},
		{Instruction{Op: 0x05, Off: 2}, 0, "goto pc+2"},
		{Instruction{Op: 0x06, Imm: -2}, 0, "gotol pc-2"},
		{Instruction{Op: 0xe5, Off: 1}, 0, "may_goto pc+1"},
		{Instruction{Op: 0x85, Src: 1, Imm: 4}, 0, "call pc+4"},
		{Instruction{Op: 0x95}, 0, "exit"},
		{Instruction{Op: 0xff}, 0, "unknown instruction ff"},
	} {
		if got := c.ins.Text(c.high); got != c.want {
			t.Errorf("%+v: %q, not %q", c.ins, got, c.want)
		}
	}
}
