package interp

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// BenchmarkInsn runs the suite's programs and gives ns an executed instruction,
// beside what the running kernel needs for the same program.
func BenchmarkInsn(b *testing.B) {
	dir := testenv.Data(b, "bench")
	for _, name := range []string{"alu", "mem", "sieve", "call", "div", "collatz", "pkt64"} {
		kernelInsns := readProgram(b, filepath.Join(dir, name+".K.bin"))
		in, kernelType := &Input{Name: name, Type: plain}, ebpf.SocketFilter
		s := newState(b)
		if name == "pkt64" { // a packet lies where the context says, in both machines
			in.Insns, kernelType = kernelInsns, ebpf.XDP
			in.Type = packetType(b, s)
		} else {
			in.Insns = readProgram(b, filepath.Join(dir, name+".U.bin"))
			s.SetPlainCtx(32768)
		}
		p, err := Compile(in)
		if err != nil {
			b.Fatal(err)
		}
		count := executed(b, p, s)
		for _, mode := range []string{"fast", "checked"} {
			b.Run(name+"/"+mode, func(b *testing.B) {
				for b.Loop() {
					s.Budget = 1 << 40
					if _, err := p.Run(s, modes[mode]); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/insn")
			})
		}
		b.Run(name+"/linux", func(b *testing.B) {
			testenv.Kernel(b)
			b.ReportMetric(kernelTime(b, kernelInsns, kernelType, b.N)/float64(count), "ns/insn")
		})
	}
}

// mapPlace is what stands in the suite's programs where a map belongs.
const mapPlace = 0x7fff1234

// kernelTime is what the running kernel needs for a run over the packet, in ns.
func kernelTime(b *testing.B, insns []isa.Instruction, typ ebpf.ProgramType, repeat int) float64 {
	b.Helper()
	m, err := kernelrun.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 32768, MaxEntries: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	insns = slices.Clone(insns)
	for i := range insns {
		if insns[i].IsWide() && insns[i].Imm == mapPlace {
			insns[i].Src, insns[i].Imm = isa.PseudoMapFD, 0
		}
	}
	p, err := kernelrun.Load(typ, insns, []*kernelrun.Map{m}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(&kernelrun.RunInput{Data: packet, Repeat: uint32(max(repeat, 1))})
	if err != nil {
		b.Fatal(err)
	}
	return float64(out.Duration)
}

// packet is TCP over IPv4.
var packet = append([]byte{
	0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00,
	0x45, 0, 0, 50, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	0x30, 0x39, 0x00, 0x50,
}, make([]byte, 26)...)

// packetType is XDP, set up with the packet.
func packetType(t testing.TB, s *exec.State) *progtype.Type {
	t.Helper()
	typ, err := progtype.Get(ebpf.XDP)
	if err != nil {
		t.Fatal(err)
	}
	if err := typ.Setup(s, &progtype.Input{Data: packet}); err != nil {
		t.Fatal(err)
	}
	return typ
}

func readProgram(t testing.TB, file string) []isa.Instruction {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	insns, err := isa.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return insns
}

// executed is how many instructions a run executes.
func executed(t testing.TB, p *Program, s *exec.State) int64 {
	t.Helper()
	before := s.Budget
	if _, err := p.Run(s, Fast); err != nil {
		t.Fatal(err)
	}
	return before - s.Budget
}
