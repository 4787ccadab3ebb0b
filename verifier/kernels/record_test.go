package kernels

import (
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
)

// How testdata was made, for 5.10, 6.1, 6.12 and 7.2, and without -exec for 6.18:
//
//	go test -exec 'kernelvm -kernel 6.12' . -run TestRecord$ -v -record -
//
// of which the lines that begin with helpers, gpl, map, kfunc and calls are kept.
var record = flag.String("record", "", "file to write what the running kernel accepts to; - is standard output")

// TestRecord writes what the running kernel says to a file: a line for each kind
// of programs with the set of helpers it may call, in hexadecimal, bit n for
// helper n; for each type of maps with the flags it takes; the kernel functions;
// and for some kinds of programs the set of those they may call, bit n for the nth
// function.
func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("records with -record FILE only")
	}
	w := os.Stdout
	if *record != "-" {
		var err error
		if w, err = os.Create(*record); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	recordKinds(t, w, types)
	recordMaps(t, w)
	recordKfuncs(t, w, types)
}

func recordKinds(t *testing.T, w io.Writer, types *btf.Spec) {
	var gpl big.Int
	for _, k := range kinds() {
		if err := k.prepare(types); err != nil {
			unanswered(t, k, err)
			continue
		}
		var offered big.Int
		for _, h := range Helpers() {
			can, wants := k.call(h.ID)
			if can {
				offered.SetBit(&offered, int(h.ID), 1)
			}
			if wants {
				gpl.SetBit(&gpl, int(h.ID), 1)
			}
		}
		fmt.Fprintf(w, "helpers %v %x\n", k, &offered)
	}
	fmt.Fprintf(w, "gpl %x\n", &gpl)
}

func recordKfuncs(t *testing.T, w io.Writer, types *btf.Spec) {
	names := slices.Collect(kfuncsIn(types))
	for _, f := range Kfuncs() {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	var ids []btf.TypeID
	for _, name := range slices.Compact(names) {
		var f *btf.Func
		if err := types.TypeByName(name, &f); err != nil {
			continue // not in this kernel, or in a module
		}
		id, err := types.TypeID(f)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		fmt.Fprintf(w, "kfunc %s\n", name)
	}
	asked := map[ebpf.ProgramType]bool{}
	for _, k := range kinds() {
		if asked[k.prog] && !narrowed[k.String()] || k.prepare(types) != nil {
			continue
		}
		asked[k.prog] = true
		var called big.Int
		for i, id := range ids {
			if k.callKfunc(id) {
				called.SetBit(&called, i, 1)
			}
		}
		fmt.Fprintf(w, "calls %v %x\n", k, &called)
	}
}

// narrowed are the kinds of programs that may call functions which others of their
// types may not.
var narrowed = map[string]bool{
	"kprobe/trace_kprobe_session": true, "kprobe/trace_uprobe_session": true, "tracing/trace_iter": true,
	"tracing/trace_fsession": true,
}

// kinds are all kinds of programs that the tables know.
func kinds() []kind {
	t := progs()
	var all []kind
	for _, p := range t.progs {
		attaches := []ebpf.AttachType{0}
		for a, us := range t.attachUses {
			if a != 0 && slices.ContainsFunc(us, func(u User) bool { return u.Prog == p }) {
				attaches = append(attaches, a)
			}
		}
		for _, a := range attaches {
			all = append(all, kind{prog: p, attach: a}, kind{prog: p, attach: a, sleepable: true})
		}
	}
	slices.SortFunc(all, func(a, b kind) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func recordMaps(t *testing.T, w io.Writer) {
	var names []string
	for name := range mapTypes().names {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		spec := mapSpec(mapTypes().names[name])
		flags := spec.Flags
		if err := create(spec, 0); err != nil {
			unanswered(t, name, err)
			continue
		}
		for bit := uint32(1); bit < 1<<24; bit <<= 1 {
			if create(spec, bit) == nil {
				flags |= bit
			}
		}
		fmt.Fprintf(w, "map %s %x\n", name, flags)
	}
}

// Map types that came after the library's.
const (
	insnArray ebpf.MapType = 34
	rhash     ebpf.MapType = 35
)

// mapSpec is a map that Linux creates.
func mapSpec(typ ebpf.MapType) *ebpf.MapSpec {
	spec := &ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	switch typ {
	case ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.LRUCPUHash:
		spec.ValueSize = 8
	case ebpf.StackTrace:
		spec.ValueSize = 32
	case insnArray:
		spec.ValueSize = 16
	case ebpf.LPMTrie:
		spec.KeySize, spec.Flags = 8, 1 // BPF_F_NO_PREALLOC
	case rhash:
		spec.Flags = 1
	case ebpf.ArrayOfMaps, ebpf.HashOfMaps:
		spec.InnerMap = &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	case ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage:
		spec.KeySize, spec.ValueSize, spec.MaxEntries = 16, 8, 0
	case ebpf.Queue, ebpf.Stack, ebpf.BloomFilter:
		spec.KeySize = 0
	case ebpf.RingBuf, ebpf.UserRingbuf:
		spec.KeySize, spec.ValueSize, spec.MaxEntries = 0, 0, uint32(os.Getpagesize())
	case ebpf.Arena:
		spec.KeySize, spec.ValueSize, spec.Flags = 0, 0, 1<<10 // BPF_F_MMAPABLE
	case ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage:
		i := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
		spec.Key, spec.Value, spec.MaxEntries, spec.Flags = i, i, 0, 1
	}
	return spec
}

func create(spec *ebpf.MapSpec, flags uint32) error {
	spec = spec.Copy()
	spec.Flags |= flags
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return err
	}
	return m.Close()
}

// unanswered tells, in a recording, what the kernel could not be asked.
func unanswered(t *testing.T, of any, err error) {
	if *record != "" {
		t.Logf("%v: %v", of, err)
	}
}
