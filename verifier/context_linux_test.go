package verifier_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// contexts are program types with the attach types that matter to their contexts, and
// up to which byte accesses are tried.
var contexts = []struct {
	prog   ebpf.ProgramType
	attach []ebpf.AttachType
	target string
	size   int
}{
	{prog: ebpf.XDP, attach: []ebpf.AttachType{0, ebpf.AttachXDPDevMap}, size: 32},
	{prog: ebpf.SchedCLS, size: 200},
	{prog: ebpf.SocketFilter, size: 200},
	{prog: ebpf.CGroupSKB, attach: []ebpf.AttachType{ebpf.AttachCGroupInetEgress}, size: 200},
	{prog: ebpf.Kprobe, size: 180},
	{prog: ebpf.TracePoint, size: 40},
	{prog: ebpf.RawTracepoint, size: 104},
	{prog: ebpf.RawTracepointWritable, size: 104},
	{prog: ebpf.PerfEvent, size: 192},
	{prog: ebpf.Syscall, size: 16},
	{prog: ebpf.Netfilter, attach: []ebpf.AttachType{ebpf.AttachNetfilter}, size: 24},
	{prog: ebpf.CGroupDevice, attach: []ebpf.AttachType{ebpf.AttachCGroupDevice}, size: 20},
	{prog: ebpf.CGroupSysctl, attach: []ebpf.AttachType{ebpf.AttachCGroupSysctl}, size: 16},
	{prog: ebpf.CGroupSockopt, attach: []ebpf.AttachType{ebpf.AttachCGroupGetsockopt, ebpf.AttachCGroupSetsockopt}, size: 48},
	{prog: ebpf.CGroupSock, attach: []ebpf.AttachType{ebpf.AttachCGroupInetSockCreate, ebpf.AttachCGroupInet6PostBind}, size: 88},
	{prog: ebpf.CGroupSockAddr, attach: []ebpf.AttachType{ebpf.AttachCGroupInet4Bind, ebpf.AttachCGroupUDP6Sendmsg}, size: 80},
	{prog: ebpf.SockOps, attach: []ebpf.AttachType{ebpf.AttachCGroupSockOps}, size: 232},
	{prog: ebpf.SkMsg, attach: []ebpf.AttachType{ebpf.AttachSkMsgVerdict}, size: 88},
	{prog: ebpf.SkSKB, attach: []ebpf.AttachType{ebpf.AttachSkSKBVerdict}, size: 200},
	{prog: ebpf.SkLookup, attach: []ebpf.AttachType{ebpf.AttachSkLookup}, size: 80},
	{prog: ebpf.SkReuseport, attach: []ebpf.AttachType{ebpf.AttachSkReuseportSelect}, size: 64},
	{prog: ebpf.FlowDissector, attach: []ebpf.AttachType{ebpf.AttachFlowDissector}, size: 200},
	{prog: ebpf.LWTXmit, size: 200},
	{prog: ebpf.Tracing, attach: []ebpf.AttachType{ebpf.AttachTraceRawTp}, target: "sched_switch", size: 48},
	{prog: ebpf.Tracing, attach: []ebpf.AttachType{ebpf.AttachTraceRawTp}, target: "signal_generate", size: 48},
	{prog: ebpf.Tracing, attach: []ebpf.AttachType{ebpf.AttachTraceIter}, target: "bpf_map_elem", size: 48},
	{prog: ebpf.Tracing, attach: []ebpf.AttachType{ebpf.AttachTraceIter}, target: "task", size: 32},
}

var accessSizes = []struct {
	bytes int
	size  asm.Size
}{{1, asm.Byte}, {2, asm.Half}, {4, asm.Word}, {8, asm.DWord}}

// TestContexts holds accesses to contexts, and to what the pointers in them lead to,
// against the running kernel's verdict. SKEP_CONTEXTS=all tries them all.
func TestContexts(t *testing.T) {
	testenv.Kernel(t)
	opts := hostOptions(t)
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	all := os.Getenv("SKEP_CONTEXTS") == "all"
	for _, ctx := range contexts {
		for _, attach := range append(ctx.attach, make([]ebpf.AttachType, max(0, 1-len(ctx.attach)))...) {
			t.Run(ctx.prog.String()+"/"+attach.String()+ctx.target, func(t *testing.T) {
				from := -8
				if ctx.prog == ebpf.TracePoint {
					from = 0 // Linux misses that an offset is negative
				}
				for off := from; off < ctx.size; off++ {
					for _, insns := range contextAccesses(off) {
						if !all && r.IntN(300) != 0 {
							continue
						}
						sameVerdict(t, opts, &ebpf.ProgramSpec{
							Name: "access", Type: ctx.prog, AttachType: attach, AttachTo: ctx.target, License: "GPL",
							Instructions: insns,
						})
					}
				}
			})
		}
	}
}

// hostOptions ask for the running kernel's verdict.
func hostOptions(t *testing.T) *verifier.Options {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	return &verifier.Options{Kernel: runningKernel(t), KernelTypes: types, Link: program.LinkOptions{KernelTypes: types}}
}

// contextAccesses are programs with one access at an offset in the context, some with
// another behind what was loaded.
func contextAccesses(off int) []asm.Instructions {
	var all []asm.Instructions
	exit := []asm.Instruction{asm.Mov.Imm(asm.R0, 1), asm.Return()}
	access := func(insns ...asm.Instruction) { all = append(all, append(insns, exit...)) }
	for _, s := range accessSizes {
		access(asm.LoadMem(asm.R2, asm.R1, int16(off), s.size))
		if s.bytes < 8 {
			access(asm.LoadMemSX(asm.R2, asm.R1, int16(off), s.size))
		}
		access(asm.StoreImm(asm.R1, int16(off), 0, s.size))
		access(asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R1, int16(off), asm.R2, s.size))
		access(asm.StoreMem(asm.R1, int16(off), asm.R1, s.size))
		access(asm.LoadMem(asm.R2, asm.R1, int16(off), s.size), asm.LoadMem(asm.R3, asm.R2, 0, asm.Word))
		access(asm.LoadMem(asm.R2, asm.R1, int16(off), s.size), asm.JEq.Imm(asm.R2, 0, "out"),
			asm.LoadMem(asm.R3, asm.R2, 4, asm.Word), asm.Mov.Imm(asm.R0, 0).WithSymbol("out"))
	}
	return all
}

// sameVerdict demands that a program is accepted here where the kernel accepts it.
func sameVerdict(t *testing.T, opts *verifier.Options, spec *ebpf.ProgramSpec) {
	t.Helper()
	specs := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{spec.Name: spec}}
	_, ours := verifier.Check(specs, spec.Name, opts)
	p, kernel := ebpf.NewProgramWithOptions(spec.Copy(), ebpf.ProgramOptions{LogDisabled: true})
	if kernel == nil {
		p.Close()
	}
	if (ours == nil) != (kernel == nil) {
		t.Errorf("%v\nskep: %v\nkernel: %v", spec.Instructions, ours, kernel)
	}
}

// TestObjects holds walks through the kernel's objects against the running kernel's
// verdict.
func TestObjects(t *testing.T) {
	testenv.Kernel(t)
	opts := hostOptions(t)
	r := rand.New(rand.NewPCG(testenv.Seed(t), 1))
	var task *btf.Struct
	if err := opts.KernelTypes.TypeByName("task_struct", &task); err != nil {
		t.Fatal(err)
	}
	n := 300
	if s := os.Getenv("SKEP_OBJECTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("SKEP_OBJECTS: %v", err)
		}
	}
	for range n {
		insns := asm.Instructions{asm.FnGetCurrentTaskBtf.Call(), asm.Mov.Imm(asm.R8, 1)}
		at := task
		for at != nil {
			var ins asm.Instruction
			ins, at = randomLoad(r, at)
			insns = append(insns, ins)
			if r.IntN(8) == 0 {
				break
			}
		}
		sameVerdict(t, opts, &ebpf.ProgramSpec{
			Name: "walk", Type: ebpf.RawTracepoint, License: "GPL",
			Instructions: append(insns, asm.Mov.Imm(asm.R0, 0), asm.Return()),
		})
	}
}

// randomLoad loads something from the struct that R0 points to, mostly a member, and
// gives the struct that R0 points to then; nil: none.
func randomLoad(r *rand.Rand, s *btf.Struct) (asm.Instruction, *btf.Struct) {
	off, t := randomMember(r, s)
	var next *btf.Struct
	size := accessSizes[r.IntN(4)].size
	if p, ok := btf.UnderlyingType(t).(*btf.Pointer); ok && r.IntN(8) != 0 {
		size = asm.DWord
		next, _ = btf.UnderlyingType(p.Target).(*btf.Struct)
	}
	if r.IntN(10) == 0 {
		off += r.IntN(17) - 8
	}
	return asm.LoadMem(asm.R0, asm.R0, int16(off), size), next
}

// randomMember picks a member of a struct or of one inside it.
func randomMember(r *rand.Rand, s *btf.Struct) (off int, t btf.Type) {
	t = s
	for {
		var ms []btf.Member
		switch u := btf.UnderlyingType(t).(type) {
		case *btf.Struct:
			ms = u.Members
		case *btf.Union:
			ms = u.Members
		case *btf.Array:
			if size, err := btf.Sizeof(u.Type); err == nil && u.Nelems > 0 {
				off += size * r.IntN(int(u.Nelems))
			}
			t = u.Type
			continue
		}
		if len(ms) == 0 {
			return off, t
		}
		m := ms[r.IntN(len(ms))]
		off, t = off+int(m.Offset/8), m.Type
	}
}
