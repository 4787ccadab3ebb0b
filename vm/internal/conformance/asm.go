package conformance

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/skep-ebpf/skep/isa"
)

// Assemble translates lines of the suite's assembly, which have neither
// comments nor space around them.
func Assemble(lines []string) ([]isa.Instruction, error) {
	a := assembler{labels: map[string]int{}}
	for _, line := range lines {
		if label, ok := strings.CutSuffix(line, ":"); ok {
			a.labels[label] = len(a.insns)
			continue
		}
		if err := a.line(line); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	for _, r := range a.refs {
		target, ok := a.labels[r.label]
		if r.label == "exit" && !ok { // need not be declared: the last exit
			target, ok = a.exit, a.exit > 0
		}
		if !ok {
			return nil, fmt.Errorf("there is no label %q", r.label)
		}
		if err := r.set(&a.insns[r.at], int64(target-r.at-1)); err != nil {
			return nil, err
		}
	}
	return a.insns, nil
}

type assembler struct {
	insns  []isa.Instruction
	labels map[string]int
	refs   []reference
	exit   int // the last one
}

// reference is a label that an instruction refers to.
type reference struct {
	at    int
	label string
	set   func(*isa.Instruction, int64) error
}

func setOff(i *isa.Instruction, v int64) error {
	i.Off = int16(v)
	if int64(i.Off) != v {
		return fmt.Errorf("offset %d does not fit into 16 bits", v)
	}
	return nil
}

func setImm(i *isa.Instruction, v int64) error {
	i.Imm = int32(v)
	return nil
}

var alu = map[string]struct {
	op  uint8
	off int16
}{
	"add": {isa.AluADD, 0}, "sub": {isa.AluSUB, 0}, "mul": {isa.AluMUL, 0}, "div": {isa.AluDIV, 0}, "sdiv": {isa.AluDIV, 1},
	"mod": {isa.AluMOD, 0}, "smod": {isa.AluMOD, 1}, "or": {isa.AluOR, 0}, "and": {isa.AluAND, 0}, "xor": {isa.AluXOR, 0},
	"lsh": {isa.AluLSH, 0}, "rsh": {isa.AluRSH, 0}, "arsh": {isa.AluARSH, 0}, "mov": {isa.AluMOV, 0},
}

var jumps = map[string]uint8{
	"jeq": isa.JmpJEQ, "jgt": isa.JmpJGT, "jge": isa.JmpJGE, "jset": isa.JmpJSET, "jne": isa.JmpJNE, "jsgt": isa.JmpJSGT,
	"jsge": isa.JmpJSGE, "jlt": isa.JmpJLT, "jle": isa.JmpJLE, "jslt": isa.JmpJSLT, "jsle": isa.JmpJSLE,
}

var memSizes = map[string]uint8{"b": isa.SizeB, "h": isa.SizeH, "w": isa.SizeW, "dw": isa.SizeDW}

var atomics = map[string]int32{
	"add": isa.AtomicADD, "or": isa.AtomicOR, "and": isa.AtomicAND, "xor": isa.AtomicXOR,
	"xchg": isa.AtomicXCHG, "cmpxchg": isa.AtomicCMPXCHG,
}

// line translates one instruction.
func (a *assembler) line(line string) error {
	mnemonic, rest, _ := strings.Cut(line, " ")
	var args []string
	if rest = strings.TrimSpace(rest); rest != "" {
		for _, arg := range strings.Split(rest, ",") {
			args = append(args, strings.TrimSpace(arg))
		}
	}
	want := func(n int) error {
		if len(args) != n {
			return fmt.Errorf("%d operands, and %s takes %d", len(args), mnemonic, n)
		}
		return nil
	}
	base, narrow := strings.CutSuffix(mnemonic, "32")
	class, jmp := uint8(isa.ClassALU64), uint8(isa.ClassJMP)
	if narrow {
		class, jmp = isa.ClassALU, isa.ClassJMP32
	}
	if o, ok := alu[base]; ok {
		if err := want(2); err != nil {
			return err
		}
		ins := isa.Instruction{Op: class | o.op, Off: o.off}
		return a.finish(ins, dst(args[0]), regOrImm(args[1]))
	}
	if op, ok := jumps[base]; ok {
		if err := want(3); err != nil {
			return err
		}
		ins := isa.Instruction{Op: jmp | op}
		return a.finish(ins, dst(args[0]), regOrImm(args[1]), a.label(args[2], setOff))
	}
	switch mnemonic {
	case "exit":
		a.exit = len(a.insns)
		return firstError(want(0), a.finish(isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}))
	case "neg", "neg32":
		if err := want(1); err != nil {
			return err
		}
		return a.finish(isa.Instruction{Op: class | isa.AluNEG}, dst(args[0]))
	case "ja":
		if err := want(1); err != nil {
			return err
		}
		return a.finish(isa.Instruction{Op: isa.ClassJMP | isa.JmpJA}, a.label(args[0], setOff))
	case "ja32":
		if err := want(1); err != nil {
			return err
		}
		return a.finish(isa.Instruction{Op: isa.ClassJMP32 | isa.JmpJA}, a.label(args[0], setImm))
	case "call":
		return a.call(rest)
	case "lock":
		return a.lock(args)
	case "lddw":
		if err := want(2); err != nil {
			return err
		}
		return a.lddw(args)
	}
	if m := regexp.MustCompile(`^(le|be|swap|bswap)(16|32|64)$`).FindStringSubmatch(mnemonic); m != nil {
		if err := want(1); err != nil {
			return err
		}
		op := map[string]uint8{"le": isa.ClassALU, "be": isa.ClassALU | isa.SrcX, "swap": isa.ClassALU64, "bswap": isa.ClassALU64}[m[1]]
		return a.finish(isa.Instruction{Op: op | isa.AluEND}, dst(args[0]), imm(m[2]))
	}
	if m := regexp.MustCompile(`^movsx(8|16|32)(32|64)$`).FindStringSubmatch(mnemonic); m != nil {
		if err := want(2); err != nil {
			return err
		}
		op := map[string]uint8{"32": isa.ClassALU, "64": isa.ClassALU64}[m[2]]
		return a.finish(isa.Instruction{Op: op | isa.SrcX | isa.AluMOV}, dst(args[0]), src(args[1]), off(m[1]))
	}
	if m := regexp.MustCompile(`^(ldx|ldxs|st|stx)(b|h|w|dw)$`).FindStringSubmatch(mnemonic); m != nil {
		if err := want(2); err != nil {
			return err
		}
		size := memSizes[m[2]]
		switch m[1] {
		case "ldx":
			return a.finish(isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | size}, dst(args[0]), memory(args[1], src))
		case "ldxs":
			return a.finish(isa.Instruction{Op: isa.ClassLDX | isa.ModeMEMSX | size}, dst(args[0]), memory(args[1], src))
		case "st":
			return a.finish(isa.Instruction{Op: isa.ClassST | isa.ModeMEM | size}, memory(args[0], dst), imm(args[1]))
		}
		return a.finish(isa.Instruction{Op: isa.ClassSTX | isa.ModeMEM | size}, memory(args[0], dst), src(args[1]))
	}
	if m := regexp.MustCompile(`^ld(abs|ind)(b|h|w)$`).FindStringSubmatch(mnemonic); m != nil {
		if m[1] == "abs" {
			if err := want(1); err != nil {
				return err
			}
			return a.finish(isa.Instruction{Op: isa.ClassLD | isa.ModeABS | memSizes[m[2]]}, imm(args[0]))
		}
		if err := want(2); err != nil {
			return err
		}
		return a.finish(isa.Instruction{Op: isa.ClassLD | isa.ModeIND | memSizes[m[2]]}, src(args[0]), imm(args[1]))
	}
	return fmt.Errorf("unknown instruction %q", mnemonic)
}

// operand fills a field of an instruction.
type operand func(*isa.Instruction) error

func (a *assembler) finish(ins isa.Instruction, operands ...operand) error {
	for _, o := range operands {
		if err := o(&ins); err != nil {
			return err
		}
	}
	a.insns = append(a.insns, ins)
	return nil
}

// call is "call NUMBER", "call %REGISTER" or "call local LABEL".
func (a *assembler) call(target string) error {
	ins := isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL}
	if label, ok := strings.CutPrefix(target, "local "); ok {
		ins.Src = isa.CallLocal
		return a.finish(ins, a.label(strings.TrimSpace(label), setImm))
	}
	if strings.HasPrefix(target, "%") {
		ins.Op |= isa.SrcX
		return a.finish(ins, dst(target))
	}
	return a.finish(ins, imm(target))
}

var lockPattern = regexp.MustCompile(`^(fetch )?\s*([a-z]+)(32)?\s+(\[.*\])$`)

// lock is "lock [fetch] OP[32] [MEMORY], %REGISTER".
func (a *assembler) lock(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d operands, and lock takes 2", len(args))
	}
	m := lockPattern.FindStringSubmatch(args[0])
	if m == nil {
		return fmt.Errorf("no atomic operation: %q", args[0])
	}
	code, ok := atomics[m[2]]
	if !ok {
		return fmt.Errorf("unknown atomic operation %q", m[2])
	}
	if m[1] != "" {
		code |= isa.AtomicFetch
	}
	size := uint8(isa.SizeDW)
	if m[3] != "" {
		size = isa.SizeW
	}
	return a.finish(isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | size, Imm: code}, memory(m[4], dst), src(args[1]))
}

func (a *assembler) lddw(args []string) error {
	v, err := strconv.ParseUint(args[1], 0, 64)
	if err != nil {
		signed, err := strconv.ParseInt(args[1], 0, 64)
		if err != nil {
			return err
		}
		v = uint64(signed)
	}
	if err := a.finish(isa.Instruction{Op: isa.OpLDDW, Imm: int32(v)}, dst(args[0])); err != nil {
		return err
	}
	return a.finish(isa.Instruction{Imm: int32(v >> 32)})
}

// label is a target by name, or by its distance: +2.
func (a *assembler) label(name string, set func(*isa.Instruction, int64) error) operand {
	return func(ins *isa.Instruction) error {
		if v, err := strconv.ParseInt(name, 0, 32); err == nil {
			return set(ins, v)
		}
		a.refs = append(a.refs, reference{len(a.insns), name, set})
		return nil
	}
}

func register(name string) (uint8, error) {
	n, ok := strings.CutPrefix(name, "%r")
	v, err := strconv.ParseUint(n, 10, 8)
	if !ok || err != nil || v > isa.R10 {
		return 0, fmt.Errorf("there is no register %q", name)
	}
	return uint8(v), nil
}

func dst(name string) operand {
	return func(ins *isa.Instruction) (err error) { ins.Dst, err = register(name); return err }
}

func src(name string) operand {
	return func(ins *isa.Instruction) (err error) { ins.Src, err = register(name); return err }
}

func imm(text string) operand {
	return func(ins *isa.Instruction) error {
		v, err := strconv.ParseInt(text, 0, 64)
		limit := int64(1<<31 - 1)
		if strings.Contains(text, "0x") {
			limit = 1<<32 - 1 // bits, not a number
		}
		if err != nil || v < -1<<31 || v > limit {
			return fmt.Errorf("%q is no 32-bit immediate", text)
		}
		ins.Imm = int32(v)
		return nil
	}
}

func off(text string) operand {
	return func(ins *isa.Instruction) error {
		v, err := strconv.ParseInt(strings.TrimPrefix(text, "+"), 0, 64)
		if err != nil {
			return err
		}
		return setOff(ins, v)
	}
}

func regOrImm(text string) operand {
	if !strings.HasPrefix(text, "%") {
		return imm(text)
	}
	return func(ins *isa.Instruction) error {
		ins.Op |= isa.SrcX
		return src(text)(ins)
	}
}

var memPattern = regexp.MustCompile(`^\[(%r\d+)\s*([+-]\s*\w+)?\]$`)

// memory is "[%REGISTER+OFFSET]".
func memory(text string, reg func(string) operand) operand {
	return func(ins *isa.Instruction) error {
		m := memPattern.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("%q is no memory", text)
		}
		if m[2] != "" {
			if err := off(strings.ReplaceAll(m[2], " ", ""))(ins); err != nil {
				return err
			}
		}
		return reg(m[1])(ins)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
