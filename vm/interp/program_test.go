package interp

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/conformance"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// assemble reads a test's program: the conformance suite's assembly, where
// "lddw %r1, map 0", "lddw %r1, value 0+8" and "lddw %r1, func 12" load a map, a
// place in its value, and the function at an instruction.
func assemble(t testing.TB, text string) []isa.Instruction {
	t.Helper()
	var lines []string
	type fix struct{ src, imm, high int }
	fixes := map[int]fix{}
	at := 0
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if reg, what, ok := strings.Cut(line, ", "); ok && strings.HasPrefix(line, "lddw") {
			kind, rest, _ := strings.Cut(what, " ")
			n, offset, _ := strings.Cut(rest, "+")
			switch kind {
			case "map":
				fixes[at] = fix{isa.PseudoMapFD, number(n), 0}
			case "value":
				fixes[at] = fix{isa.PseudoMapValue, number(n), number(offset)}
			case "func":
				fixes[at] = fix{isa.PseudoFunc, number(n) - at - 1, 0}
			default:
				reg, what = line, ""
			}
			if line = reg; what != "" {
				line += ", 0"
			}
		}
		lines = append(lines, line)
		switch {
		case strings.HasSuffix(line, ":"):
		case strings.HasPrefix(line, "lddw"):
			at += 2
		default:
			at++
		}
	}
	insns, err := conformance.Assemble(lines)
	if err != nil {
		t.Fatal(err)
	}
	for at, f := range fixes {
		insns[at].Src, insns[at].Imm, insns[at+1].Imm = uint8(f.src), int32(f.imm), int32(f.high)
	}
	return insns
}

func number(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

// compile makes a program, with what the verifier proves of it.
func compile(t testing.TB, in *Input) *Program {
	t.Helper()
	if in.Type == nil {
		in.Type = plain
	}
	in.Facts = prove(in)
	return compileAsIs(t, in)
}

// compileAsIs makes a program of which nothing more is known than in says.
func compileAsIs(t testing.TB, in *Input) *Program {
	t.Helper()
	if in.Name == "" {
		in.Name = "test"
	}
	if in.Type == nil {
		in.Type = plain
	}
	p, err := Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// prove gives what the verifier proves of a program. One that it refuses and whose
// context is memory does plain accesses only; of another nothing is known.
func prove(in *Input) []verifier.Fact {
	facts, err := proof.Of(in.Type, in.Insns, in.Maps)
	if err != nil && len(in.Type.Fields) == 0 {
		return proof.Plain(in.Insns)
	}
	return facts
}

func newMap(t testing.TB, spec *ebpf.MapSpec) maps.Map {
	t.Helper()
	m, err := maps.New(spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func array(t testing.TB, valueSize uint32) maps.Map {
	return newMap(t, &ebpf.MapSpec{Name: "counts", Type: ebpf.Array, KeySize: 4, ValueSize: valueSize, MaxEntries: 4})
}

// inBothModes runs a program fast and checked, each on a fresh state.
func inBothModes(t *testing.T, p *Program, check func(t *testing.T, s *exec.State, r0 uint64, err error)) {
	t.Helper()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			if p.in.Type.Setup != nil {
				if err := p.in.Type.Setup(s, &progtype.Input{Data: packet}); err != nil {
					t.Fatal(err)
				}
			} else {
				s.SetPlainCtx(64)
			}
			r0, err := p.Run(s, mode)
			check(t, s, r0, err)
		})
	}
}

func wantR0(want uint64) func(*testing.T, *exec.State, uint64, error) {
	return func(t *testing.T, _ *exec.State, r0 uint64, err error) {
		t.Helper()
		if err != nil || r0 != want {
			t.Errorf("R0 = 0x%x, error %v; want 0x%x", r0, err, want)
		}
	}
}

func progType(t testing.TB, typ ebpf.ProgramType) *progtype.Type {
	t.Helper()
	p, err := progtype.Get(typ)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
