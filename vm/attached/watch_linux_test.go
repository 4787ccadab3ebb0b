package attached

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
	"github.com/skep-ebpf/skep/vm/world"
)

// A watcher is a program that notes all that a type with a context of linux/bpf.h
// sees: the fields of its context, those of the socket that it leads to, the beginning
// of its packet, and what helpers give.
type watcher struct {
	prog    ebpf.ProgramType
	attach  ebpf.AttachType
	asks    []ask
	stores  []store // at the end, in this order
	poke    []byte  // what it writes over the beginning of its packet
	returns int32
}

// An ask is a call of a helper, with the context in R6. What it gives is noted, and
// what it leaves in the 8 bytes at R10-8, which are 0 before.
type ask struct {
	name string
	call asm.Instructions
}

// A store is a number that the program writes to a field.
type store struct {
	field string
	value int64
}

// A note is what one run saw: numbers by their names, and bytes of the packet.
type note struct {
	Words  map[string]uint64
	Packet []byte
}

const (
	maxNotes = 24 // runs
	notePage = 64 // bytes of the packet
)

// socketFields are those of struct bpf_sock.
var socketFields = []struct {
	name string
	off  int16
	size asm.Size
}{
	{"bound_dev_if", 0, asm.Word}, {"family", 4, asm.Word}, {"type", 8, asm.Word}, {"protocol", 12, asm.Word},
	{"mark", 16, asm.Word}, {"priority", 20, asm.Word}, {"src_ip4", 24, asm.Word},
	{"src_ip6[0]", 28, asm.Word}, {"src_ip6[1]", 32, asm.Word}, {"src_ip6[2]", 36, asm.Word}, {"src_ip6[3]", 40, asm.Word},
	{"src_port", 44, asm.Word}, {"dst_port", 48, asm.Half}, {"dst_ip4", 52, asm.Word},
	{"dst_ip6[0]", 56, asm.Word}, {"dst_ip6[1]", 60, asm.Word}, {"dst_ip6[2]", 64, asm.Word}, {"dst_ip6[3]", 68, asm.Word},
	{"state", 72, asm.Word}, {"rx_queue_mapping", 76, asm.Word},
}

// widths are the sizes of accesses.
var widths = map[uint16]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word, 8: asm.DWord}

func (w *watcher) typ(t *testing.T) *progtype.Type {
	t.Helper()
	typ, err := progtype.ForAttach(w.prog, w.attach)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// spec is the program for the running kernel, with the names of what it notes.
func (w *watcher) spec(t *testing.T) (*ebpf.CollectionSpec, []string) {
	t.Helper()
	typ := w.typ(t)
	host, err := kernels.Host()
	if err != nil {
		t.Skipf("the running kernel is not known: %v", err)
	}
	has := func(structure, field string) bool {
		_, ok := host.ContextField(structure, field)
		return ok
	}
	var names []string
	page := int16(8) // where what is noted begins, behind how much of the packet there is
	var insns asm.Instructions
	put := func(name string, r asm.Register) {
		if strings.HasSuffix(name, "rx_queue_mapping") { // of which Linux gives 64 bits where it is -1
			insns = append(insns, asm.Mov.Reg32(r, r))
		}
		insns = append(insns, asm.StoreMem(asm.R7, page+int16(8*len(names)), r, asm.DWord))
		names = append(names, name)
	}
	var packet, packetEnd, sk *progtype.Field
	for i := range typ.Fields {
		f := &typ.Fields[i]
		if !has(typ.CtxName, f.Name) {
			continue
		}
		switch {
		case f.Kind == progtype.PacketPtr:
			packet = f
		case f.Kind == progtype.PacketEnd:
			packetEnd = f
		case f.Name == "sk":
			sk = f
		case f.Kind == progtype.Scalar && f.Size <= 8 && !slices.Contains(names, f.Name):
			insns = append(insns, asm.LoadMem(asm.R2, asm.R6, int16(f.Off), widths[f.Size]))
			put(f.Name, asm.R2)
		}
	}
	for _, a := range w.asks {
		insns = append(insns, asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord))
		insns = append(insns, a.call...)
		put(a.name, asm.R0)
		insns = append(insns, asm.LoadMem(asm.R1, asm.RFP, -8, asm.DWord))
		put(a.name+" left", asm.R1)
	}
	if sk != nil {
		insns = append(insns, asm.LoadMem(asm.R1, asm.R6, int16(sk.Off), asm.DWord), asm.JEq.Imm(asm.R1, 0, "packet"))
		if typ.CtxName == "struct __sk_buff" {
			insns = append(insns, asm.FnSkFullsock.Call(), asm.JEq.Imm(asm.R0, 0, "packet"), asm.Mov.Reg(asm.R1, asm.R0))
		}
		for _, f := range socketFields {
			if has("struct bpf_sock", f.name) {
				insns = append(insns, asm.LoadMem(asm.R2, asm.R1, f.off, f.size))
				put("sk."+f.name, asm.R2)
			}
		}
	}
	insns = append(insns, asm.Mov.Imm(asm.R2, 0).WithSymbol("packet"))
	if packet != nil {
		at := page + int16(8*len(names))
		insns = append(insns,
			asm.LoadMem(asm.R8, asm.R6, int16(packet.Off), widths[packet.Size]),
			asm.LoadMem(asm.R9, asm.R6, int16(packetEnd.Off), widths[packetEnd.Size]))
		for i := range int16(notePage) {
			insns = append(insns,
				asm.Mov.Reg(asm.R3, asm.R8), asm.Add.Imm(asm.R3, int32(i+1)), asm.JGT.Reg(asm.R3, asm.R9, "seen"),
				asm.LoadMem(asm.R2, asm.R8, i, asm.Byte), asm.StoreMem(asm.R7, at+i, asm.R2, asm.Byte),
				asm.Mov.Imm(asm.R2, int32(i+1)), asm.StoreMem(asm.R7, 0, asm.R2, asm.DWord))
		}
	}
	insns = append(insns, asm.Mov.Imm(asm.R2, 0).WithSymbol("seen"))
	if len(w.poke) > 0 {
		insns = append(insns, asm.Mov.Reg(asm.R3, asm.R8), asm.Add.Imm(asm.R3, int32(len(w.poke))), asm.JGT.Reg(asm.R3, asm.R9, "end"))
		for i, b := range w.poke {
			insns = append(insns, asm.StoreImm(asm.R8, int16(i), int64(b), asm.Byte))
		}
	}
	for _, s := range w.stores {
		f := fieldOf(t, typ, s.field)
		insns = append(insns, asm.LoadImm(asm.R2, s.value, asm.DWord), asm.StoreMem(asm.R6, int16(f.Off), asm.R2, widths[f.Size]))
	}
	begin := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R1, 0, 0).WithReference("runs"),
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.StoreMem(asm.RFP, -8, asm.R2, asm.Word),
		asm.Add.Imm(asm.R2, 1), asm.StoreMem(asm.R1, 0, asm.R2, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference("notes"),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"), asm.Mov.Reg(asm.R7, asm.R0),
	}
	end := asm.Instructions{asm.Mov.Imm(asm.R0, w.returns).WithSymbol("end"), asm.Return()}
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"runs":  {Name: "runs", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
			"notes": {Name: "notes", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(8 + 8*len(names) + notePage), MaxEntries: maxNotes},
		},
		Programs: map[string]*ebpf.ProgramSpec{"watch": {
			Name: "watch", Type: w.prog, AttachType: w.attach, License: "GPL", Instructions: slices.Concat(begin, insns, end),
		}},
	}, names
}

// fieldOf is a field by its name, or the first one of an array.
func fieldOf(t *testing.T, typ *progtype.Type, name string) *progtype.Field {
	t.Helper()
	for i := range typ.Fields {
		if f := &typ.Fields[i]; f.Name == name || f.Name == name+"[0]" {
			return f
		}
	}
	t.Fatalf("%s has no field %s", typ.CtxName, name)
	return nil
}

// table is a map on either machine.
type table interface {
	Lookup(key, valueOut any) error
}

// read gives what a watcher noted, a note for each run.
func read(t *testing.T, runs, notes table, names []string) []note {
	t.Helper()
	var n uint64
	if err := runs.Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	if n > maxNotes {
		t.Fatalf("the program ran %d times, %d are noted", n, maxNotes)
	}
	all := make([]note, n)
	for i := range all {
		b := make([]byte, 8+8*len(names)+notePage)
		if err := notes.Lookup(uint32(i), &b); err != nil {
			t.Fatal(err)
		}
		all[i].Words = map[string]uint64{}
		for j, name := range names {
			all[i].Words[name] = binary.NativeEndian.Uint64(b[8+8*j:])
		}
		all[i].Packet = b[8+8*len(names):][:binary.NativeEndian.Uint64(b)]
	}
	return all
}

// inLinux loads the watcher into Linux, has it attached while something happens,
// and gives what it saw.
func (w *watcher) inLinux(t *testing.T, attach func(*ebpf.Program) (io.Closer, error), happens func()) []note {
	t.Helper()
	testenv.Kernel(t)
	spec, names := w.spec(t)
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Skipf("the running kernel does not take the program: %v", err)
	}
	defer coll.Close()
	attached, err := attach(coll.Programs["watch"])
	if err != nil {
		t.Skipf("the running kernel does not attach the program (make vm runs kernels that do): %v", err)
	}
	happens()
	if err := attached.Close(); err != nil {
		t.Error(err)
	}
	return read(t, coll.Maps["runs"], coll.Maps["notes"], names)
}

// An event is what a run of the machine begins with.
type event struct {
	fields map[string]any // of the context, as a file has them
	data   []byte
	world  *world.Description
	trace  exec.Trace
}

// inMachine runs the watcher on an event, and gives what it saw, its result, and the
// context as it left it.
func (w *watcher) inMachine(t *testing.T, e *event) (note, *vm.Output) {
	t.Helper()
	spec, names := w.spec(t)
	text := []byte("{}")
	var err error
	if e.fields != nil {
		text, err = json.Marshal(e.fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx := describe(t, spec.Programs["watch"], string(text))
	env := new(exec.Env)
	if e.world != nil {
		made, err := world.New(e.world)
		if err != nil {
			t.Fatal(err)
		}
		made.Into(env)
	}
	coll := inMachine(t, spec, env)
	out := vm.Output{Ctx: bytes.Clone(ctx.Ctx)}
	if err := coll.Programs["watch"].Exec(t.Context(), &vm.Input{Ctx: ctx.Ctx, Data: e.data, Trace: e.trace}, &out); err != nil {
		t.Fatalf("%v, of context\n%s", err, text)
	}
	return read(t, coll.Maps["runs"], coll.Maps["notes"], names)[0], &out
}

// same compares two notes, without those words that are not the same in any two runs.
func same(t *testing.T, linux, machine note, but ...string) {
	t.Helper()
	for _, n := range []*note{&linux, &machine} {
		n.Words = maps.Clone(n.Words)
		for _, name := range but {
			delete(n.Words, name)
		}
	}
	if diff := cmp.Diff(linux, machine); diff != "" {
		t.Errorf("kernel - / machine +\n%s", diff)
	}
}

// holds requires words of a note to be numbers that the test knows.
func (n *note) holds(t *testing.T, want map[string]uint64) {
	t.Helper()
	for name, v := range want {
		got, ok := n.Words[name]
		if !ok || got != v {
			t.Errorf("%s is %s in Linux, the test did %#x", name, map[bool]string{true: fmt.Sprintf("%#x", got), false: "missing"}[ok], v)
		}
	}
}
