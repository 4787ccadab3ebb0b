package usdt

import (
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxArgs is how many arguments a probe may have, as in sys/sdt.h.
const MaxArgs = 12

// ArgKind says where an argument is.
type ArgKind uint8

// The kinds of arguments.
const (
	Constant ArgKind = iota // it is Value
	Register                // in register Base
	Memory                  // at register Base plus Value
	Indexed                 // at register Base plus Value plus register Index << Shift
)

// Arg is where an argument of a probe is.
type Arg struct {
	Kind ArgKind
	// Size is the argument's in bytes: 1, 2, 4 or 8.
	Size   int
	Signed bool
	Value  int64
	// Base and Index are registers, as offsets into struct pt_regs (struct
	// user_pt_regs on arm64).
	Base, Index int
	Shift       int
}

// Arguments says where the arguments of a probe are.
func (p *Probe) Arguments() ([]Arg, error) {
	syntax := syntaxes[p.machine]
	if syntax == nil {
		return nil, fmt.Errorf("probe %s: its arguments are in registers of %s, which skep does not know", p, p.machine)
	}
	texts := splitArgs(p.Args)
	if len(texts) > MaxArgs {
		return nil, fmt.Errorf("probe %s has %d arguments: there may be %d", p, len(texts), MaxArgs)
	}
	args := make([]Arg, len(texts))
	for i, text := range texts {
		a, variable, err := syntax.parse(text)
		if err == nil && variable != "" {
			err = p.locate(&a, variable)
		}
		if err != nil {
			return nil, fmt.Errorf("probe %s: argument %d, %s: %w", p, i+1, text, err)
		}
		args[i] = a
	}
	return args, nil
}

// locate makes an argument that is in a variable one that is so far from the probe, where
// the program counter is.
func (p *Probe) locate(a *Arg, variable string) error {
	address, ok := p.symbols[variable]
	if !ok {
		return fmt.Errorf("the file does not say where variable %s is: it may be stripped", variable)
	}
	a.Value += int64(address - p.Address)
	return nil
}

// splitArgs splits at spaces that are not within brackets: "8@[sp, 8] 4@w0".
func splitArgs(s string) []string {
	depth := 0
	return strings.FieldsFunc(s, func(c rune) bool {
		switch c {
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		}
		return c == ' ' && depth <= 0
	})
}

// A syntax is how an assembler writes operands. The groups of its expressions are named
// value, base, index and scale.
type syntax struct {
	forms     []form
	registers map[string]int // offsets into struct pt_regs
	// shift gives the shift of an index from its text.
	shift func(scale string) (int, bool)
}

type form struct {
	kind ArgKind
	expr *regexp.Regexp
}

// operand makes a form of an expression for a whole operand.
func operand(kind ArgKind, expr string) form {
	return form{kind, regexp.MustCompile(`^` + expr + `$`)}
}

// parse reads SIZE@OPERAND. A negative size is a signed argument's. Where the operand names
// a variable, its address is still to be added to the value.
func (s *syntax) parse(text string) (a Arg, variable string, err error) {
	size, operand, ok := strings.Cut(text, "@")
	if !ok {
		return a, "", fmt.Errorf("want size@operand")
	}
	digits, signed := strings.CutPrefix(size, "-")
	a.Signed = signed
	if a.Size, err = strconv.Atoi(digits); err != nil || !slices.Contains([]int{1, 2, 4, 8}, a.Size) {
		return a, "", fmt.Errorf("its size is %s: programs get integers of 1, 2, 4 and 8 bytes", size)
	}
	for _, f := range s.forms {
		if groups := f.expr.FindStringSubmatch(operand); groups != nil {
			a.Kind = f.kind
			if i := f.expr.SubexpIndex("variable"); i >= 0 {
				variable = groups[i]
			}
			return a, variable, s.fill(&a, f.expr.SubexpNames(), groups)
		}
	}
	return a, "", fmt.Errorf("skep does not know operands of this form")
}

// fill puts the numbers and registers that an expression found into an argument.
func (s *syntax) fill(a *Arg, names, groups []string) (err error) {
	for i, name := range names {
		text, ok := groups[i], true
		if text == "" {
			continue
		}
		switch name {
		case "value":
			if a.Value, err = strconv.ParseInt(text, 0, 64); err != nil {
				var n uint64 // beyond those with a sign
				n, err = strconv.ParseUint(text, 0, 64)
				a.Value = int64(n)
			}
			ok = err == nil
		case "base":
			a.Base, ok = s.registers[text]
		case "index":
			a.Index, ok = s.registers[text]
		case "scale":
			a.Shift, ok = s.shift(text)
		}
		if !ok {
			return fmt.Errorf("its %s %s is none that skep knows", name, text)
		}
	}
	return nil
}

// scaleShift reads a scale, as in (%rax,%rbx,8).
func scaleShift(scale string) (int, bool) {
	n, err := strconv.ParseUint(scale, 10, 8)
	return bits.TrailingZeros64(n), err == nil && slices.Contains([]uint64{1, 2, 4, 8}, n)
}

// plainShift reads a shift, as in [x0, x1, lsl 3].
func plainShift(shift string) (int, bool) {
	n, err := strconv.ParseUint(shift, 10, 8)
	return int(n), err == nil && n <= 3
}
