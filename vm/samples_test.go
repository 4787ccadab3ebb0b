package vm_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
)

// TestSamplesAsInKernel runs real packet programs, Cilium's among them, over the
// captures of the examples, in the running kernel and in the machine: verdicts
// and packets must be the same. A program that the kernel or the machine does
// not take is listed.
func TestSamplesAsInKernel(t *testing.T) {
	objects, err := filepath.Glob(filepath.Join(testenv.Data(t, "ebpf-samples"), "*", "*.o"))
	if err != nil {
		t.Fatal(err)
	}
	testenv.Kernel(t)
	packets := examplePackets(t)
	for _, object := range objects {
		p, err := program.Open(object)
		if err != nil {
			continue // program's own tests say why
		}
		for _, name := range slices.Sorted(maps.Keys(p.Spec.Programs)) {
			switch p.Spec.Programs[name].Type {
			case ebpf.XDP, ebpf.SchedCLS, ebpf.CGroupSKB:
				t.Run(filepath.Base(object)+"/"+name, func(t *testing.T) { compareSample(t, p.Spec, name, packets) })
			}
		}
	}
}

// examplePackets are some packets of each example's capture.
func examplePackets(t *testing.T) (packets [][]byte) {
	const each = 60
	captures, err := filepath.Glob(filepath.Join(testenv.Root(t), "examples", "*", "traffic.pcap"))
	if err != nil || len(captures) == 0 {
		t.Fatal("no captures", err)
	}
	for _, path := range captures {
		r, err := capture.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range each {
			p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, bytes.Clone(p.Data))
		}
	}
	return packets
}

// withoutChance replaces calls whose result is chance by a constant.
func withoutChance(insns asm.Instructions) {
	for i := range insns {
		if ins := &insns[i]; ins.IsBuiltinCall() {
			switch asm.BuiltinFunc(ins.Constant) {
			case asm.FnGetPrandomU32, asm.FnGetHashRecalc:
				constant := asm.Mov.Imm(asm.R0, 0x5eed)
				constant.Metadata = ins.Metadata
				*ins = constant
			}
		}
	}
}

func compareSample(t *testing.T, spec *ebpf.CollectionSpec, name string, packets [][]byte) {
	sub, err := program.Subset(spec, name)
	if err != nil {
		t.Fatal(err)
	}
	sub = sub.Copy()
	for _, m := range sub.Maps {
		m.Pinning = ebpf.PinNone
	}
	for _, p := range sub.Programs {
		withoutChance(p.Instructions)
	}
	kernel, err := ebpf.NewCollection(sub)
	if err != nil {
		t.Skipf("the kernel does not take it: %.200v", err)
	}
	defer kernel.Close()
	machine, err := vm.NewCollection(sub)
	if err != nil {
		t.Skipf("the machine does not take it: %v", err)
	}
	defer machine.Close()
	for i, packet := range packets {
		wantRet, wantData, wantErr := kernel.Programs[name].Test(packet)
		ret, data, err := machine.Programs[name].Test(packet)
		if wantErr != nil {
			if !errors.Is(err, vm.ErrInput) {
				t.Errorf("packet %d: the kernel says %v, the machine %v", i, wantErr, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if ret != wantRet || !bytes.Equal(data, wantData) {
			t.Fatalf("packet %d: returns %d, the kernel %d\npacket % x\n kernel % x\n     in % x", i, int32(ret), int32(wantRet), data, wantData, packet)
		}
	}
}
