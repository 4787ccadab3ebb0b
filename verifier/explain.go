package verifier

// explanation is what a person is told beyond the cause.
type explanation struct {
	Where string // the source position: "firewall.bpf.c:42: if (ip + 1 > end)"
	Text  string // the instruction
	Hint  string // what to try
}

func (e *Error) line() string {
	s := e.Program
	if e.Where != "" {
		s += ": " + e.Where
	}
	return s + ": " + e.Kernel
}

func (e *Error) full() string { return e.line() }
