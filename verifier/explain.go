package verifier

import (
	"errors"
	"fmt"
	"strings"
)

// Explanation is how a program came to what it was refused for.
type Explanation struct {
	// Origins are the instructions that made the register hold what it does, in
	// the order in which they ran.
	Origins []Origin `json:"origins,omitempty"`
	// Branches are the conditional jumps on the path to the refusal.
	Branches []Branch `json:"branches,omitempty"`
	// Hint is what to try.
	Hint string `json:"hint"`
}

// Origin is an instruction and what it left in the register that it writes.
type Origin struct {
	Insn  int    `json:"insn"`
	Where string `json:"where,omitempty"` // the source position
	Text  string `json:"text"`
	Value string `json:"value,omitempty"` // in the notation of Linux's log
}

// Branch is a conditional jump.
type Branch struct {
	Insn  int    `json:"insn"`
	Where string `json:"where,omitempty"`
	Text  string `json:"text"`
	Taken bool   `json:"taken"`
}

const (
	maxOrigins  = 12
	maxBranches = 12
)

// Explain walks the program again to where it was refused, and gathers what led
// there.
func (e *Error) Explain() *Explanation {
	e.once.Do(func() {
		e.explained = &Explanation{Hint: causes[e.Cause].hint}
		if e.again != nil {
			e.again(e.explained)
		}
	})
	return e.explained
}

// explainBy walks again with trails, and fills in the explanation of a refusal.
func (c *checker) explainBy(e *Error, x *Explanation) {
	c.trails = true
	var again *Error
	if err := c.run(); !errors.As(err, &again) || again.Insn != e.Insn || c.st == nil {
		return
	}
	var origins []*trail
	if e.Reg >= 0 {
		origins = c.slice(c.st.trail, len(c.st.frames)-1, uint8(e.Reg), maxOrigins)
	}
	for _, t := range origins {
		x.Origins = append(x.Origins, c.origin(t))
	}
	next := e.Insn
	for t := c.st.trail; t != nil && len(x.Branches) < maxBranches; t = t.before {
		if b, ok := c.branch(t.insn, next); ok {
			x.Branches = append([]Branch{b}, x.Branches...)
		}
		next = t.insn
	}
	if hint := c.hint(e, c.st.trail, origins); hint != "" {
		x.Hint = hint
	}
}

func (c *checker) origin(t *trail) Origin {
	o := Origin{Insn: t.insn, Where: c.img.Where(t.insn), Text: c.text(t.insn)}
	if t.result.Type != NotInit {
		o.Value = c.regText(&t.result, t.frame, false)
	}
	return o
}

// branch describes a conditional jump, behind which next came.
func (c *checker) branch(insn, next int) (Branch, bool) {
	ins := &c.insns[insn]
	if !isCondition(*ins) {
		return Branch{}, false
	}
	return Branch{Insn: insn, Where: c.img.Where(insn), Text: c.text(insn), Taken: next != insn+1}, true
}

// line is the refusal in one line, without the program's name, which callers give.
func (e *Error) line() string {
	place := ""
	if e.Where != "" {
		place = e.Where + ": "
	} else if e.Insn >= 0 {
		place = fmt.Sprintf("instruction %d: %s: ", e.Insn, e.Text)
	}
	return fmt.Sprintf("%s%s (%s)", place, e.what(), strings.ReplaceAll(e.Kernel, "\n", "; "))
}

// full is everything that is known of the refusal.
func (e *Error) full() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.Program, e.what())
	if e.Where != "" {
		fmt.Fprintf(&b, "  source       %s\n", e.Where)
	}
	if e.Insn >= 0 {
		fmt.Fprintf(&b, "  instruction  %d: %s\n", e.Insn, e.Text)
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "  value        R%d = %s\n", e.Reg, e.Value)
	}
	if e.Cause == CauseUnsupported {
		fmt.Fprintf(&b, "  not known    %s\n", e.Kernel)
	} else {
		fmt.Fprintf(&b, "  Linux says   %s\n", strings.ReplaceAll(e.Kernel, "\n", "\n               "))
	}
	x := e.Explain()
	if len(x.Origins) > 0 {
		fmt.Fprintf(&b, "  R%d comes from\n", e.Reg)
		for _, o := range x.Origins {
			fmt.Fprintf(&b, "    %4d: %-36s %s\n", o.Insn, o.Text, o.Value)
			if o.Where != "" {
				fmt.Fprintf(&b, "          %s\n", o.Where)
			}
		}
	}
	if len(x.Branches) > 0 {
		b.WriteString("  on the path\n")
		for _, t := range x.Branches {
			taken := "goes on"
			if t.Taken {
				taken = "jumps"
			}
			fmt.Fprintf(&b, "    %4d: %-36s %s\n", t.Insn, t.Text, taken)
			if t.Where != "" {
				fmt.Fprintf(&b, "          %s\n", t.Where)
			}
		}
	}
	fmt.Fprintf(&b, "  try          %s", x.Hint)
	return b.String()
}
