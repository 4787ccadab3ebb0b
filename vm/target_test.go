package vm_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// targetSpec is a program that redirects by a map as its packet's payload says: the
// key and the flags, 8 bytes each. XDP_REDIRECT comes with the value of key 1,
// where programs may look it up.
func targetSpec(m *ebpf.MapSpec) *ebpf.CollectionSpec {
	insns := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, 0, asm.Word), asm.LoadMem(asm.R3, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 30),
		asm.Mov.Imm(asm.R0, 99), asm.JGT.Reg(asm.R4, asm.R3, "exit"),
		asm.LoadMem(asm.R8, asm.R2, 14, asm.DWord), asm.LoadMem(asm.R9, asm.R2, 22, asm.DWord),
		asm.LoadMapPtr(asm.R1, 0).WithReference("m"), asm.Mov.Reg(asm.R2, asm.R8), asm.Mov.Reg(asm.R3, asm.R9), asm.FnRedirectMap.Call(),
		asm.Mov.Reg(asm.R7, asm.R0),
	}
	if m.Type == ebpf.DevMap || m.Type == ebpf.DevMapHash {
		insns = append(insns,
			asm.StoreImm(asm.RFP, -4, 1, asm.Word),
			asm.LoadMapPtr(asm.R1, 0).WithReference("m"), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4), asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "none"),
			asm.LoadMem(asm.R0, asm.R0, 0, asm.Word), asm.LSh.Imm(asm.R0, 8), asm.Add.Reg(asm.R7, asm.R0),
		)
	}
	insns = append(insns, asm.Mov.Reg(asm.R0, asm.R7).WithSymbol("none"), asm.Return().WithSymbol("exit"))
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"m": m},
		Programs: map[string]*ebpf.ProgramSpec{"redirect": {
			Name: "redirect", Type: ebpf.XDP, Instructions: insns, License: "GPL",
		}},
	}
}

// TestRedirectMapLikeTheKernel holds what bpf_redirect_map says of keys and flags
// against Linux.
func TestRedirectMapLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "bpf_redirect_map took other flags")
	for _, m := range []*ebpf.MapSpec{
		{Type: ebpf.DevMap, KeySize: 4, ValueSize: 8, MaxEntries: 3},
		{Type: ebpf.DevMapHash, KeySize: 4, ValueSize: 4, MaxEntries: 3},
		{Type: ebpf.CPUMap, KeySize: 4, ValueSize: 4, MaxEntries: 3},
		{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 3},
	} {
		t.Run(m.Type.String(), func(t *testing.T) {
			m.Name = "m"
			theirs, err := ebpf.NewCollection(targetSpec(m))
			if err != nil {
				t.Fatalf("%+v", err)
			}
			defer theirs.Close()
			ours, err := vm.NewCollection(targetSpec(m))
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			if m.Type != ebpf.XSKMap {
				for _, key := range []uint32{0, 1} {
					value := make([]uint32, m.ValueSize/4)
					value[0] = 1
					if m.Type == ebpf.CPUMap && int(key) >= vm.PossibleCPU() {
						continue
					}
					if err := errors.Join(theirs.Maps["m"].Put(key, value), ours.Maps["m"].Put(key, value)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, key := range []uint64{0, 1, 2, 3, 1 << 32, 1<<32 + 1, 1 << 63} {
				for _, flags := range []uint64{0, 1, 2, 3, 4, 7, 8, 9, 10, 16, 17, 24, 25, 32, 1 << 32, 1 << 63} {
					packet := fmt.Appendf(nil, "%14s", "")
					packet = append(packet, bytes8(key)...)
					packet = append(packet, bytes8(flags)...)
					want, _, err := theirs.Programs["redirect"].Test(packet)
					if err != nil {
						t.Fatal(err)
					}
					got, _, err := ours.Programs["redirect"].Test(packet)
					if err != nil || got != want {
						t.Errorf("key %#x, flags %#x: %#x, %v; Linux gives %#x", key, flags, got, err, want)
					}
				}
			}
		})
	}
}

func bytes8(v uint64) []byte {
	var b [8]byte
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return b[:]
}

// TestMapKeepsProgram: a program lives on while a devmap has it, and a redirect
// says which it is.
func TestMapKeepsProgram(t *testing.T) {
	coll, err := vm.NewCollection(targetSpec(&ebpf.MapSpec{Name: "m", Type: ebpf.DevMap, KeySize: 4, ValueSize: 8, MaxEntries: 2}))
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	pass := &ebpf.ProgramSpec{
		Name: "leaves", Type: ebpf.XDP, AttachType: ebpf.AttachXDPDevMap, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	}
	p, err := vm.NewProgram(pass)
	if err != nil {
		t.Fatal(err)
	}
	id := p.FD()
	if _, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 14)}); !errors.Is(err, errno.EINVAL) {
		t.Errorf("a devmap's program run on its own gives %v", err)
	}
	m := coll.Maps["m"]
	if err := m.Put(uint32(0), []uint32{7, uint32(coll.Programs["redirect"].FD())}); !errors.Is(err, errno.EINVAL) {
		t.Errorf("a program that is not for devmaps gives %v", err)
	}
	if err := m.Put(uint32(0), []uint32{7, uint32(id)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var out vm.Output
	in := append(make([]byte, 14), make([]byte, 16)...)
	if err := coll.Programs["redirect"].Exec(t.Context(), &vm.Input{Data: in}, &out); err != nil {
		t.Fatal(err)
	}
	if r := out.Redirect; r.Kind != exec.RedirectMap || r.Ifindex != 7 || int(r.Prog) != id {
		t.Errorf("redirected to %+v", r)
	}
	kept, err := vm.NewProgramFromFD(id)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Name() != "leaves" || kept.AttachType() != ebpf.AttachXDPDevMap {
		t.Errorf("the map keeps %v", kept)
	}
	if err := errors.Join(kept.Close(), m.Delete(uint32(0))); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.NewProgramFromFD(id); !errors.Is(err, errno.EBADF) {
		t.Errorf("a program that nobody has gives %v", err)
	}
}
