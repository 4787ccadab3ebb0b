package program

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
)

// TestEncodeKeepsEveryBit holds that an instruction which cilium/ebpf decodes
// comes out as it went in, whatever its bits.
func TestEncodeKeepsEveryBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	decoded := 0
	for range 200_000 {
		raw := make([]byte, isa.Size)
		binary.LittleEndian.PutUint64(raw, rng.Uint64())
		if rng.IntN(2) == 0 { // where the offset and small immediates mean something
			raw[2], raw[3], raw[5], raw[6], raw[7] = uint8(rng.IntN(4)*8), 0, uint8(rng.IntN(2)), 0, 0
		}
		if raw[0] == isa.OpLDDW {
			raw = append(raw, 0, 0, 0, 0, 1, 2, 3, 0xff)
		}
		var ins asm.Instruction
		if ins.Unmarshal(bytes.NewReader(raw), binary.LittleEndian, "linux") != nil {
			continue
		}
		decoded++
		slots, err := encode(nil, &ins)
		if err != nil {
			t.Fatalf("% x: %v", raw, err)
		}
		if got := isa.Encode(slots); !bytes.Equal(got, raw) {
			t.Fatalf("% x came out as % x", raw, got)
		}
	}
	if decoded < 150_000 {
		t.Errorf("only %d instructions were decoded", decoded)
	}
}

// TestEncodeHandBuilt holds that instructions built through cilium/ebpf's
// assembler come out as its own encoder has them.
func TestEncodeHandBuilt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cilium/ebpf encodes calls of Linux's helpers on Linux only")
	}
	insns := asm.Instructions{
		asm.Mov.Imm(asm.R0, -1),
		asm.SDiv.Reg32(asm.R1, asm.R2),
		asm.SMod.Imm(asm.R1, 3),
		asm.MovSX8.Reg(asm.R1, asm.R2),
		asm.MovSX32.Reg(asm.R1, asm.R2),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.BSwap(asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R10, -8, asm.DWord),
		asm.StoreImm(asm.R10, -8, 7, asm.Word),
		asm.LoadImm(asm.R1, -2, asm.DWord),
		asm.LoadImm(asm.R1, 1<<40|5, asm.DWord),
		asm.FnMapLookupElem.Call(),
		asm.JSLT.Imm32(asm.R1, 5, "out"),
		asm.Return().WithSymbol("out"),
	}
	var want bytes.Buffer
	if err := append(asm.Instructions{}, insns...).Marshal(&want, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	img, err := Link(handBuilt(insns), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Bytes(), isa.Encode(img.Insns)); diff != "" {
		t.Errorf("instructions (-cilium +skep):\n%s", diff)
	}
}

// TestEncodeAtomics holds that the operation of an atomic instruction built by
// hand reaches its immediate, where cilium/ebpf's encoder leaves 0.
func TestEncodeAtomics(t *testing.T) {
	tests := map[asm.AtomicOp]int32{
		asm.AddAtomic: isa.AtomicADD,
		asm.FetchAdd:  isa.AtomicADD | isa.AtomicFetch,
		asm.FetchXor:  isa.AtomicXOR | isa.AtomicFetch,
		asm.Xchg:      isa.AtomicXCHG,
		asm.CmpXchg:   isa.AtomicCMPXCHG,
	}
	for op, imm := range tests {
		ins := op.Mem(asm.R10, asm.R1, asm.DWord, -8)
		slots, err := encode(nil, &ins)
		want := []isa.Instruction{{Op: isa.ClassSTX | isa.ModeATOMIC | isa.SizeDW, Dst: 10, Src: 1, Off: -8, Imm: imm}}
		if diff := cmp.Diff(want, slots); err != nil || diff != "" {
			t.Errorf("%v: %v (-want +got):\n%s", op, err, diff)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	tests := map[string]asm.Instruction{
		"invalid opcode":    {OpCode: asm.InvalidOpCode},
		"offset in the way": {OpCode: asm.SDiv.Op(asm.ImmSource), Offset: 4},
		"Windows helper":    asm.BuiltinFunc(1<<28 + 1).Call(),
	}
	for name, ins := range tests {
		if _, err := encode(nil, &ins); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			isSentence(t, err)
		}
	}
}
