package verifier_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// soundRuns is how many runs are followed: SKEP_RUNS, or enough for every day.
func soundRuns(t *testing.T) int {
	n := 10_000
	if s := os.Getenv("SKEP_RUNS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("SKEP_RUNS: %v", err)
		}
	}
	if testing.Short() {
		n = min(n, 1000)
	}
	return n
}

// TestSound runs random programs that are accepted on random inputs, in the checked
// interpreter. No run may end in a fault, and at each instruction what it has must be
// among what the verifier knew ([verifier.Follower]): once as it verifies, and once
// with all numbers kept apart, so that each of a run's numbers must lie in those that
// were proved.
func TestSound(t *testing.T) {
	seed, count := testenv.Seed(t), map[string]int{}
	state, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	for i, runs := 0, soundRuns(t); count["runs"] < runs; i++ {
		inputs := func() *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(i))) }
		p := soundProgram(seed, i)
		wrong := p.wrong(t, state, inputs(), count)
		if wrong == nil {
			continue
		}
		small := p.minimise(func(p *soundCase) bool { return p.wrong(t, state, inputs(), map[string]int{}) != nil })
		t.Errorf("program %d of seed %d: %v\n%s", i, seed, wrong, small)
		if count["wrong"]++; count["wrong"] > 5 {
			t.FailNow()
		}
	}
	t.Log(count)
}

// soundCase is a program to run, those that it tail-calls, and their maps.
type soundCase struct {
	typ     ebpf.ProgramType
	progs   []*edgegen.Program // the first one is run; all have the same maps
	entries []progen.Map       // what maps that hold programs have
}

// soundProgram gives one of the programs of a seed.
func soundProgram(seed uint64, i int) *soundCase {
	if i%8 != 7 {
		return &soundCase{typ: ebpf.SchedCLS, progs: []*edgegen.Program{generated(seed, i)}}
	}
	c := progen.New(seed + uint64(i))
	var specs []*ebpf.MapSpec
	for j := range c.Maps {
		specs = append(specs, c.Maps[j].Spec())
	}
	p := &soundCase{typ: c.Type, entries: c.Maps}
	for _, insns := range c.Progs {
		p.progs = append(p.progs, &edgegen.Program{Insns: insns, Maps: specs})
	}
	return p
}

func (p *soundCase) minimise(holds func(*soundCase) bool) *soundCase {
	small := *p
	for n := range p.progs {
		with := func(q *edgegen.Program) *soundCase {
			c := small
			c.progs = slices.Clone(small.progs)
			c.progs[n] = q
			return &c
		}
		small = *with(minimise(small.progs[n], func(q *edgegen.Program) bool { return holds(with(q)) }))
	}
	return &small
}

func (p *soundCase) String() string {
	var b strings.Builder
	for _, q := range p.progs {
		fmt.Fprintln(&b, listing(q))
	}
	return b.String()
}

// wrong runs the program some times, if it is accepted, and gives what is wrong.
func (p *soundCase) wrong(t *testing.T, state *exec.State, inputs *rand.Rand, count map[string]int) error {
	const runsEach = 10
	s := &subject{soundCase: p}
	if count["programs"]++; !s.walk() {
		return nil
	}
	count["accepted"]++
	if err := s.make(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}()
	for range runsEach {
		outcome, err := s.run(state, inputs)
		if err != nil {
			return err
		}
		count["runs"]++
		count[outcome]++
	}
	count["steps"] += s.steps
	return nil
}

// subject is a case that runs.
type subject struct {
	*soundCase
	walks [2][]*verifier.Walk // of each program; nil: it is not followed
	open  []maps.Map
	run0  *interp.Program
	ids   []uint32 // of the programs, as maps hold them

	facts [2][][]verifier.Fact // of each program: without and with all numbers
	last  struct {             // the instruction before
		prog, insn, depth int
	}
	followers [2]verifier.Follower
	wrong     error // what is wrong with the run
	steps     int
	left      int // how many more steps of the run to follow
}

// walk verifies the programs. It reports whether they are accepted, soon enough.
func (s *subject) walk() bool {
	opts := &verifier.Options{Kernel: "any", Budget: 8000}
	for _, p := range s.progs {
		img := image(p)
		img.Type = s.typ
		w, err := verifier.Record(img, specs(p), opts, false)
		if err != nil {
			return false
		}
		s.walks[0] = append(s.walks[0], w)
		if err := s.prove(img, p, opts); err != nil {
			return false
		}
		if w, err = verifier.Record(img, specs(p), opts, true); err != nil {
			w = nil // it takes too long
		}
		s.walks[1] = append(s.walks[1], w)
	}
	return true
}

// prove asks what each instruction leaves.
func (s *subject) prove(img *program.Image, p *edgegen.Program, opts *verifier.Options) error {
	for i := range s.facts {
		with := *opts
		with.Numbers = i == 1
		res, err := verifier.CheckImage(img, specs(p), &with)
		if err != nil {
			return err
		}
		s.facts[i] = append(s.facts[i], res.Facts)
	}
	return nil
}

// holdsTo says what of the last instruction's result is not as it was proved.
func (s *subject) holdsTo(n int, step interp.Step) error {
	last := s.last
	s.last.prog, s.last.insn, s.last.depth = n, step.Insn, step.Depth
	if last.prog != n || last.depth != step.Depth || last.insn < 0 {
		return nil // another frame
	}
	reg, ok := s.progs[n].Insns[last.insn].Writes()
	if !ok {
		return nil
	}
	v, _ := step.Reg(step.Depth, reg)
	for i := range s.facts {
		if proved := s.facts[i][n][last.insn].Number; proved != nil && !proved.Has(v) {
			return fmt.Errorf("instruction %d leaves %#x in R%d, and was proved to leave %+v", last.insn, v, reg, *proved)
		}
	}
	return nil
}

// kernelTypes describe the structures behind maps. Where they are not known, no
// program that reads one is accepted.
var kernelTypes = sync.OnceValues(btf.LoadKernelSpec)

// make makes the maps and compiles the programs.
func (s *subject) make() error {
	for _, spec := range s.progs[0].Maps {
		m, err := maps.New(spec, 1)
		if err != nil {
			return err
		}
		s.open = append(s.open, m)
	}
	typ, err := progtype.Get(s.typ)
	if err != nil {
		return err
	}
	for n, p := range s.progs {
		c, err := interp.Compile(&interp.Input{
			Name: fmt.Sprint("program ", n), Type: typ, Insns: p.Insns, Maps: s.open,
			KernelTypes: kernelTypes,
			Trace:       func(step interp.Step) { s.follow(n, step) },
		})
		if err != nil {
			return err
		}
		if n == 0 {
			s.run0 = c
		}
		s.ids = append(s.ids, maps.RegisterProg(c))
	}
	return nil
}

func (s *subject) close() (err error) {
	for _, id := range s.ids {
		maps.UnregisterProg(id)
	}
	for _, m := range s.open {
		err = errors.Join(err, m.Close())
	}
	return err
}

// follow goes one step on.
func (s *subject) follow(n int, step interp.Step) {
	s.steps++
	if s.left--; s.left < 0 {
		return
	}
	if err := s.holdsTo(n, step); err != nil && s.wrong == nil {
		s.wrong = err
	}
	at := verifier.RunStep{Insn: step.Insn, Depth: step.Depth, Base: step.Base, State: step.State, Frames: step}
	for k := range s.followers {
		if w := s.walks[k][n]; w != nil && s.wrong == nil {
			if err := s.followers[k].Step(w, at); err != nil {
				s.wrong = fmt.Errorf("every number %t: %w", k == 1, err)
			}
		}
	}
}

// run runs the program once on random inputs.
func (s *subject) run(state *exec.State, r *rand.Rand) (outcome string, err error) {
	in := &inputs{r, s.progs[0].Insns}
	if err := s.fill(in); err != nil {
		return "", err
	}
	typ, err := progtype.Get(s.typ)
	if err != nil {
		return "", err
	}
	data := in.bytes(14 + r.IntN([]int{2, 64, 200}[r.IntN(3)]))
	data[12] = 0 // no IP, which a test run wants to be complete
	if err := typ.Setup(state, &progtype.Input{Data: data}); err != nil {
		return "", err
	}
	if typ.Prog != ebpf.XDP {
		c := progtype.SKB(state)
		c.Mark, c.Priority, c.Hash, c.Ingress = in.number32(), in.number32(), in.number32(), in.number32()
		c.TCIndex, c.QueueMapping, c.Protocol = uint16(in.number32()), uint16(in.number32()), uint16(in.number32())
		copy(c.CB[:], in.bytes(len(c.CB)))
	}
	state.Env = &exec.Env{Rand: in.number32}
	state.Budget, s.left = 5000, 5000
	if s.walks[0][0].Summarised() { // whose loops are known to end, be it late
		state.Budget = 1 << 27 // a loop may turn 1<<23 times
	}
	s.followers, s.wrong, s.last.insn = [2]verifier.Follower{}, nil, -1
	_, err = s.run0.Run(state, interp.Checked)
	switch {
	case s.wrong != nil:
		return "", s.wrong
	case errors.Is(err, interp.ErrBudget) && !s.walks[0][0].Summarised():
		return "long", nil
	}
	return "ended", err
}

// fill gives the maps contents.
func (s *subject) fill(in *inputs) error {
	for n, m := range s.open {
		info := m.Info()
		put := func(key []byte) error {
			return m.UserUpdate(key, in.bytes(info.ValueSizeUnder(0)), 0)
		}
		var err error
		switch info.Type {
		case ebpf.Array, ebpf.PerCPUArray:
			for i := range info.MaxEntries {
				err = errors.Join(err, put(binary.LittleEndian.AppendUint32(nil, i)))
			}
		case ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash:
			for range 4 {
				key := make([]byte, info.KeySize)
				key[0] = byte(in.IntN(4))
				if put(key) != nil {
					break // full
				}
			}
		case ebpf.ProgramArray:
			for _, e := range s.entries[n].Entries {
				err = errors.Join(err, m.UserUpdate(e.Key, binary.LittleEndian.AppendUint32(nil, s.ids[e.Value[0]]), 0))
			}
		}
		if err != nil {
			return fmt.Errorf("fill map %s: %w", info.Name, err)
		}
	}
	return nil
}

// inputs gives what a program reads: mostly numbers that matter to one.
type inputs struct {
	*rand.Rand
	insns []isa.Instruction
}

func (in *inputs) number() uint64 {
	switch in.IntN(8) {
	case 0:
		return in.Uint64()
	case 1:
		return 1 << in.IntN(64)
	case 2:
		return 1<<in.IntN(64) - 1
	case 3:
		return -uint64(in.IntN(64))
	case 4:
		return uint64(in.IntN(64))
	case 5:
		return uint64(in.Uint32())
	}
	return uint64(int64(in.insns[in.IntN(len(in.insns))].Imm)) + uint64(in.IntN(3)) - 1
}

func (in *inputs) number32() uint32 { return uint32(in.number()) }

func (in *inputs) bytes(n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, in.number())
	}
	return b[:n]
}
