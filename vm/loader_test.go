package vm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
)

// mapDesc is struct bpf_map_desc, in which a light skeleton's loader finds what a map
// is to be and leaves its descriptor.
type mapDesc struct {
	FD         int32
	MaxEntries uint32
	Initial    uint64
}

// loaderContext is struct bpf_loader_ctx.
type loaderContext struct {
	Size, Flags, LogLevel, LogSize uint32
	Log                            uint64
}

// loader is the program of a light skeleton (bpftool gen skeleton -L), which makes an
// object's maps and loads its programs.
func loader(t *testing.T, name string) *ebpf.CollectionSpec {
	t.Helper()
	read := func(part string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "loader", name+"."+part))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const pseudoMapIdxValue = 6 // the load of a map's value, by an index into descriptors
	var insns asm.Instructions
	for r := bytes.NewReader(read("insns")); r.Len() > 0; {
		var ins asm.Instruction
		if err := ins.Unmarshal(r, binary.LittleEndian, "linux"); err != nil {
			t.Fatal(err)
		}
		if ins.OpCode.IsDWordLoad() && ins.Src == pseudoMapIdxValue {
			ins.Src = asm.PseudoMapValue
			ins = ins.WithReference("data")
		}
		insns = append(insns, ins)
	}
	data := read("data")
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"data": {
			Name: "data", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(data)), MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: data}},
		}},
		Programs: map[string]*ebpf.ProgramSpec{"loader": {
			Name: "loader", Type: ebpf.Syscall, Flags: 1 << 4, License: "Dual BSD/GPL", Instructions: insns,
		}},
	}
}

// TestLightSkeleton loads an object by its light skeleton's program, and holds what
// that makes against the object loaded here.
func TestLightSkeleton(t *testing.T) {
	var ctx struct {
		loaderContext
		Maps struct{ Counts, BSS mapDesc }
		Prog int32
		_    uint32
	}
	runLoader(t, "protocount", &ctx)
	prog := programFromFD(t, ctx.Prog)
	compareLoaded(t, "protocount", prog, map[string]*vm.Map{
		"counts": mapFromFD(t, ctx.Maps.Counts.FD), ".bss": mapFromFD(t, ctx.Maps.BSS.FD),
	})
}

// TestLoadersAsInKernel runs loaders in Linux, too: what they return is why an object
// cannot be loaded, such as an array's keys that are an enum (firewall), or a pointer
// that is stale (stale_pointer).
func TestLoadersAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "some kernel functions were not there yet")
	for _, name := range []string{"protocount", "firewall", "stale_pointer", "types"} {
		spec := loader(t, name)
		kernel, err := ebpf.NewCollection(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		ctx := make([]byte, 1024)
		binary.NativeEndian.PutUint32(ctx, uint32(len(ctx)))
		want, err := kernel.Programs["loader"].Run(&ebpf.RunOptions{Context: ctx})
		if err != nil {
			t.Fatal(err)
		}
		got, err := load(t, spec).Programs["loader"].Run(&ebpf.RunOptions{Context: ctx})
		if got != want || err != nil {
			t.Errorf("%s: %d, %v, and in Linux %d", name, int32(got), err, int32(want))
		}
	}
}

// TestDescriptors checks what becomes of a descriptor that a program leaves open.
func TestDescriptors(t *testing.T) {
	before := vm.Opened()
	var ctx struct {
		loaderContext
		Maps struct{ Counts, BSS mapDesc }
		Prog int32
		_    uint32
	}
	runLoader(t, "protocount", &ctx)
	if n := vm.Opened() - before; n != 3 {
		t.Errorf("the loader left %d descriptors, not two maps and a program", n)
	}
	prog := programFromFD(t, ctx.Prog)
	counts := mapFromFD(t, ctx.Maps.Counts.FD)
	mapFromFD(t, ctx.Maps.BSS.FD).Close()
	if n := vm.Opened() - before; n != 0 {
		t.Errorf("%d descriptors are left when their handles are taken", n)
	}
	if _, err := vm.NewMapFromFD(int(ctx.Maps.BSS.FD)); !errors.Is(err, errno.EBADF) {
		t.Errorf("a map that only its program uses: %v, not EBADF", err)
	}
	if _, err := vm.NewMapFromFD(int(ctx.Prog)); !errors.Is(err, errno.EINVAL) {
		t.Errorf("the program as a map: %v, not EINVAL", err)
	}
	if _, err := vm.NewProgramFromFD(int(ctx.Maps.Counts.FD)); !errors.Is(err, errno.EINVAL) {
		t.Errorf("a map as the program: %v, not EINVAL", err)
	}
	prog.Close()
	counts.Close()
	if _, err := vm.NewProgramFromFD(int(ctx.Prog)); !errors.Is(err, errno.EBADF) {
		t.Errorf("a program that was closed: %v, not EBADF", err)
	}
}

// runLoader runs a loader on its context, as libbpf does.
func runLoader(t *testing.T, name string, ctx any) {
	t.Helper()
	coll := load(t, loader(t, name))
	in, err := binary.Append(nil, binary.NativeEndian, ctx)
	if err != nil {
		t.Fatal(err)
	}
	binary.NativeEndian.PutUint32(in, uint32(len(in)))
	ret, err := coll.Programs["loader"].Run(&ebpf.RunOptions{Context: in, ContextOut: ctx})
	if err != nil || ret != 0 {
		t.Fatalf("the loader returned %d, %v", int32(ret), err)
	}
}

func mapFromFD(t *testing.T, fd int32) *vm.Map {
	t.Helper()
	m, err := vm.NewMapFromFD(int(fd))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func programFromFD(t *testing.T, fd int32) *vm.Program {
	t.Helper()
	p, err := vm.NewProgramFromFD(int(fd))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// compareLoaded runs a program and the one of the object on the object's capture, and
// compares results and maps.
func compareLoaded(t *testing.T, name string, got *vm.Program, gotMaps map[string]*vm.Map) {
	t.Helper()
	dir := filepath.Join(testenv.Root(t), "examples", name)
	want, err := vm.LoadCollection(filepath.Join(dir, name+".bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(want.Close)
	for i, packet := range packets(t, filepath.Join(dir, "traffic.pcap")) {
		ret, out, err := got.Test(packet)
		wantRet, wantOut, wantErr := want.Programs[name].Test(packet)
		if ret != wantRet || !bytes.Equal(out, wantOut) || (err == nil) != (wantErr == nil) {
			t.Fatalf("packet %d: %d, %v, and by the object %d, %v", i, ret, err, wantRet, wantErr)
		}
	}
	for name, m := range gotMaps {
		if diff := cmp.Diff(contents(t, want.Maps[name]), contents(t, m)); diff != "" {
			t.Errorf("map %s (-object +loader):\n%s", name, diff)
		}
	}
}

// contents are a map's keys and values.
func contents(t *testing.T, m *vm.Map) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	key, err := m.NextKeyBytes(nil)
	for ; key != nil && err == nil; key, err = m.NextKeyBytes(key) {
		value, err := m.LookupBytes(key)
		if err != nil {
			t.Fatal(err)
		}
		all[string(key)] = slices.Clone(value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// packets are those of a capture.
func packets(t *testing.T, path string) (all [][]byte) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.Clone(p.Data))
	}
}
