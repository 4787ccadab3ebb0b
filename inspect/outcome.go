package inspect

import (
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/verifier/scalar"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// outcome is a result that a program may have: what an instruction leaves in R0 that is
// still there when the program ends.
type outcome struct {
	insn  int
	value *scalar.Value // nil: may be anything
}

// outcomes finds a program's results, going back from its exits to what wrote R0.
func outcomes(img *program.Image, facts []verifier.Fact) []outcome {
	f := &flow{img: img, facts: facts, before: make([][]int, len(img.Insns)), seen: make(map[int]bool)}
	for i, ins := range img.Insns {
		for _, next := range following(i, ins) {
			if next >= 0 && next < len(img.Insns) { // what is refused may jump anywhere
				f.before[next] = append(f.before[next], i)
			}
		}
	}
	f.function(0)
	return f.found
}

// flow is the search for outcomes.
type flow struct {
	img    *program.Image
	facts  []verifier.Fact // nil: the program was not verified
	before [][]int         // what may come before each instruction, in its function
	seen   map[int]bool    // functions
	found  []outcome
}

// following is what may come behind an instruction, in its function.
func following(i int, ins isa.Instruction) []int {
	op, class := ins.Op&0xf0, ins.Class()
	switch {
	case ins.IsWide():
		return []int{i + 2}
	case class != isa.ClassJMP && class != isa.ClassJMP32 || op == isa.JmpCALL:
		return []int{i + 1}
	case op == isa.JmpEXIT:
		return nil
	case op == isa.JmpJA && class == isa.ClassJMP32:
		return []int{i + 1 + int(ins.Imm)}
	case op == isa.JmpJA:
		return []int{i + 1 + int(ins.Off)}
	}
	return []int{i + 1, i + 1 + int(ins.Off)}
}

// function adds the results of the function that begins at an instruction.
func (f *flow) function(start int) {
	if f.seen[start] || start < 0 {
		return
	}
	f.seen[start] = true
	end := len(f.img.Insns)
	for _, next := range isa.Functions(f.img.Insns) {
		if next > start {
			end = min(end, next)
		}
	}
	visited := make(map[int]bool)
	for i := start; i < end; i++ {
		ins := f.img.Insns[i]
		switch {
		case !f.reached(i):
		case ins.Op == isa.ClassJMP|isa.JmpEXIT:
			f.back(f.before[i], visited)
		case ins.Op == isa.ClassJMP|isa.JmpJA|isa.SrcX: // through a table, to anywhere
			f.found = append(f.found, outcome{i, nil})
		case ins.IsCall(isa.CallKfunc) && f.img.Kfuncs[i] != nil && f.img.Kfuncs[i].Name == "bpf_throw":
			f.found = append(f.found, outcome{i, nil})
		}
		if ins.IsWide() {
			i++
		}
	}
}

// back looks for what wrote R0, at instructions and before them.
func (f *flow) back(at []int, visited map[int]bool) {
	for _, i := range at {
		if visited[i] || !f.reached(i) {
			continue
		}
		visited[i] = true
		ins := f.img.Insns[i]
		switch reg, writes := ins.Writes(); {
		case !writes || reg != isa.R0:
			f.back(f.before[i], visited)
		case ins.IsCall(isa.CallLocal):
			f.function(i + 1 + int(ins.Imm))
		default:
			f.found = append(f.found, outcome{i, f.number(i)})
		}
	}
}

func (f *flow) reached(i int) bool { return f.facts == nil || f.facts[i].Reached }

// number is what an instruction leaves in the register that it writes.
func (f *flow) number(i int) *scalar.Value {
	if f.facts != nil {
		return f.facts[i].Number
	}
	ins := f.img.Insns[i]
	if ins.Op == isa.ClassALU64|isa.AluMOV || ins.Op == isa.ClassALU|isa.AluMOV {
		v := scalar.Const(uint64(int64(ins.Imm)))
		return &v
	}
	return nil
}

// may reports whether the result can be a number.
func (o *outcome) may(result int32) bool {
	return o.value == nil || o.value.Has(uint64(uint32(result))) || o.value.Has(uint64(int64(result)))
}

// otherwise reports whether the result can be another number than 0.
func (o *outcome) otherwise() bool {
	return o.value == nil || !o.value.IsConst() || o.value.Bits.Value != 0
}

// negative reports whether the result can be an error number.
func (o *outcome) negative() bool { return o.value == nil || o.value.SMin < 0 || o.value.S32Min < 0 }

// results are what a program's results do, by its type.
var results = map[ebpf.ProgramType]map[int32]Ability{
	ebpf.XDP:           {0: Drop, 1: Drop, 3: Redirect, 4: Redirect},
	ebpf.SchedCLS:      {2: Drop, 4: Drop, 5: Drop, 7: Redirect, 8: Drop},
	ebpf.SchedACT:      {2: Drop, 4: Drop, 5: Drop, 7: Redirect, 8: Drop},
	ebpf.SocketFilter:  {0: Drop}, // the socket's copy
	ebpf.CGroupSKB:     {0: Drop, 2: Drop},
	ebpf.LWTIn:         {2: Drop, 7: Redirect},
	ebpf.LWTOut:        {2: Drop, 7: Redirect},
	ebpf.LWTXmit:       {2: Drop, 7: Redirect},
	ebpf.SkSKB:         {0: Drop},
	ebpf.SkMsg:         {0: Drop},
	ebpf.SkLookup:      {0: Drop},
	ebpf.SkReuseport:   {0: Drop},
	ebpf.Netfilter:     {0: Drop},
	ebpf.FlowDissector: {2: Drop},

	ebpf.CGroupSock: {0: Deny}, ebpf.CGroupSockAddr: {0: Deny}, ebpf.CGroupDevice: {0: Deny},
	ebpf.CGroupSysctl: {0: Deny}, ebpf.CGroupSockopt: {0: Deny},
}

// addResults adds what the program's results do.
func (p *Program) addResults(img *program.Image, facts []verifier.Fact) {
	by := results[img.Type]
	if img.Attach == ebpf.AttachSkSKBStreamParser {
		by = nil // its result is a length
	}
	if img.Attach == ebpf.AttachLSMCgroup {
		by = map[int32]Ability{0: Deny}
	}
	var all []int32
	for result := range by {
		all = append(all, result)
	}
	slices.Sort(all)
	typ, _ := progtype.ForAttach(img.Type, img.Attach)
	for _, o := range outcomes(img, facts) {
		if ins := img.Insns[o.insn]; ins.IsCall(isa.CallHelper) && redirects(ins.Imm) {
			continue // what it does is known from the call
		}
		for _, result := range all {
			if o.may(result) {
				p.add(by[result], verdictName(typ, result), o.insn)
			}
		}
		switch {
		case img.Type == ebpf.LSM && img.Attach == ebpf.AttachLSMMac && o.negative():
			p.add(Deny, "a negative result", o.insn)
		case img.Attach == ebpf.AttachModifyReturn && o.otherwise():
			p.add(Override, "a result other than 0", o.insn)
		}
	}
}

// redirects reports whether a helper's result is that a packet goes elsewhere.
func redirects(helper int32) bool {
	h, _ := kernels.HelperByID(uint32(helper))
	return slices.Contains(abilitiesOf()[h.Name], Redirect)
}

// verdictName is what a result is called: "XDP_DROP".
func verdictName(typ *progtype.Type, result int32) string {
	if typ != nil {
		if name := typ.Verdict(uint32(result)); name != "" {
			return name
		}
	}
	return "a result of 0"
}
