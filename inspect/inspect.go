package inspect

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Program is what there is to say of a program.
type Program struct {
	Name    string
	Type    ebpf.ProgramType
	Section string
	Insns   int
	// Could are its abilities in the order of [Ability].
	Could []Could
	// Calls are the kernel functions that it calls beside: what they do is for their
	// documentation to say.
	Calls []string
	Maps  []Map
	// Needs are the capabilities that it takes to load and, where its section says
	// where, to attach it, and Caps all of them.
	Needs []kernel.Need
	Caps  kernels.Caps
	// Linux is the oldest known one that has all that the program uses, and Newest what of
	// that it brought; "" where every one has all. Zero: none has Newest.
	Linux  kernels.Version
	Newest string
	// Refused is why the verifier refuses it; what it could do is told from its
	// instructions alone then.
	Refused error
}

// Could is an ability, by what the program has it, and the first place where that stands.
type Could struct {
	Ability Ability
	By      []string      // helpers, results: "bpf_redirect", "XDP_DROP"
	Insn    int           // the first one
	Line    *program.Line // nil: not known
}

// Map is a map that the program uses, and which others of the object use it.
type Map struct {
	Name     string
	Type     ebpf.MapType
	SharedBy []string
}

// Inspect looks at programs of an object.
func Inspect(spec *ebpf.CollectionSpec, names []string, link *program.LinkOptions) ([]*Program, error) {
	if _, err := program.Subset(spec, names...); err != nil {
		return nil, err // of a name that there is not
	}
	users := make(map[string][]string) // of maps
	images := make(map[string]*program.Image)
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		img, err := program.Link(spec, name, link)
		if err != nil && slices.Contains(names, name) {
			return nil, err
		}
		if err != nil {
			continue // it has its say when it is asked for
		}
		images[name] = img
		for _, m := range img.Maps {
			users[m] = append(users[m], name)
		}
	}
	var all []*Program
	for _, name := range names {
		p, err := inspect(spec, images[name], link)
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
		for i := range p.Maps {
			others := slices.Clone(users[p.Maps[i].Name])
			p.Maps[i].SharedBy = slices.DeleteFunc(others, func(other string) bool { return other == name })
		}
		all = append(all, p)
	}
	return all, nil
}

func inspect(spec *ebpf.CollectionSpec, img *program.Image, link *program.LinkOptions) (*Program, error) {
	p := &Program{Name: img.Name, Type: img.Type, Section: img.Section, Insns: len(img.Insns)}
	opts := &verifier.Options{Kernel: "any", KernelTypes: link.KernelTypes, Numbers: true}
	res, err := verifier.CheckImage(img, spec.Maps, opts)
	var refusal *verifier.Error
	if err != nil && !errors.As(err, &refusal) {
		return nil, err
	}
	p.Refused = err
	facts := res.Facts

	p.addCalls(img, facts)
	p.addAccesses(img, facts)
	p.addResults(img, facts)
	if img.Flags&flagSleepable != 0 {
		p.add(Sleep, "its section", 0)
	}
	slices.SortFunc(p.Could, func(a, b Could) int { return int(a.Ability) - int(b.Ability) })
	for i := range p.Could {
		p.Could[i].Line = lineAt(img, p.Could[i].Insn)
	}
	for _, name := range img.Maps {
		m := spec.Maps[name]
		if m == nil {
			m = img.Data[name]
		}
		p.Maps = append(p.Maps, Map{Name: name, Type: m.Type})
	}
	if err := p.addNeeds(spec, img, opts); err != nil {
		return nil, err
	}
	return p, p.addVersion(spec, img, facts)
}

// flagSleepable is BPF_F_SLEEPABLE.
const flagSleepable = 1 << 4

// lineAt is the place of an instruction in the source; nil where that is not known.
func lineAt(img *program.Image, insn int) *program.Line {
	if line := img.LineAt(insn); line != nil && line.Number > 0 {
		return line
	}
	return nil
}

// add notes that the program has an ability by something at an instruction.
func (p *Program) add(a Ability, by string, insn int) {
	i := slices.IndexFunc(p.Could, func(c Could) bool { return c.Ability == a })
	if i < 0 {
		p.Could = append(p.Could, Could{Ability: a, By: []string{by}, Insn: insn})
		return
	}
	c := &p.Could[i]
	if !slices.Contains(c.By, by) {
		c.By = append(c.By, by)
	}
	c.Insn = min(c.Insn, insn)
}

// addCalls adds what the program could do by calls.
func (p *Program) addCalls(img *program.Image, facts []verifier.Fact) {
	for i, ins := range img.Insns {
		var name string
		switch {
		case facts != nil && !facts[i].Reached:
			continue
		case ins.IsCall(isa.CallHelper):
			h, _ := kernels.HelperByID(uint32(ins.Imm))
			name = h.Name
		case ins.IsCall(isa.CallKfunc) && img.Kfuncs[i] != nil:
			name = img.Kfuncs[i].Name
		default:
			continue
		}
		for _, a := range abilitiesOf()[name] {
			p.add(a, name, i)
		}
		if ins.Src == isa.CallKfunc && abilitiesOf()[name] == nil && !isHarmless(name) && !slices.Contains(p.Calls, name) {
			p.Calls = append(p.Calls, name)
		}
	}
	slices.Sort(p.Calls)
}

// addAccesses adds what the program could do by loads and stores.
func (p *Program) addAccesses(img *program.Image, facts []verifier.Fact) {
	for i := range facts {
		f, class := &facts[i], img.Insns[i].Class()
		store := class == isa.ClassST || class == isa.ClassSTX
		switch {
		case !f.Reached || f.Memory == verifier.MemNone:
		case !store && (f.Access == verifier.PtrToBTF || f.Memory == verifier.MemKernel):
			p.add(ReadKernel, "loads", i)
		case !store:
		case f.Access == verifier.PtrToPacket:
			p.add(Rewrite, "stores", i)
		case f.Access == verifier.PtrToPacketMeta:
			p.add(Mark, "stores", i)
		case f.Access == verifier.PtrToBTF:
			p.add(WriteKernel, "stores", i)
		case f.Access == verifier.PtrToCtx:
			if a, ok := contexts[img.Type]; ok {
				p.add(a, "stores to its context", i)
			}
		}
	}
}

// contexts say what stores to the context do, by the program's type.
var contexts = map[ebpf.ProgramType]Ability{
	ebpf.SchedCLS: Mark, ebpf.SchedACT: Mark, ebpf.CGroupSKB: Mark, ebpf.LWTIn: Mark, ebpf.LWTOut: Mark, ebpf.LWTXmit: Mark,
	ebpf.SkSKB: Mark, ebpf.CGroupSockAddr: Address, ebpf.CGroupSock: Sockets, ebpf.SockOps: Sockets,
	ebpf.CGroupSockopt: Settings, ebpf.CGroupSysctl: Settings,
}

// addNeeds adds the capabilities that the program takes.
func (p *Program) addNeeds(spec *ebpf.CollectionSpec, img *program.Image, opts *verifier.Options) error {
	own, err := program.Subset(spec, img.Name)
	if err != nil {
		return err
	}
	var at []hook.Attachment
	if point, err := hook.Of(spec.Programs[img.Name]); err == nil {
		at = []hook.Attachment{{Program: img.Name, Point: point}}
	}
	p.Needs = kernel.Needs(own, at)
	for _, n := range p.Needs {
		p.Caps |= n.Caps
	}
	if p.Refused != nil || p.Caps&kernels.CapPerfmon != 0 {
		return nil
	}
	// Without CAP_PERFMON it must not show addresses, nor do what a processor might
	// speculate on.
	without := *opts
	without.Numbers, without.Lacks = false, kernels.CapPerfmon|kernels.CapSysAdmin
	var refusal *verifier.Error
	if _, err := verifier.CheckImage(img, spec.Maps, &without); errors.As(err, &refusal) {
		p.Needs = append(p.Needs, kernel.Need{For: fmt.Sprintf("program %s, which is refused otherwise (%s),", img.Name, refusal.Kernel), Caps: kernels.CapPerfmon})
		p.Caps |= kernels.CapPerfmon
	}
	return nil
}

// addVersion adds which Linux the program takes.
func (p *Program) addVersion(spec *ebpf.CollectionSpec, img *program.Image, facts []verifier.Fact) error {
	needs, err := verifier.Needs(img, spec.Maps)
	if err != nil {
		var refusal *verifier.Error
		if errors.As(err, &refusal) {
			return nil // for something that no Linux has
		}
		return err
	}
	p.Linux = kernels.All()[0].Version()
	for _, n := range needs {
		switch {
		case n.Insn >= 0 && facts != nil && !facts[n.Insn].Reached:
		case n.Since == 0:
			p.Linux, p.Newest = 0, n.What
			return nil
		case n.Since > p.Linux:
			p.Linux, p.Newest = n.Since, n.What
		}
	}
	return nil
}
