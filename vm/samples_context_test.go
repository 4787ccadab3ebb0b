package vm_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// accepted is one program of the external samples, and whether Linux took it as
// one of this type.
type accepted struct {
	Project, Obj, Fn, Type string
	OK                     bool
}

// TestSamplesRun loads every program of the samples that Linux takes, and runs it
// on contexts that are made up, in checked mode: none may end in a fault.
func TestSamplesRun(t *testing.T) {
	root := testenv.Data(t, "ebpf-samples")
	text, err := os.ReadFile(testenv.Data(t, filepath.Join("results", "linux-6.18-ebpf-samples.json")))
	if err != nil {
		t.Fatal(err)
	}
	var all []accepted
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	packets := examplePackets(t)
	objects := map[string]*program.Program{}
	for _, a := range all {
		if !a.OK {
			continue
		}
		path := filepath.Join(root, a.Project, a.Obj)
		if objects[path] == nil {
			if objects[path], err = program.Open(path); err != nil {
				t.Errorf("%s: %v", a.Obj, err)
				continue
			}
		}
		t.Run(a.Project+"/"+a.Obj+"/"+a.Fn, func(t *testing.T) {
			runSample(t, objects[path].Spec, a, packets)
		})
	}
}

// runSample loads one program and runs it.
func runSample(t *testing.T, spec *ebpf.CollectionSpec, a accepted, packets [][]byte) {
	sub, err := program.Subset(spec, a.Fn)
	if err != nil {
		t.Fatal(err)
	}
	sub = sub.Copy()
	for _, m := range sub.Maps {
		m.Pinning = ebpf.PinNone
	}
	for _, p := range sub.Programs {
		if p.Type == ebpf.UnspecifiedProgram { // its section does not tell
			p.Type = typeNamed(a.Type)
		}
	}
	coll, err := vm.NewCollection(sub)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	p := coll.Programs[a.Fn]
	for i, in := range inputs(p.Describe(), packets) {
		var out vm.Output
		if err := p.Exec(context.Background(), &in, &out); err != nil && !errors.Is(err, vm.ErrInput) {
			t.Fatalf("input %d: packet % x, context % x: %v", i, in.Data, in.Ctx, err)
		}
	}
}

// typeNamed is the program type that cilium/ebpf calls so.
func typeNamed(name string) ebpf.ProgramType {
	for t := ebpf.SocketFilter; t <= ebpf.Netfilter; t++ {
		if t.String() == name {
			return t
		}
	}
	return ebpf.UnspecifiedProgram
}

// inputs makes contexts up: packets for types that see one, and for all others a
// context of zeros, and of numbers that are small, that are any, and that are
// addresses and ports.
func inputs(typ *progtype.Type, packets [][]byte) []vm.Input {
	if typ.Packet {
		var all []vm.Input
		for _, p := range packets {
			all = append(all, vm.Input{Data: p})
		}
		return all
	}
	size := typ.CtxSize
	if size == 0 || size > 256 {
		size = 256
	}
	all := []vm.Input{{Ctx: make([]byte, size)}}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		ctx := make([]byte, size)
		for at := 0; at+4 <= size; at += 4 {
			v := rnd.Uint32()
			if i%3 == 0 {
				v %= 256
			}
			binary.LittleEndian.PutUint32(ctx[at:], v)
		}
		for _, f := range typ.Fields {
			dst := ctx[f.Off:min(int(f.Off+f.Size), size)]
			switch {
			case f.Kind != progtype.Scalar:
				clear(dst)
			case f.Name == "user_family" || f.Name == "family":
				binary.LittleEndian.PutUint32(dst, []uint32{2, 10}[rnd.IntN(2)])
			case f.Name == "type":
				binary.LittleEndian.PutUint32(dst, 1+rnd.Uint32N(3))
			case f.Name == "protocol":
				binary.LittleEndian.PutUint32(dst, []uint32{6, 17, 0}[rnd.IntN(3)])
			}
		}
		all = append(all, vm.Input{Ctx: ctx})
	}
	return all
}
