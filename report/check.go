package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/skep-ebpf/skep/verifier"
)

// Check is what the verifier said of one program under the rules of one kernel.
type Check struct {
	Program string
	Kernel  string // "7.2"
	Insns   int    // instructions of the program
	Result  *verifier.Result
	// Refusal says why the program was refused; nil: it was not.
	Refusal *verifier.Error
	Took    time.Duration
}

// Verdict is "accepted", "refused", or "unknown" where skep cannot tell.
func (c *Check) Verdict() string {
	switch {
	case c.Refusal == nil:
		return "accepted"
	case c.Refusal.Cause == verifier.CauseUnsupported:
		return "unknown"
	}
	return "refused"
}

type jsonCheck struct {
	Type      string       `json:"type"`
	Program   string       `json:"program"`
	Kernel    string       `json:"kernel"`
	Verdict   string       `json:"verdict"`
	Insns     int          `json:"instructions"`
	Processed int          `json:"processed,omitempty"`
	States    int          `json:"states,omitempty"`
	Stack     int          `json:"stack,omitempty"`
	TookUs    int64        `json:"took_us"`
	Refusal   *jsonRefusal `json:"refusal,omitempty"`
}

type jsonRefusal struct {
	Cause   string `json:"cause"`
	Message string `json:"message"`
	Linux   string `json:"linux"` // the words of Linux's log
	Insn    *int   `json:"insn,omitempty"`
	Text    string `json:"text,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Source  string `json:"source,omitempty"`
	Reg     *int   `json:"register,omitempty"`
	Value   string `json:"value,omitempty"`
	*verifier.Explanation
}

func (c *Check) json() *jsonCheck {
	j := &jsonCheck{
		Type: "check", Program: c.Program, Kernel: c.Kernel, Verdict: c.Verdict(),
		Insns: c.Insns, TookUs: c.Took.Microseconds(),
	}
	if c.Result != nil {
		j.Processed, j.States, j.Stack = c.Result.Processed, c.Result.States, c.Result.Stack
	}
	if e := c.Refusal; e != nil {
		j.Refusal = &jsonRefusal{
			Cause: e.Cause.String(), Message: e.Error(), Linux: e.Kernel, Text: e.Text,
			Value: e.Value, Explanation: e.Explain(),
		}
		if e.Insn >= 0 {
			j.Refusal.Insn = &e.Insn
		}
		if e.Reg >= 0 {
			j.Refusal.Reg = &e.Reg
		}
		if l := e.Line; l != nil {
			j.Refusal.File, j.Refusal.Line, j.Refusal.Column, j.Refusal.Source = l.File, l.Number, l.Column, l.Text
		}
	}
	return j
}

// Check writes one verdict, with all that is known of a refusal.
func (w *Writer) Check(c *Check) error {
	if w.form == JSON {
		return w.object(c.json())
	}
	if c.Refusal != nil {
		return w.line("%-9s %s", c.Verdict(), harmlessLines(fmt.Sprintf("%+v", c.Refusal)))
	}
	return w.line("%-9s %s: %d instructions, %d looked at, %d bytes of stack",
		c.Verdict(), harmless(c.Program), c.Insns, c.Result.Processed, c.Result.Stack)
}

// Checks writes verdicts of several kernels: a table of programs by kernels, and
// below it a line for each refusal. They are in the order of the programs, and of
// the kernels for each program.
func (w *Writer) Checks(kernels []string, checks []Check) error {
	if w.form == JSON {
		for i := range checks {
			if err := w.object(checks[i].json()); err != nil {
				return err
			}
		}
		return nil
	}
	t := table{head: append([]string{"program"}, kernels...)}
	for i := 0; i+len(kernels) <= len(checks); i += len(kernels) {
		cells := []string{checks[i].Program}
		for _, c := range checks[i : i+len(kernels)] {
			cells = append(cells, c.Verdict())
		}
		t.add(cells...)
	}
	w.buf = t.append(w.buf[:0], "")
	for i := range checks {
		if c := &checks[i]; c.Refusal != nil {
			w.buf = fmt.Appendf(w.buf, "%s: %s: %s\n", c.Kernel, harmless(c.Program), harmless(c.Refusal.Error()))
		}
	}
	return w.flush()
}

// harmlessLines is harmless for text of several lines.
func harmlessLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = harmless(lines[i])
	}
	return strings.Join(lines, "\n")
}
