package verifier

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Need is something that a program needs and that the oldest known Linux has not.
type Need struct {
	What  string          // "helper bpf_loop", "map drops of type ringbuf"
	Since kernels.Version // the first Linux that has it; 0: none that the tables know
	Insn  int             // which has it; -1: the program as a whole
}

// Needs lists what a program needs that the oldest known Linux has not, whether it is
// reached or not: its type and where it is attached, its maps, instructions, helpers and
// kernel functions.
func Needs(img *program.Image, specs map[string]*ebpf.MapSpec) ([]Need, error) {
	c, err := newChecker(img, specs, &Options{Kernel: kernels.All()[0].String()})
	if err != nil {
		return nil, err
	}
	if err := c.resolve(specs); err != nil {
		return nil, err
	}
	var needs []Need
	c.asked = func(since kernels.Version, what string) { needs = append(needs, Need{what, since, c.insn}) }
	if err := c.profile(); err != nil {
		return nil, err
	}
	if c.sleepableProgram() {
		since, ok := c.kernel.Sleepable(img.Type, img.Attach)
		err = c.ask(since, ok, "sleepable programs of this type")
	}
	for i, ins := range c.insns {
		c.insn = i
		switch {
		case ins.IsCall(isa.CallHelper):
			since, ok := c.kernel.Helper(c.progType(), img.Attach, uint32(ins.Imm))
			err = errors.Join(err, c.ask(since, ok, "helper %s", helperName(asm.BuiltinFunc(ins.Imm))))
		case ins.IsCall(isa.CallKfunc) && img.Kfuncs[i] != nil:
			since, ok := c.kernel.Kfunc(c.progType(), img.Attach, img.Kfuncs[i].Name)
			err = errors.Join(err, c.ask(since, ok, "kernel function %s", img.Kfuncs[i].Name))
		}
	}
	return needs, err
}
