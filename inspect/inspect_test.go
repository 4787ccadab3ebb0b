package inspect_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/inspect"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// inspected looks at a program of instructions.
func inspected(t *testing.T, typ ebpf.ProgramType, attach ebpf.AttachType, insns ...asm.Instruction) *inspect.Program {
	t.Helper()
	spec := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
		"p": {Name: "p", Type: typ, AttachType: attach, SectionName: "p", License: "GPL", Instructions: insns},
	}}
	all, err := inspect.Inspect(spec, []string{"p"}, &program.LinkOptions{NoHostTypes: true})
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// What programs could do by their results, by what they store, and by calls.
func TestAbilities(t *testing.T) {
	const data, dataEnd = 0, 4 // of struct xdp_md
	packet := []asm.Instruction{
		asm.LoadMem(asm.R2, asm.R1, data, asm.Word), asm.LoadMem(asm.R3, asm.R1, dataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 14), asm.JGT.Reg(asm.R4, asm.R3, "out"),
	}
	for _, tc := range []struct {
		name   string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
		insns  []asm.Instruction
		want   string
	}{
		{"pass", ebpf.XDP, 0, []asm.Instruction{asm.Mov.Imm(asm.R0, 2), asm.Return()}, ""},
		{"drop", ebpf.XDP, 0, []asm.Instruction{asm.Mov.Imm(asm.R0, 1), asm.Return()}, "drop: XDP_DROP"},
		{"a drop that no path reaches", ebpf.XDP, 0, []asm.Instruction{
			asm.Mov.Imm(asm.R0, 2), asm.JEq.Imm(asm.R0, 2, "out"), asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol("out"),
		}, ""},
		{"one of two results", ebpf.XDP, 0, []asm.Instruction{
			asm.LoadMem(asm.R2, asm.R1, 12, asm.Word), asm.Mov.Imm(asm.R0, 1), asm.JEq.Imm(asm.R2, 7, "out"),
			asm.Mov.Imm(asm.R0, 3), asm.Return().WithSymbol("out"),
		}, "drop: XDP_DROP; redirect: XDP_TX"},
		{"any result", ebpf.XDP, 0, []asm.Instruction{asm.LoadMem(asm.R0, asm.R1, 12, asm.Word), asm.Return()},
			"drop: XDP_ABORTED, XDP_DROP; redirect: XDP_TX, XDP_REDIRECT"},
		{"a masked result", ebpf.XDP, 0, []asm.Instruction{
			asm.LoadMem(asm.R0, asm.R1, 12, asm.Word), asm.And.Imm(asm.R0, 1), asm.Or.Imm(asm.R0, 2), asm.Return(),
		}, "redirect: XDP_TX"},
		{"redirect", ebpf.XDP, 0, []asm.Instruction{
			asm.Mov.Imm(asm.R1, 1), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return(),
		}, "redirect: bpf_redirect"},
		{"a function's result", ebpf.XDP, 0, []asm.Instruction{
			asm.Call.Label("f"), asm.Return(), asm.Mov.Imm(asm.R0, 1).WithSymbol("f"), asm.Return(),
		}, "drop: XDP_DROP"},
		{"a callee's result that is not the program's", ebpf.XDP, 0, []asm.Instruction{
			asm.Call.Label("f"), asm.Mov.Imm(asm.R0, 2), asm.Return(), asm.Mov.Imm(asm.R0, 1).WithSymbol("f"), asm.Return(),
		}, ""},
		{"rewrite", ebpf.XDP, 0, append(append([]asm.Instruction(nil), packet...),
			asm.StoreImm(asm.R2, 0, 1, asm.Byte), asm.Mov.Imm(asm.R0, 2).WithSymbol("out"), asm.Return()), "rewrite: stores"},
		{"mark", ebpf.SchedCLS, 0, []asm.Instruction{asm.StoreImm(asm.R1, 8, 1, asm.Word), asm.Mov.Imm(asm.R0, 0), asm.Return()},
			"mark: stores to its context"},
		{"address", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect,
			[]asm.Instruction{asm.StoreImm(asm.R1, 24, 1, asm.Word), asm.Mov.Imm(asm.R0, 1), asm.Return()}, "address: stores to its context"},
		{"deny", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, []asm.Instruction{asm.Mov.Imm(asm.R0, 0), asm.Return()}, "deny: deny"},
		{"signal", ebpf.Kprobe, 0, []asm.Instruction{asm.Mov.Imm(asm.R1, 9), asm.FnSendSignal.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()},
			"signal: bpf_send_signal"},
		{"write user memory", ebpf.Kprobe, 0, []asm.Instruction{
			asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8), asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R3, 8), asm.FnProbeWriteUser.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
		}, "write-user: bpf_probe_write_user"},
		{"override", ebpf.Kprobe, 0, []asm.Instruction{
			asm.Mov.Imm(asm.R2, -1), asm.FnOverrideReturn.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
		}, "override: bpf_override_return"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := inspected(t, tc.typ, tc.attach, tc.insns...)
			if p.Refused != nil {
				t.Fatal(p.Refused)
			}
			var got []string
			for _, c := range p.Could {
				got = append(got, c.Ability.ID()+": "+strings.Join(c.By, ", "))
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, "; ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A program that is refused is told of from its instructions.
func TestRefused(t *testing.T) {
	p := inspected(t, ebpf.Kprobe, 0, asm.Mov.Imm(asm.R1, 9), asm.FnSendSignal.Call(), asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord), asm.Return())
	if p.Refused == nil || len(p.Could) != 1 || p.Could[0].Ability != inspect.Signal {
		t.Errorf("%+v, want refused, and able to send signals", p)
	}
}

// Who may not see addresses must not compute with them.
func TestNeedsPerfmon(t *testing.T) {
	plain := inspected(t, ebpf.XDP, 0, asm.Mov.Imm(asm.R0, 2), asm.Return())
	if want := kernels.CapBPF | kernels.CapNetAdmin; plain.Caps != want {
		t.Errorf("a plain program needs %s, want %s", plain.Caps, want)
	}
	leaks := inspected(t, ebpf.XDP, 0, asm.Mov.Reg(asm.R0, asm.R10), asm.JNE.Imm(asm.R0, 3, "out"), asm.Mov.Imm(asm.R0, 2).WithSymbol("out"), asm.Return())
	if want := kernels.CapBPF | kernels.CapNetAdmin | kernels.CapPerfmon; leaks.Caps != want {
		t.Errorf("a program that computes with addresses needs %s, want %s", leaks.Caps, want)
	}
}

// Objects in the wild are told of, or cannot be linked.
func TestSamples(t *testing.T) {
	dir := testenv.Data(t, "ebpf-samples")
	end := time.Now().Add(2 * time.Second) // enough of them for one test
	programs := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".o" || time.Now().After(end) {
			return err
		}
		p, err := program.Open(path)
		if err != nil {
			return nil // TestSamples of package program looks at these
		}
		for name, s := range p.Spec.Programs {
			if s.Type == ebpf.UnspecifiedProgram || len(s.Instructions) > 2000 {
				continue
			}
			all, err := inspect.Inspect(p.Spec, []string{name}, &program.LinkOptions{NoHostTypes: true})
			if err != nil {
				continue // so is linking
			}
			programs++
			if one := all[0]; one.Caps == 0 || one.Refused == nil && one.Linux == 0 && one.Newest == "" {
				t.Errorf("%s: %s: %+v", path, name, one)
			}
		}
		return nil
	})
	if err != nil || programs == 0 {
		t.Fatal(errors.Join(err, errors.New("no program was looked at")))
	}
	t.Logf("%d programs", programs)
}
