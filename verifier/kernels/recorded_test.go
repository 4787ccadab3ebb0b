package kernels

import (
	"bytes"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestRecorded holds the tables against what kernels said ([TestRecord]).
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/linux-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no recordings: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "linux-"), ".txt")
		t.Run(name, func(t *testing.T) { compare(t, name, string(text)) })
	}
}

// TestLikeTheKernel holds the tables against the running kernel.
func TestLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Skip(err)
	}
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	v, err := running()
	if err != nil {
		t.Fatal(err)
	}
	if !released(v) {
		t.Skipf("there are no facts about Linux %s", v)
	}
	var text bytes.Buffer
	recordKinds(t, &text, types)
	recordMaps(t, &text)
	recordKfuncs(t, &text, types)
	compare(t, v.String(), text.String())
}

// compare holds the tables against a recording of a kernel.
func compare(t *testing.T, version, text string) {
	k, err := Get(version)
	if err != nil {
		t.Fatal(err)
	}
	var kfuncs []string
	called := map[kind]*big.Int{}  // of kfuncs, by their order
	offered := map[kind]*big.Int{} // sleepable or not, by prog and attach
	for line := range strings.Lines(text) {
		columns := strings.Fields(line)
		switch columns[0] {
		case "helpers":
			of, set := parseKind(t, columns[1]), parseSet(t, columns[2])
			if of.sleepable {
				if _, ok := k.Sleepable(of.prog, of.attach); !ok {
					t.Errorf("%v: not in the tables", of)
				}
			}
			if _, ok := k.AttachType(of.prog, of.attach); !ok {
				t.Errorf("%v: not in the tables", of)
			}
			if other := offered[kind{prog: of.prog, attach: of.attach}]; other != nil {
				set.Or(set, other)
			}
			offered[kind{prog: of.prog, attach: of.attach}] = set
		case "gpl":
			compareLicences(t, parseSet(t, columns[1]))
		case "map":
			compareFlags(t, k, columns[1], columns[2])
		case "kfunc":
			kfuncs = append(kfuncs, columns[1])
		case "calls":
			called[parseKind(t, columns[1])] = parseSet(t, columns[2])
		}
	}
	compareKfuncs(t, k, kfuncs, called)
	for of, set := range offered {
		for _, h := range Helpers() {
			since, ok := k.Helper(of.prog, of.attach, h.ID)
			if ok != (set.Bit(int(h.ID)) == 1) && !configured[h.Name] && !(asleep[h.Name] && k.version < V(6, 2)) {
				t.Errorf("%s in %v: the table says %v (since %v), the kernel does not", h.Name, of, ok, since)
			}
		}
	}
}

// configured are helpers that depend on how the kernel was built or started.
var configured = map[string]bool{"bpf_override_return": true, "bpf_probe_write_user": true}

// asleep are helpers that programs that may not sleep did not have once: now they
// have them and may not call them.
var asleep = map[string]bool{"bpf_copy_from_user": true, "bpf_copy_from_user_task": true}

func compareLicences(t *testing.T, gpl *big.Int) {
	for _, h := range Helpers() {
		if gpl.Bit(int(h.ID)) == 1 && !h.GPL {
			t.Errorf("%s: the kernel keeps it for the GPL, the table does not", h.Name)
		}
	}
}

func compareFlags(t *testing.T, k *Kernel, name, flags string) {
	typ, takes := mapTypes().names[name], parseSet(t, flags)
	if _, ok := k.MapType(typ); !ok {
		t.Errorf("map %s: not in the tables", name)
	}
	for bit, flag := range mapFlagNames {
		if _, ok := k.MapFlags(typ, 1<<bit); ok != (takes.Bit(bit) == 1) && !foreign[flag] {
			t.Errorf("map %s with %s: the table says %v, the kernel does not", name, flag, ok)
		}
	}
}

// foreign are flags that mean nothing without what comes with them: a path, a
// token, another type.
var foreign = map[string]bool{"path_fd": true, "token_fd": true, "vtype_btf_obj_fd": true, "link": true}

// compareKfuncs takes the sets of named kernel functions that kinds of programs may
// call. Those of type StructOps may call what suits the operations they implement.
func compareKfuncs(t *testing.T, k *Kernel, names []string, called map[kind]*big.Int) {
	var built big.Int // the functions that any may call: others are not in this kernel
	for _, set := range called {
		built.Or(&built, set)
	}
	for of, set := range called {
		for i, name := range names {
			if built.Bit(i) == 0 || strings.HasPrefix(name, "bpf_kfunc_call_") || strings.HasPrefix(name, "bpf_xdp_metadata_") {
				continue // the last are for Linux's tests, and for programs bound to a device
			}
			since, ok := k.Kfunc(of.prog, of.attach, name)
			if may := set.Bit(i) == 1; may != ok && (may || of.prog != ebpf.StructOps) {
				t.Errorf("%s in %v: the table says %v (since %v), the kernel does not", name, of, ok, since)
			}
		}
	}
}

func parseKind(t *testing.T, text string) kind {
	name, sleepable := strings.CutSuffix(text, "+sleepable")
	prog, attach, _ := strings.Cut(name, "/")
	p, ok := progs().progs[prog]
	a, known := progs().attaches[attach]
	if !ok || attach != "" && !known {
		t.Fatalf("%s: no such kind of programs", text)
	}
	return kind{prog: p, attach: a, sleepable: sleepable}
}

func parseSet(t *testing.T, text string) *big.Int {
	set, ok := new(big.Int).SetString(text, 16)
	if !ok {
		t.Fatalf("%s: %v", text, strconv.ErrSyntax)
	}
	return set
}
