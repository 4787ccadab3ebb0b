package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Linux does not count the records that find no room in a ring buffer, tells of those that
// find none in a perf event array when there is room again, and puts what programs print
// into one place for the whole system. So programs whose events are read are changed when
// they are loaded: behind each call that sends a record, a failure adds to a counter, and
// bpf_trace_printk writes to a ring buffer of skep's.

// Names of the maps that this adds.
const (
	lostMap    = "skep_lost"    // an array of one value: a counter of 8 bytes for each source
	printedMap = "skep_printed" // a ring buffer
)

// printedName is what printed texts are called among the sources that lose records.
const printedName = "bpf_printk"

// watch is what programs were changed for.
type watch struct {
	counters []string // what each counter counts: a ring buffer's name, or printedName
	programs []string // by their numbers in printed records
	blind    []string // what is not seen, and why, a sentence each
	silent   bool     // what programs print stays as it is

	listens   bool // all that programs print is overheard: there is no bpf_snprintf
	overhears bool // something is overheard

	lost, printed *ebpf.Map // nil: none is needed
	overhearer    io.Closer // nil: none is needed
}

// load has a spec loaded, with Watch so that its programs say what they print and lose.
// What the kernel does not take so it gets with counters alone, and then as it is, and
// says what it thinks of that.
func (o *Options) load(spec *ebpf.CollectionSpec, load loadSpec) (*ebpf.Collection, *watch, error) {
	host, err := kernels.Host()
	w := &watch{listens: err == nil && host.Version() < kernels.V(5, 13)}
	if o.Watch {
		coll, err := w.load(spec, o, load)
		if err != nil && w.prints() {
			w = &watch{silent: true, blind: []string{fmt.Sprintf("what programs print is not shown: %v", err)}}
			coll, err = w.load(spec, o, load)
		}
		if coll != nil && err == nil {
			return coll, w, nil
		}
		if err != nil {
			w = &watch{blind: []string{fmt.Sprintf("what programs print is not shown, and what finds no room is not counted: %v", err)}}
		}
	}
	coll, err := load(spec, o)
	return coll, w, err
}

// loadSpec loads a spec.
type loadSpec func(*ebpf.CollectionSpec, *Options) (*ebpf.Collection, error)

// prints reports whether programs were changed because they print.
func (w *watch) prints() bool { return slices.Contains(w.counters, printedName) }

// load has the changed spec loaded; nil where there is nothing to change.
func (w *watch) load(spec *ebpf.CollectionSpec, o *Options, load loadSpec) (*ebpf.Collection, error) {
	changed, err := w.change(spec)
	if changed == nil || err != nil {
		return nil, err
	}
	var log bytes.Buffer // of what the user does not know if it is refused
	opts := *o
	if o.Log != nil {
		opts.Log = &log
	}
	coll, err := load(changed, &opts)
	if err != nil {
		return nil, err
	}
	if o.Log != nil {
		if _, err := log.WriteTo(o.Log); err != nil {
			coll.Close()
			return nil, err
		}
	}
	if w.overhears {
		w.overhearer, err = attachRawTracepoint(overheardAt, coll.Programs[overhearing])
		if err = errors.Join(err, coll.DetachProgram(overhearing).Close(), coll.DetachMap(overheardMap).Close()); err != nil {
			coll.Close()
			return nil, err
		}
	}
	w.lost, w.printed = coll.DetachMap(lostMap), coll.DetachMap(printedMap)
	return coll, nil
}

func (w *watch) close() {
	w.lost.Close()
	w.printed.Close()
	if w.overhearer != nil {
		w.overhearer.Close()
	}
}

// count gives a source's counter; 0 where it has none.
func (w *watch) count(name string) (uint64, error) {
	at := slices.Index(w.counters, name)
	if at < 0 || w.lost == nil {
		return 0, nil
	}
	counters, err := w.lost.LookupBytes(uint32(0))
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(counters[8*at:]), nil
}

// counter is the number of a source's counter.
func (w *watch) counter(name string) int {
	at := slices.Index(w.counters, name)
	if at < 0 {
		at = len(w.counters)
		w.counters = append(w.counters, name)
	}
	return at
}

// miss says what is not seen, once.
func (w *watch) miss(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(w.blind, what) {
		w.blind = append(w.blind, what)
	}
}

// change gives a spec whose programs say what they print and lose; nil where there is
// nothing that they would have to say.
func (w *watch) change(spec *ebpf.CollectionSpec) (*ebpf.CollectionSpec, error) {
	to := *spec
	to.Programs, to.Maps = maps.Clone(spec.Programs), maps.Clone(spec.Maps)
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		e := editor{watch: w, spec: spec, program: name, insns: spec.Programs[name].Instructions, subs: make(map[string]asm.Instructions)}
		insns, err := e.edit()
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
		p := spec.Programs[name].Copy()
		p.Instructions = insns
		to.Programs[name] = p
	}
	if len(w.counters) == 0 {
		return nil, nil
	}
	to.Maps[lostMap] = &ebpf.MapSpec{Name: lostMap, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(8 * len(w.counters)), MaxEntries: 1}
	if w.prints() {
		to.Maps[printedMap] = &ebpf.MapSpec{Name: printedMap, Type: ebpf.RingBuf, MaxEntries: printedRing}
	}
	if w.overhears {
		to.Maps[overheardMap] = &ebpf.MapSpec{Name: overheardMap, Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: overheardSize, MaxEntries: 1}
		to.Programs[overhearing] = overhearer()
	}
	return &to, nil
}

// editor changes one program.
type editor struct {
	*watch
	spec    *ebpf.CollectionSpec
	program string
	insns   asm.Instructions
	origins *program.Origins
	checks  map[int]check               // of what bpf_ringbuf_reserve gave, by instruction
	subs    map[string]asm.Instructions // functions that are added, by name
}

func (e *editor) edit() (asm.Instructions, error) {
	e.origins = program.NewOrigins(e.insns)
	e.findChecks()
	insns, err := program.Rewrite(e.insns, e.instead)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(e.subs)) {
		insns = append(insns, e.subs[name]...)
	}
	return insns, nil
}

// instead gives what takes the place of an instruction; nil: it stays.
func (e *editor) instead(i int) asm.Instructions {
	ins := e.insns[i]
	if c, ok := e.checks[i]; ok {
		return e.countNull(i, c)
	}
	if !ins.IsBuiltinCall() {
		return nil
	}
	switch fn := asm.BuiltinFunc(ins.Constant); fn {
	case asm.FnRingbufOutput, asm.FnRingbufReserveDynptr:
		return e.count(i, e.mapOf(i, asm.R1, ebpf.RingBuf))
	case asm.FnPerfEventOutput, asm.FnSkbOutput, asm.FnXdpOutput:
		return e.count(i, e.mapOf(i, asm.R2, ebpf.PerfEventArray))
	case asm.FnTracePrintk, asm.FnTraceVprintk:
		if !e.silent {
			return e.printk(i, fn)
		}
	}
	return nil
}

// count puts behind a call what counts that it failed. The call has left R1 to R5 to
// whoever wants them.
func (e *editor) count(i int, name string) asm.Instructions {
	if name == "" {
		e.uncounted()
		return nil
	}
	add := e.add(name, asm.R1, asm.R2)
	return append(asm.Instructions{e.insns[i], skip(asm.JSGE, asm.R0, add)}, add...)
}

func (e *editor) uncounted() {
	e.miss("what program %s loses is not counted: its instructions do not tell which map it is for, or when", e.program)
}

// skip jumps over instructions where a register compares with 0.
func skip(op asm.JumpOp, reg asm.Register, over asm.Instructions) asm.Instruction {
	ins := op.Imm(reg, 0, "").WithReference("")
	ins.Offset = int16(over.Size() / asm.InstructionSize)
	return ins
}

// add adds one to a counter, with the help of two registers.
func (w *watch) add(name string, at, one asm.Register) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(at, 0, uint32(8*w.counter(name))).WithReference(lostMap),
		asm.Mov.Imm(one, 1),
		asm.AddAtomic.Mem(at, one, asm.DWord, 0),
	}
}

// mapOf is the map that a call is given: the one that its argument comes from, or the only
// one of the type that there is.
func (e *editor) mapOf(i int, arg asm.Register, typ ebpf.MapType) string {
	if from := e.origins.Of(i, arg); from != nil && from.IsLoadFromMap() {
		return from.Reference()
	}
	only := ""
	for name, m := range e.spec.Maps {
		switch {
		case m.InnerMap != nil && m.InnerMap.Type == typ:
			return "" // or one of those in this map
		case m.Type == typ && only != "":
			return ""
		case m.Type == typ:
			only = name
		}
	}
	return only
}

// text gives the constant text that a call's argument points to.
func (e *editor) text(i int, reg asm.Register) (string, bool) {
	from := e.origins.Of(i, reg)
	if from == nil || from.Src != asm.PseudoMapValue {
		return "", false
	}
	m := e.spec.Maps[from.Reference()]
	if m == nil || m.Flags&rdonlyProg == 0 || len(m.Contents) == 0 {
		return "", false
	}
	data, ok := m.Contents[0].Value.([]byte)
	offset := uint64(from.Constant) >> 32
	if !ok || offset >= uint64(len(data)) {
		return "", false
	}
	text, _, ended := strings.Cut(string(data[offset:]), "\x00")
	return text, ended
}

// rdonlyProg is BPF_F_RDONLY_PROG: programs cannot write to the map.
const rdonlyProg = 1 << 7
