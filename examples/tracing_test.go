package examples_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

const probes = "tracing/probes.bpf.o"

// TestProbesInKernel has Linux verify the programs.
func TestProbesInKernel(t *testing.T) {
	testenv.Kernel(t)
	spec, err := program.Open(probes)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range spec.Spec.Programs {
		t.Run(name, func(t *testing.T) {
			if p.Type == ebpf.LSM {
				testenv.KernelFrom(t, 6, 18, "what the compiler makes of the program's result is too hard for the verifier")
			}
			sub, err := program.Subset(spec.Spec, name)
			if err != nil {
				t.Fatal(err)
			}
			coll, err := ebpf.NewCollection(sub)
			if p.Type == ebpf.LSM && errors.Is(err, os.ErrPermission) {
				t.Skip("the kernel does not take programs of security hooks")
			}
			if err != nil {
				t.Fatalf("%+v", err)
			}
			coll.Close()
		})
	}
}

// TestProbes runs each program on the context that its file describes.
func TestProbes(t *testing.T) {
	p, err := program.Open(probes)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("the contexts are of the running kernel's types, which are not there: %v", err)
	}
	for _, c := range []struct {
		prog, file string
		ret        uint32
		pid        byte
		comm, name string // what the event says; "": there is none
		children   bool
	}{
		{prog: "handle_exec", file: "exec.yaml", pid: 4711 & 0xff, name: "/usr/bin/curl"},
		{prog: "exec_by", file: "exec_by.yaml", pid: 812 & 0xff, comm: "bash", name: "/usr/bin/curl"},
		{prog: "unlinks", file: "unlinks.yaml", name: "/run/lock"},
		{prog: "guard", file: "file_open.yaml", ret: ^uint32(0)},
		{prog: "count_children", file: "task.yaml", children: true},
	} {
		t.Run(c.prog, func(t *testing.T) {
			spec := p.Spec.Programs[c.prog]
			typ, err := progtype.ForAttach(spec.Type, spec.AttachType)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join("tracing", c.file))
			if err != nil {
				t.Fatal(err)
			}
			ctx, err := ctxfile.Parse(c.file, text, &ctxfile.Target{
				Type: typ, Attach: spec.AttachType, AttachTo: spec.AttachTo, Kernel: kernel, Own: p.Spec.Types,
			})
			if err != nil {
				t.Fatal(err)
			}
			sub, err := program.Subset(p.Spec, c.prog)
			if err != nil {
				t.Fatal(err)
			}
			sub.Maps["events"] = p.Spec.Maps["events"]
			coll, err := vm.NewCollectionWithOptions(sub, vm.CollectionOptions{
				Programs: vm.ProgramOptions{Env: &exec.Env{Objects: ctx.Objects}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer coll.Close()
			var out vm.Output
			if err := coll.Programs[c.prog].Exec(t.Context(), &vm.Input{Ctx: ctx.Ctx}, &out); err != nil {
				t.Fatal(err)
			}
			if out.Ret != c.ret {
				t.Errorf("returns %d, want %d", int32(out.Ret), int32(c.ret))
			}
			r, err := ringbuf.NewReader(coll.Maps["events"])
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.SetDeadline(time.Now())
			record, err := r.Read()
			if (err == nil) != (c.name != "") {
				t.Fatalf("event %v, %v", record, err)
			}
			if c.name != "" {
				e := record.RawSample
				comm, name := cut(e[4:20]), cut(e[20:52])
				if e[0] != c.pid || comm != c.comm || name != c.name {
					t.Errorf("event % x", e)
				}
			}
			if c.children {
				var n uint64
				if err := coll.Maps["children"].Lookup(int32(812), &n); err != nil || n != 1 {
					t.Errorf("%d children, %v", n, err)
				}
			}
		})
	}
}

// cut is the text that ends at the first NUL.
func cut(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}
