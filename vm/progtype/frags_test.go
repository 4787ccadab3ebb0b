package progtype_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
)

// fragsProgram does random things with a packet, and gives what the helpers said
// as one number.
func fragsProgram(r *rand.Rand, length int) asm.Instructions {
	insns := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R7, 0),
		asm.LoadImm(asm.R0, 0x0102030405060708, asm.DWord),
		asm.StoreMem(asm.RFP, -16, asm.R0, asm.DWord),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
	}
	note := func() { // R7 = R7 * 31 + R0
		insns = append(insns, asm.Mul.Imm(asm.R7, 31), asm.Add.Reg(asm.R7, asm.R0))
	}
	near := func() int32 { // offsets where something may begin or end
		at := []int{0, 14, 3520, 3520 + 4096, length, 65535, 65536}
		return int32(at[r.IntN(len(at))] + r.IntN(41) - 20)
	}
	for range 1 + r.IntN(6) {
		insns = append(insns, asm.Mov.Reg(asm.R1, asm.R6))
		switch r.IntN(6) {
		case 0:
			by := []int32{1, 8, 60, 300, 4000, -1, -8, -60, -4096, -5000, -int32(length) + 14, -int32(length) + 13}
			insns = append(insns, asm.Mov.Imm(asm.R2, by[r.IntN(len(by))]), asm.FnXdpAdjustTail.Call())
		case 1:
			by := []int32{1, 4, 20, 3507, 3506, -4, -200, -216, -217}
			insns = append(insns, asm.Mov.Imm(asm.R2, by[r.IntN(len(by))]), asm.FnXdpAdjustHead.Call())
		case 2, 3:
			fn := []asm.BuiltinFunc{asm.FnXdpLoadBytes, asm.FnXdpStoreBytes}[r.IntN(2)]
			insns = append(insns,
				asm.Mov.Imm(asm.R2, near()), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -16),
				asm.Mov.Imm(asm.R4, int32(1+r.IntN(16))), fn.Call())
			note()
			insns = append(insns, asm.LoadMem(asm.R0, asm.RFP, -16, asm.DWord))
		case 4:
			insns = append(insns, asm.FnXdpGetBuffLen.Call())
		case 5:
			insns = append(insns, asm.Mov.Imm(asm.R2, int32(-r.IntN(10)*4)), asm.FnXdpAdjustMeta.Call())
		}
		note()
		insns = append(insns, // data_end - data, data - data_meta
			asm.LoadMem(asm.R0, asm.R6, 4, asm.Word), asm.LoadMem(asm.R1, asm.R6, 0, asm.Word), asm.Sub.Reg(asm.R0, asm.R1))
		note()
	}
	return append(insns, asm.Mov.Reg(asm.R0, asm.R7), asm.Return())
}

// TestFragments holds packets in fragments against Linux: what is in direct
// reach, and what helpers do across.
func TestFragments(t *testing.T) {
	testenv.Kernel(t)
	s := oracle.State(t)
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 2))
		sizes := []int{14, 60, 3519, 3520, 3521, 3600, 7616, 7617, 9000, 11000, 65535, 65536, 73152, 73153}
		run := oracle.Run{
			Type: ebpf.XDP, Flags: oracle.XDPHasFrags,
			Data: make([]byte, sizes[r.IntN(len(sizes))]), Ctx: make([]byte, 24),
		}
		for i := range run.Data {
			run.Data[i] = byte(i * 7)
		}
		end := len(run.Data)
		if r.IntN(3) == 0 {
			end = r.IntN(end + 2)
		}
		meta := uint32(0)
		if r.IntN(4) == 0 {
			meta = uint32(r.IntN(80))
		}
		binary.LittleEndian.PutUint32(run.Ctx, meta)
		binary.LittleEndian.PutUint32(run.Ctx[4:], uint32(end))
		run.Insns = fragsProgram(r, len(run.Data))
		want, err := run.Kernel(t)
		if err != nil {
			t.Fatalf("seed %d: %+v", seed, err)
		}
		for _, mode := range engine.Modes() {
			if got := run.Machine(t, s, mode); !got.Equal(want) {
				if len(got.Data) > 100 {
					got.Data, want.Data = got.Data[:100], want.Data[:min(100, len(want.Data))]
				}
				t.Fatalf("seed %d, %d bytes, linear part to %d, metadata %d:\n%v\nours  %v\nLinux %v", seed, len(run.Data), end, meta, run.Insns, got, want)
			}
		}
	}
}
