package verifier_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// TestStates holds what is known of registers along random programs against the
// running kernel's log: of each number, one must know all that the other knows.
func TestStates(t *testing.T) {
	testenv.Kernel(t)
	opts := verifier.Options{Kernel: runningKernel(t), Budget: 1000}
	seed := testenv.Seed(t)
	var same, contained, differ int
	for i := range edgePrograms(t) / 10 {
		p := generated(seed, i)
		var mine strings.Builder
		opts.Log = &mine
		_, err := verifier.CheckImage(image(p), specs(p), &opts)
		var refusal *verifier.Error
		if errors.As(err, &refusal) && refusal.Cause == verifier.CauseTooComplex {
			continue
		}
		a, b := logStates(kernelTrace(t, p)), logStates(mine.String())
		for j := range min(len(a), len(b)) {
			if a[j].insn != b[j].insn {
				break // a path ended at another place
			}
			for reg, x := range a[j].shown {
				y := b[j].regs[reg]
				switch {
				case y == "": // not read any more
				case x == y:
					same++
				case contains(x, y) || contains(y, x):
					contained++
				default:
					if differ++; differ < 20 {
						t.Errorf("program %d of seed %d, instruction %d, %s:\nkernel: %s\nskep:   %s", i, seed, a[j].insn, reg, x, y)
					}
				}
			}
		}
	}
	t.Logf("of registers, %d are the same, %d contained, %d neither", same, contained, differ)
}

func kernelTrace(t *testing.T, p *edgegen.Program) string {
	t.Helper()
	var fds []*kernelrun.Map
	for _, spec := range p.Maps {
		m, err := kernelrun.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		fds = append(fds, m)
	}
	log, err := kernelrun.Trace(ebpf.SchedCLS, p.Insns, fds)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// logState is an instruction of a log: the registers shown with it, and all that were
// shown on the way to it.
type logState struct {
	insn        int
	shown, regs map[string]string
}

var (
	logInsn = regexp.MustCompile(`^(\d+): \([0-9a-f]{2}\) [^;]*(?:; (.*))?`)
	logFrom = regexp.MustCompile(`^from \d+ to \d+[^:]*: (.*)`)
	logReg  = regexp.MustCompile(`(R\d+)(?:_w)?=([a-z_]+\([^()]*(?:\([^()]*\)[^()]*)*\)|\S+)`)
	logID   = regexp.MustCompile(`\bid=\d+([+-]\d+)?,?`)
)

// logStates finds the states in a log. Ids are left out.
func logStates(log string) []logState {
	var states []logState
	regs := map[string]string{}
	show := func(s string) map[string]string {
		shown := map[string]string{}
		frame, rest, ok := strings.Cut(s, ": ")
		if ok {
			s = rest
		} else {
			frame = ""
		}
		for _, r := range logReg.FindAllStringSubmatch(s, -1) {
			shown[frame+r[1]] = logID.ReplaceAllString(r[2], "")
		}
		maps.Copy(regs, shown)
		return shown
	}
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if m := logInsn.FindStringSubmatch(line); m != nil {
			shown := show(m[2])
			insn, _ := strconv.Atoi(m[1])
			states = append(states, logState{insn, shown, maps.Clone(regs)})
		} else if m := logFrom.FindStringSubmatch(line); m != nil {
			clear(regs)
			show(m[1])
		}
	}
	return states
}

// contains reports whether y is a number that lies within x.
func contains(x, y string) bool {
	a, errA := logNumber(x)
	b, errB := logNumber(y)
	return errA == nil && errB == nil && b.Within(&a)
}

// logNumber reads a number of the log: "5", "scalar(smin=0,umax=umax32=7,var_off=(0x0; 0x7))".
func logNumber(s string) (scalar.Value, error) {
	v := scalar.Unknown()
	inside, ok := strings.CutPrefix(s, "scalar(")
	if !ok {
		x, err := logInt(s)
		return scalar.Const(x), err
	}
	inside = strings.TrimSuffix(inside, ")")
	if before, bits, ok := strings.Cut(inside, "var_off=("); ok {
		inside = before
		if _, err := fmt.Sscanf(bits, "0x%x; 0x%x)", &v.Bits.Value, &v.Bits.Mask); err != nil {
			return v, err
		}
	}
	for part := range strings.SplitSeq(strings.Trim(inside, ","), ",") {
		names := strings.Split(part, "=")
		if len(names) < 2 {
			continue
		}
		x, err := logInt(names[len(names)-1])
		if err != nil {
			return v, err
		}
		for _, name := range names[:len(names)-1] {
			switch name {
			case "smin":
				v.SMin = int64(x)
			case "smax":
				v.SMax = int64(x)
			case "umin":
				v.UMin = x
			case "umax":
				v.UMax = x
			case "smin32":
				v.S32Min = int32(x)
			case "smax32":
				v.S32Max = int32(x)
			case "umin32":
				v.U32Min = uint32(x)
			case "umax32":
				v.U32Max = uint32(x)
			default:
				return v, fmt.Errorf("unknown part %q of a number", name)
			}
		}
	}
	return v, nil
}

func logInt(s string) (uint64, error) {
	if x, err := strconv.ParseUint(s, 0, 64); err == nil {
		return x, nil
	}
	x, err := strconv.ParseInt(s, 0, 64)
	return uint64(x), err
}
