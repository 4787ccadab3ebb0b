package progen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// gen is a case being generated.
type gen struct {
	rand  *rand.Rand
	c     *Case
	funcs []*function // of the program being generated; the entry is funcs[0]
	f     *function   // being written

	held  regs // registers that hold no number at the moment
	depth int  // of blocks within blocks
	forks int  // branches that the function may still have
	tail  bool // the program is one that others tail-call

	bytesPassed int // size of the memory that an argument points to
}

// Types are the program types that cases are generated for.
var Types = []ebpf.ProgramType{ebpf.XDP, ebpf.SchedCLS, ebpf.SocketFilter}

// New generates the case of a seed.
func New(seed uint64) *Case {
	g := &gen{rand: rand.New(rand.NewPCG(seed, 0)), c: &Case{Seed: seed}}
	g.c.Type = pick(g, Types)
	g.input()
	g.c.Progs = append(g.c.Progs, nil) // main; tail-called ones are generated on demand
	g.c.Progs[0] = g.program(4 + g.rand.IntN(20))
	return g.c
}

// program generates the entry function of n statements, and what it calls.
func (g *gen) program(n int) []isa.Instruction {
	outer := *g
	g.funcs, g.held, g.depth = nil, 0, 0
	g.function(baseCtx, 0, n)
	insns := link(g.funcs)
	g.funcs, g.f, g.held, g.depth, g.forks, g.tail = outer.funcs, outer.f, outer.held, outer.depth, outer.forks, outer.tail
	return insns
}

// statement writes a piece of a program and keeps the package's rule.
type statement struct {
	name   string
	weight int
	emit   func(*gen)
	// forks is how many branches it adds for the verifier to follow.
	forks int
	// block says that it holds other statements.
	block bool
	// where tells the places that it may stand in; nil: everywhere.
	where func(*gen) bool
}

// statements is set by init, as emitters refer to it.
var statements []statement

func init() {
	statements = []statement{
		{name: "alu", weight: 30, emit: (*gen).alu},
		{name: "neg", weight: 2, emit: (*gen).neg},
		{name: "end", weight: 3, emit: (*gen).end},
		{name: "movsx", weight: 4, emit: (*gen).movsx},
		{name: "lddw", weight: 2, emit: (*gen).lddw},
		{name: "stack", weight: 14, emit: (*gen).stack},
		{name: "if", weight: 8, emit: (*gen).ifElse, forks: 1, block: true},
		{name: "loop", weight: 2, emit: (*gen).loop, forks: 1, block: true},
		{name: "may_goto", weight: 1, emit: (*gen).mayGoto, forks: 3, block: true},
		{name: "zigzag", weight: 1, emit: (*gen).zigzag, block: true},
		{name: "call", weight: 4, emit: (*gen).call, forks: 1, where: canCall},
		{name: "bpf_loop", weight: 2, emit: (*gen).bpfLoop, forks: 3, where: canCall},
		{name: "tail call", weight: 2, emit: (*gen).tailCall, forks: 1, where: canTailCall},
		{name: "argument", weight: 6, emit: (*gen).argument, where: hasMem},
		{name: "global", weight: 4, emit: (*gen).global},
		{name: "map lookup", weight: 7, emit: (*gen).mapLookup, forks: 1},
		{name: "map update", weight: 4, emit: (*gen).mapUpdate},
		{name: "map delete", weight: 2, emit: (*gen).mapDelete},
		{name: "queue", weight: 2, emit: (*gen).queue},
		{name: "packet", weight: 8, emit: (*gen).packet, forks: 1, where: hasDirectPacket},
		{name: "ld_abs", weight: 3, emit: (*gen).loadLegacy, where: hasLegacyPacket},
		{name: "context", weight: 4, emit: (*gen).context, where: hasCtx},
		{name: "helper", weight: 14, emit: (*gen).helper},
	}
}

// block writes n statements.
func (g *gen) block(n int) {
	g.depth++
	for range n {
		g.choose().emit(g)
	}
	g.depth--
}

// Limits on what the verifier has to follow.
const (
	maxDepth     = 3
	forksInMain  = 14
	forksInOther = 3
)

// choose picks a statement that may stand here.
func (g *gen) choose() *statement {
	total := 0
	ok := func(s *statement) bool {
		return s.forks <= g.forks && (!s.block || g.depth < maxDepth) && (s.where == nil || s.where(g))
	}
	for i := range statements {
		if ok(&statements[i]) {
			total += statements[i].weight
		}
	}
	n := g.rand.IntN(total)
	for i := range statements {
		s := &statements[i]
		if !ok(s) {
			continue
		}
		if n -= s.weight; n < 0 {
			g.forks -= s.forks
			return s
		}
	}
	panic("unreachable: weights do not add up")
}
