package ir

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parse makes a function of its text, as [Func.String] gives it. Blocks are in order, and
// a block without an end goes on in the next one.
func parse(t testing.TB, text string) *Func {
	t.Helper()
	f := &Func{Vars: FirstFree, Frame: 512, Params: 5}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasSuffix(line, ":"):
			f.Blocks = append(f.Blocks, Block{Succ: [2]int32{-1, -1}})
		default:
			b := &f.Blocks[len(f.Blocks)-1]
			i, err := b.parse(line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			b.Ins = append(b.Ins, i)
			for _, v := range []Var{i.Dst, i.A, i.B, i.C} {
				if v != None {
					f.Vars = max(f.Vars, v+1)
				}
			}
		}
	}
	return f
}

var (
	addressText = regexp.MustCompile(`\[(\w+)(?:\+([rw]\d+)(?:<<(\d))?)?([+-]\d+)?\]`)
	targetText  = regexp.MustCompile(` b(\d+)`)
	nameText    = regexp.MustCompile(`^([a-z]+?)([1248])?$`)
)

func (b *Block) parse(line string) (i Ins, err error) {
	i = Ins{Size: 8, Dst: None, A: None, B: None, C: None}
	for n, m := range targetText.FindAllStringSubmatch(line, -1) {
		to, _ := strconv.Atoi(m[1])
		b.Succ[n] = int32(to)
	}
	line = targetText.ReplaceAllString(line, "")
	for suffix, flag := range map[string]Flag{" cold": Cold, " nonzero": NonZero} {
		if rest, ok := strings.CutSuffix(line, suffix); ok {
			line, i.Flag = rest, i.Flag|flag
		}
	}
	if m := addressText.FindStringSubmatch(line); m != nil {
		i.A, i.B = i.variable(m[1]), i.variable(m[2])
		n, _ := strconv.Atoi(m[3])
		off, _ := strconv.Atoi(m[4])
		i.N, i.Off = uint8(n), int32(off)
		line = strings.Replace(line, m[0], "@", 1)
	}
	words := strings.Fields(line)
	if len(words) > 2 && words[1] == "=" && i.variable(words[0]) != None {
		i.Dst, words = i.variable(words[0]), words[2:]
	}
	return i, i.parse(words)
}

// parse reads what the instruction does before it writes Dst.
func (i *Ins) parse(words []string) error {
	word := func(n int) string {
		if n < len(words) {
			return words[n]
		}
		return ""
	}
	operand := func(n int) Var {
		v := i.variable(word(n))
		if v == None {
			i.Imm, _ = strconv.ParseInt(word(n), 0, 64)
		}
		return v
	}
	number := func(n int) int64 { k, _ := strconv.ParseInt(word(n), 0, 64); return k }
	if op := slices.Index(operators[:], word(1)); op > 0 && len(words) == 3 {
		i.Op, i.A, i.B = Op(op), operand(0), operand(2)
		return nil
	}
	m := nameText.FindStringSubmatch(word(0))
	if m == nil || i.variable(word(0)) != None {
		switch _, err := strconv.ParseInt(word(0), 0, 64); {
		case err == nil:
			i.Op, i.Imm = Const, number(0)
		case word(0) == "&@":
			i.Op = Lea
		case word(0)[0] == '-':
			i.Op, i.A = Neg, i.variable(word(0)[1:])
		default:
			i.Op, i.A = Mov, operand(0)
		}
		return nil
	}
	if m[2] != "" {
		i.Width = m[2][0] - '0'
	}
	if word(0) == "if" {
		i.Op, i.A, i.B = Branch, operand(1), operand(3)
		i.Cond = Cond(slices.Index(comparisons[:], word(2)))
		return nil
	}
	op := slices.Index(names[:], m[1])
	if op < 0 {
		return fmt.Errorf("no operation %s", m[1])
	}
	switch i.Op = Op(op); i.Op {
	case Zext, Sext, Bswap, CallX:
		i.A = operand(1)
	case Store, StoreRelease:
		i.C = operand(3)
	case AtomicAdd, AtomicAnd, AtomicOr, AtomicXor, Xchg:
		i.C = operand(2)
	case Cmpxchg:
		i.B, i.C = operand(2), operand(3)
	case Call, Helper:
		i.Imm, i.N, i.Off = number(1), uint8(number(2)), int32(number(3))
	case TailCall:
		i.N = 3
	case Slow, Packet:
		i.A, i.B, i.C = i.variable(word(1)), i.variable(word(2)), i.variable(word(3))
	case Fuel:
		i.Imm = number(1)
	}
	return nil
}

// variable reads a name; None if it is none. One with w makes an operation of 4 bytes.
func (i *Ins) variable(name string) Var {
	if name == "frame" {
		return Frame
	}
	if len(name) < 2 || name[0] != 'r' && name[0] != 'w' {
		return None
	}
	n, err := strconv.Atoi(name[1:])
	if err != nil {
		return None
	}
	if name[0] == 'w' {
		i.Size = 4
	}
	return Var(n)
}

func TestText(t *testing.T) {
	const text = `b0:
	r1 = 5
	r2 = frame
	w3 = w4
	r3 = r4 + r5
	w3 = w4 s>> 7
	r3 = r4 rol 9
	w3 = w4 s% w5 nonzero
	r3 = -r4
	r3 = zext2 r4
	w3 = sext1 w4
	r3 = bswap8 r4
	r3 = context
	r3 = &[frame+r4<<3-16]
	r3 = &[r4+r5]
	r3 = load4 [frame-8]
	r3 = loadsext2 [r1+r2<<1+6]
	store8 [r1+0] = r2
	store2 [r1+0] = -5
	add8 [r1+8] r2
	r2 = xor4 [r1+8] r2
	r2 = xchg4 [r1+8] r3
	r0 = cmpxchg8 [r1+8] r0 r2
	r2 = acquire1 [r1-1]
	release1 [r1-1] = r2
	r0 = call 3 2
	r0 = helper 7 4 1
	r0 = callx r3
	tailcall
	r3 = slow r1 - r2
	r0 = packet r6 r7 -
	fuel 12
	goto b1
b1:
	if r1 s>= -3 goto b2 else b3 cold
b2:
	if w1 & w2 goto b1 else b3
b3:
	return
b4:
	trap
`
	if got := parse(t, text).String(); got != text {
		t.Errorf("got %s, want %s", got, text)
	}
}
