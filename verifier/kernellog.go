package verifier

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// Lines of Linux's log that are not the reason of a refusal.
var (
	logInsn  = regexp.MustCompile(`^(\d+): \([0-9a-f]{2}\) ([^;]*)`)
	logState = regexp.MustCompile(`^(\d+): |^from \d+ to \d+|^;|^func#|^arg#\d+ .*size cannot be determined|^reg type unsupported for arg#|^Validating |^Func(tion)?#|^last_idx |^regs=|^mark_precise: |^parent |^caller:|^callee:|^returning from callee|^to caller at `)
	logStats = regexp.MustCompile(`^processed \d+ insns|^verification time|^stack depth|^max_states|^total_states`)
	// saysInsn is how refusals before the walk name an instruction.
	saysInsn = regexp.MustCompile(`\binsn (\d+)`)
)

// ReadLog gives the refusal of an image that a kernel's log tells, for a program that
// Check accepts: where the log ends, and with what words. Log is its lines, at level 1 or 2.
func ReadLog(img *program.Image, log []string) *Error {
	e := &Error{Cause: CauseThisKernel, Program: img.Name, Insn: -1, Reg: -1}
	var words []string
	last := -1 // line of the last instruction
	for i, line := range log {
		insn := logInsn.FindStringSubmatch(line)
		switch {
		case insn != nil:
			words, last = nil, i
			e.Insn, _ = strconv.Atoi(insn[1])
			e.Text = strings.TrimSpace(insn[2])
		case logState.MatchString(line):
			words = nil
		case line != "" && !logStats.MatchString(line):
			line, _, _ = strings.Cut(line, "processed ") // where a message lacks its end of line
			words = append(words, strings.TrimSpace(line))
		}
	}
	e.Kernel = strings.Join(words, "\n")
	if found := saysInsn.FindStringSubmatch(e.Kernel); last < 0 && found != nil {
		e.Insn, _ = strconv.Atoi(found[1])
	}
	if e.Insn >= len(img.Insns) {
		e.Insn = -1
	}
	if e.Insn < 0 {
		return e
	}
	e.Where, e.Line = img.Where(e.Insn), img.LineAt(e.Insn)
	if e.Text == "" {
		e.Text = img.Text(e.Insn)
	}
	if found := namedReg.FindStringSubmatch(e.Kernel); found != nil && last >= 0 {
		e.Reg = int(found[1][0] - '0')
		e.Value = loggedValue(img, log[:last], e.Reg)
	}
	return e
}

// AddKernel notes what a kernel's verifier said that refused the program too, as ReadLog
// gives it; nil: nothing.
func (e *Error) AddKernel(told *Error) {
	switch {
	case told == nil || told.Kernel == "" || told.Kernel == e.Kernel:
	case e.Cause == CauseKernel:
		e.Kernel += "\n" + told.Kernel
	case told.Insn == e.Insn:
		e.Kernel = told.Kernel
	default:
		e.Kernel += fmt.Sprintf("\nand this kernel, at instruction %d: %s", told.Insn, told.Kernel)
	}
}

// loggedValue is what a register holds at the end of a log; "" where the log does not
// show it any more.
func loggedValue(img *program.Image, log []string, reg int) string {
	shown := regexp.MustCompile(`\bR` + strconv.Itoa(reg) + `(?:_[a-zA-Z]+)?=`)
	for i := len(log) - 1; i >= 0; i-- {
		if at := shown.FindAllStringIndex(log[i], -1); at != nil {
			return firstWord(log[i][at[len(at)-1][1]:])
		}
		insn := logInsn.FindStringSubmatch(log[i])
		if insn == nil {
			continue
		}
		n, err := strconv.Atoi(insn[1])
		if err != nil || n >= len(img.Insns) || img.Insns[n].Op == isa.ClassJMP|isa.JmpCALL {
			return ""
		}
		if written, ok := img.Insns[n].Writes(); ok && int(written) == reg {
			return ""
		}
	}
	return ""
}

// firstWord ends at a space that is not in parentheses.
func firstWord(s string) string {
	depth := 0
	for i, r := range s {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ' ' && depth == 0:
			return s[:i]
		}
	}
	return s
}
