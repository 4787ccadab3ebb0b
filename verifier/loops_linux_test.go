package verifier_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
)

// TestLoops verifies programs whose loops Linux follows turn by turn.
func TestLoops(t *testing.T) {
	for name, p := range loopPrograms(t) {
		res, err := verifier.CheckImage(image(p), specs(p), &verifier.Options{Kernel: "any"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if res.Processed > 1000 && name != "collatz" { // nobody knows why that ends
			t.Errorf("%s: %d instructions were looked at", name, res.Processed)
		}
	}
}

// TestLoopsEnd verifies loops that end, and others that do not, or not soon.
func TestLoopsEnd(t *testing.T) {
	const (
		add, mov, and = isa.ClassALU64 | isa.AluADD, isa.ClassALU64 | isa.AluMOV, isa.ClassALU64 | isa.AluAND
		jlt, jne, jeq = isa.ClassJMP | isa.JmpJLT, isa.ClassJMP | isa.JmpJNE, isa.ClassJMP | isa.JmpJEQ
	)
	random := []isa.Instruction{
		{Op: isa.ClassJMP | isa.JmpCALL, Imm: 7}, // bpf_get_prandom_u32
		{Op: mov | isa.SrcX, Dst: 6},
		{Op: mov, Dst: 2},
	}
	for name, tt := range map[string]struct {
		insns []isa.Instruction
		ends  bool
	}{
		"a counter": {[]isa.Instruction{{Op: mov, Dst: 2}, {Op: add, Dst: 2, Imm: 1}, {Op: jlt, Dst: 2, Off: -2, Imm: 5_000_000}}, true},
		"a counter of 32 bits": {[]isa.Instruction{
			{Op: mov, Dst: 2}, {Op: isa.ClassALU | isa.AluADD, Dst: 2, Imm: 1}, {Op: isa.ClassJMP32 | isa.JmpJNE, Dst: 2, Off: -2, Imm: 5_000_000},
		}, true},
		"down":            {[]isa.Instruction{{Op: mov, Dst: 2, Imm: 4_000_000}, {Op: add, Dst: 2, Imm: -4}, {Op: jne, Dst: 2, Off: -2}}, true},
		"past its end":    {[]isa.Instruction{{Op: mov, Dst: 2, Imm: 10}, {Op: add, Dst: 2, Imm: -3}, {Op: jne, Dst: 2, Off: -2}}, false},
		"too many turns":  {[]isa.Instruction{{Op: mov, Dst: 2}, {Op: add, Dst: 2, Imm: 1}, {Op: jlt, Dst: 2, Off: -2, Imm: 9_000_000}}, false},
		"without a step":  {[]isa.Instruction{{Op: mov, Dst: 2}, {Op: add, Dst: 2}, {Op: jlt, Dst: 2, Off: -2, Imm: 9}}, false},
		"started again":   {append(random[:3:3], isa.Instruction{Op: add, Dst: 2, Imm: 1}, isa.Instruction{Op: jne, Dst: 6, Off: 1, Imm: 1}, isa.Instruction{Op: mov, Dst: 2}, isa.Instruction{Op: jlt, Dst: 2, Off: -4, Imm: 9_000}), false},
		"a step at times": {append(random[:3:3], isa.Instruction{Op: jeq, Dst: 6, Off: 1, Imm: 1}, isa.Instruction{Op: add, Dst: 2, Imm: 1}, isa.Instruction{Op: jlt, Dst: 2, Off: -3, Imm: 9_000}), false},
		"a bound of 16 bits": {append(random[:3:3],
			isa.Instruction{Op: and, Dst: 6, Imm: 0xffff}, isa.Instruction{Op: add, Dst: 2, Imm: 1}, isa.Instruction{Op: jlt | isa.SrcX, Dst: 2, Src: 6, Off: -2}), true},
		"a bound of 32 bits": {append(random[:3:3],
			isa.Instruction{Op: mov, Dst: 2}, isa.Instruction{Op: add, Dst: 2, Imm: 1}, isa.Instruction{Op: jlt | isa.SrcX, Dst: 2, Src: 6, Off: -2}), false},
	} {
		p := &edgegen.Program{Insns: append(tt.insns, isa.Instruction{Op: mov}, isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})}
		_, err := verifier.CheckImage(image(p), specs(p), &verifier.Options{Kernel: "any", Budget: 50_000})
		var refusal *verifier.Error
		if err != nil && (!errors.As(err, &refusal) || refusal.Cause != verifier.CauseTooComplex && refusal.Cause != verifier.CauseLoop) {
			t.Errorf("%s: %v", name, err)
		} else if (err == nil) != tt.ends {
			t.Errorf("%s: accepted %v, want %v", name, err == nil, tt.ends)
		}
		if _, err := verifier.CheckImage(image(p), specs(p), &verifier.Options{Kernel: "7.2", Budget: 50_000}); err == nil {
			t.Errorf("%s: is accepted when it is walked", name)
		}
	}
}

// BenchmarkLoops verifies programs whose loops Linux follows turn by turn.
func BenchmarkLoops(b *testing.B) {
	for name, p := range loopPrograms(b) {
		for _, kernel := range []string{"any", "6.18"} {
			b.Run(name+"/"+kernel, func(b *testing.B) {
				for b.Loop() {
					if _, err := verifier.CheckImage(image(p), specs(p), &verifier.Options{Kernel: kernel}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/linux", func(b *testing.B) {
			testenv.Kernel(b)
			for b.Loop() {
				if _, err := kernelSays(b, p, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// loopPrograms are the programs of $SKEP_DATA/bench that loop.
func loopPrograms(t testing.TB) map[string]*edgegen.Program {
	dir := testenv.Data(t, "bench")
	all := map[string]*edgegen.Program{}
	for _, name := range []string{"sieve", "alu", "mem", "call", "div", "collatz"} {
		code, err := os.ReadFile(filepath.Join(dir, name+".K.bin"))
		if err != nil {
			t.Fatal(err)
		}
		insns, err := isa.Decode(code)
		if err != nil {
			t.Fatal(err)
		}
		for i := range insns {
			if insns[i].IsWide() && insns[i].Imm == mapPlace {
				insns[i].Src, insns[i].Imm = isa.PseudoMapFD, 0
			}
		}
		all[name] = &edgegen.Program{Insns: insns, Maps: []*ebpf.MapSpec{
			{Name: "memory", Type: ebpf.Array, KeySize: 4, ValueSize: 32768, MaxEntries: 1},
		}}
	}
	return all
}

// mapPlace is what stands in these programs where the map belongs.
const mapPlace = 0x7fff1234

// TestLoopsWalked demands that programs with loops that are summarised and accepted are
// accepted as well when each turn is followed, if that does not take too long.
func TestLoopsWalked(t *testing.T) {
	seed, count := testenv.Seed(t), map[string]int{}
	for i := range edgePrograms(t) / 4 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		p := edgegen.Loops(r)
		if i%4 == 0 {
			p = edgegen.Flow(r)
		}
		w, err := verifier.Record(image(p), specs(p), &verifier.Options{Kernel: "any", Budget: 5000}, false)
		if err != nil || !w.Summarised() {
			continue
		}
		_, err = verifier.CheckImage(image(p), specs(p), &verifier.Options{Kernel: "7.2", Budget: 50_000})
		var refusal *verifier.Error
		switch errors.As(err, &refusal); {
		case refusal == nil:
			count["accepted"]++
		case refusal.Cause == verifier.CauseTooComplex:
			count["too costly"]++
		default:
			t.Errorf("program %d of seed %d: %v\n%s", i, seed, err, listing(p))
		}
	}
	t.Log(count)
}
