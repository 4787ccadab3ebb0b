package program

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
)

// kernelTypes reads a kernel's types from the external data.
func kernelTypes(t *testing.T, kernel string) *btf.Spec {
	t.Helper()
	path := filepath.Join(testenv.Data(t, "btf"), kernel+".btf.xz")
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("kernels' types are compressed, and there is no xz to decompress them")
	}
	raw, err := exec.Command("xz", "-dc", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	types, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return types
}

func structOf(t *testing.T, types *btf.Spec, name string) *btf.Struct {
	t.Helper()
	var s *btf.Struct
	if err := types.TypeByName(name, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func memberOf(t *testing.T, s *btf.Struct, name string) btf.Member {
	t.Helper()
	for _, m := range s.Members {
		if m.Name == name {
			return m
		}
		if inner, ok := btf.UnderlyingType(m.Type).(*btf.Struct); ok && m.Name == "" {
			for _, im := range inner.Members {
				if im.Name == name {
					im.Offset += m.Offset
					return im
				}
			}
		}
	}
	t.Fatalf("struct %s has no %s", s.Name, name)
	return btf.Member{}
}

// immediates gives what moves and loads put into registers, in their order.
func immediates(img *Image) []int64 {
	var imms []int64
	for i, ins := range img.Insns {
		switch {
		case ins.IsWide():
			imms = append(imms, int64(img.Insns[i+1].Imm)<<32|int64(uint32(ins.Imm)))
		case ins.Op == isa.ClassALU64|isa.AluMOV|isa.SrcK, ins.Op == isa.ClassALU|isa.AluMOV|isa.SrcK:
			imms = append(imms, int64(ins.Imm))
		}
	}
	return imms
}

// TestRelocateTypes holds each kind of relocation against kernels' own types.
func TestRelocateTypes(t *testing.T) {
	spec := open(t, "core.o").Spec
	for _, kernel := range []string{"5.10", "6.1", "6.12", "6.18", "7.2", "7.2-arm64"} {
		t.Run(kernel, func(t *testing.T) {
			types := kernelTypes(t, kernel)
			task := structOf(t, types, "task_struct")
			head := structOf(t, types, "list_head")
			headID, err := types.TypeID(head)
			if err != nil {
				t.Fatal(err)
			}
			localID, err := spec.Types.TypeID(structOf(t, spec.Types, "list_head"))
			if err != nil {
				t.Fatal(err)
			}
			tests := map[string][]int64{
				// offset of tgid, size of comm, signedness of pid
				"fields": {int64(memberOf(t, task, "tgid").Offset.Bytes()), 16, 1},
				// size and existence; the order is the compiler's
				"types":   {int64(head.Size), 0, 1},
				"exists":  {0, 1},
				"matches": {1, 1},
				"enums":   {0, 1, 27},
				"ids":     {int64(localID), int64(headID)},
			}
			for prog, want := range tests {
				img := link(t, spec, prog, &LinkOptions{KernelTypes: types})
				got := immediates(img)
				if prog == "fields" {
					want = slices.Sorted(slices.Values(want))
				}
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", prog, diff)
				}
				if len(img.Poisoned) > 0 {
					t.Errorf("%s is poisoned: %v", prog, img.Poisoned)
				}
			}
			checkBitfield(t, link(t, spec, "bitfield", &LinkOptions{KernelTypes: types}), types)
			checkPoisoned(t, link(t, spec, "poisoned", &LinkOptions{KernelTypes: types}))
		})
	}
}

// checkBitfield runs the load and shifts of tcphdr.syn on a header that has
// nothing but that bit.
func checkBitfield(t *testing.T, img *Image, types *btf.Spec) {
	t.Helper()
	syn := memberOf(t, structOf(t, types, "tcphdr"), "syn")
	packet := make([]byte, 20)
	packet[syn.Offset/8] = 1 << (syn.Offset % 8)
	var v uint64
	for _, ins := range img.Insns {
		switch ins.Op {
		case isa.ClassLDX | isa.ModeMEM | isa.SizeH:
			v = uint64(packet[ins.Off]) | uint64(packet[ins.Off+1])<<8
		case isa.ClassALU64 | isa.AluLSH:
			v <<= ins.Imm
		case isa.ClassALU64 | isa.AluRSH:
			v >>= ins.Imm
		}
	}
	if v != 1 {
		t.Errorf("bit field reads as %d", v)
	}
}

func checkPoisoned(t *testing.T, img *Image) {
	t.Helper()
	want := map[int]string{1: "the target has no field task_struct___wrong.no_such_field"}
	if diff := cmp.Diff(want, img.Poisoned); diff != "" {
		t.Errorf("poisoned instructions (-want +got):\n%s", diff)
	}
	if ins := img.Insns[1]; !ins.IsCall(isa.CallHelper) || ins.Imm != btf.COREBadRelocationSentinel {
		t.Errorf("poisoned instruction is %s", img.Text(1))
	}
}

// TestRelocateToOwnTypes holds that without a kernel's types everything is where
// the compiler saw it.
func TestRelocateToOwnTypes(t *testing.T) {
	spec := open(t, "core.o").Spec
	img := link(t, spec, "types", &LinkOptions{NoHostTypes: true})
	if diff := cmp.Diff([]int64{1, 1, 16}, immediates(img)); diff != "" {
		t.Errorf("immediates (-want +got):\n%s", diff)
	}
}

// TestRelocateAsCilium holds every program against what cilium/ebpf makes of it.
func TestRelocateAsCilium(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cilium/ebpf relocates on Linux only")
	}
	types := kernelTypes(t, "6.12")
	root := testenv.Data(t, "ebpf-samples")
	objects, err := filepath.Glob(filepath.Join(root, "*", "*.o"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, path := range append(objects, "testdata/core.o", "testdata/data.o") {
		p, err := Open(path)
		if err != nil {
			continue // TestSamples says why
		}
		for _, name := range slices.Sorted(maps.Keys(p.Spec.Programs)) {
			img, err := Link(p.Spec, name, &LinkOptions{KernelTypes: types})
			if err != nil {
				continue
			}
			compared++
			want := ciliumLink(t, p.Spec, name, types)
			got := slices.Clone(img.Insns)
			for i, ins := range got {
				if ins.IsWide() && (ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapValue) {
					got[i].Imm = 0
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s of %s (-cilium +skep):\n%s", name, path, diff)
			}
		}
	}
	t.Logf("%d programs compared", compared)
}

// ciliumLink relocates and encodes a program through cilium/ebpf alone.
func ciliumLink(t *testing.T, spec *ebpf.CollectionSpec, prog string, types *btf.Spec) []isa.Instruction {
	t.Helper()
	insns := slices.Clone(spec.Programs[prog].Instructions)
	var relos []*btf.CORERelocation
	var at []*asm.Instruction
	for i := range insns {
		if relo := btf.CORERelocationMetadata(&insns[i]); relo != nil {
			relos, at = append(relos, relo), append(at, &insns[i])
		}
	}
	if len(relos) > 0 {
		fixups, err := btf.CORERelocate(relos, []*btf.Spec{types}, spec.ByteOrder, spec.Types.TypeID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fixups {
			if err := fixups[i].Apply(at[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	var raw bytes.Buffer
	if err := insns.Marshal(&raw, spec.ByteOrder); err != nil {
		t.Fatal(err)
	}
	slots, err := isa.Decode(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return slots
}

// TestRelocateToHost uses the running kernel, its modules included.
func TestRelocateToHost(t *testing.T) {
	if _, err := os.Stat(vmlinuxTypes); err != nil {
		t.Skipf("the running kernel has no types: %v", err)
	}
	img := link(t, open(t, "core.o").Spec, "poisoned", nil)
	checkPoisoned(t, img)
}

func TestMissing(t *testing.T) {
	spec := open(t, "core.o").Spec
	empty := open(t, "legacy.o").Spec.Types
	got := make(map[string]bool)
	for name := range spec.Programs {
		for _, reason := range link(t, spec, name, &LinkOptions{KernelTypes: empty}).Poisoned {
			got[strings.TrimPrefix(reason, "the target has no ")] = true
		}
	}
	want := []string{
		"enumerator BPF_MAP_TYPE_RINGBUF of enum bpf_map_type",
		"field task_struct___skep.comm",
		"field task_struct___skep.pid",
		"field task_struct___skep.tgid",
		"field task_struct___wrong.no_such_field",
		"field tcphdr.syn",
		"type list_head",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestParseFixup(t *testing.T) {
	tests := map[string]fixup{
		"byte_off=8->16":                 {kind: "byte_off", target: 16},
		"byte_off=poison":                {kind: "byte_off", poison: true},
		"enumval_value=1->1844674407370": {kind: "enumval_value", target: 1844674407370},
	}
	for text, want := range tests {
		got, err := parseFixup(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "byte_off", "byte_off=1", "byte_off=1->x"} {
		if _, err := parseFixup(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestApplyErrors(t *testing.T) {
	tests := map[string]struct {
		ins    asm.Instruction
		target uint64
	}{
		"offset":    {asm.LoadMem(asm.R1, asm.R2, 0, asm.Word), 1 << 15},
		"immediate": {asm.Mov.Imm(asm.R1, 0), 1 << 31},
		"register":  {asm.Mov.Reg(asm.R1, asm.R2), 1},
		"jump":      {asm.Return(), 1},
	}
	for name, test := range tests {
		f := fixup{target: test.target}
		if err := f.apply(&test.ins); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			isSentence(t, err)
		}
	}
}
