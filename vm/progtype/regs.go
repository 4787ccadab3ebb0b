package progtype

import (
	"runtime"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Registers names what lies in a processor's struct pt_regs, 8 bytes each.
type Registers struct {
	Arch  string // as Go calls it
	Names []string
	// Args are the registers of a function's first arguments, Ret that of its
	// result.
	Args []string
	Ret  string
	Size int // of the structure, in bytes; the names may end before it
}

// RegisterSets are the processors whose registers programs may ask for.
var RegisterSets = []Registers{
	{
		Arch: "amd64",
		Names: []string{"r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8",
			"rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss"},
		Args: []string{"rdi", "rsi", "rdx", "rcx", "r8", "r9"}, Ret: "rax",
		Size: 168,
	},
	{
		Arch: "arm64",
		Names: []string{"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
			"x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
			"sp", "pc", "pstate"},
		Args: []string{"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"}, Ret: "x0",
		Size: 272, // struct user_pt_regs
	},
}

// HostRegisters are those of the processor that this machine runs on; amd64's
// where it is neither.
func HostRegisters() *Registers {
	for i := range RegisterSets {
		if RegisterSets[i].Arch == runtime.GOARCH {
			return &RegisterSets[i]
		}
	}
	return &RegisterSets[0]
}

func init() {
	kprobe := func(name string, returns *Range, attach ...ebpf.AttachType) *Type {
		return readOnly(&Type{
			Prog: ebpf.Kprobe, Attach: attach, Name: name,
			CtxName: "struct pt_regs", CtxSize: HostRegisters().Size, Returns: returns,
		}, 0, RegisterSets[1].Size)
	}
	register(
		kprobe("kprobe", nil, 0, ebpf.AttachTraceKprobeMulti, ebpf.AttachTraceUprobeMulti),
		// A session's program says whether the function's return matters to it.
		kprobe("kprobe.session", &Range{0, 1}, ebpf.AttachTraceKprobeSession, attachUprobeSession),
		// What lies before the event's own fields is not for programs.
		readOnly(&Type{Prog: ebpf.TracePoint, Name: "tracepoint", CtxName: "struct trace_entry", CtxSize: maxTraceSize}, 8, maxTraceSize),
		readOnly(&Type{Prog: ebpf.RawTracepoint, Name: "raw_tracepoint", CtxName: "struct bpf_raw_tracepoint_args", CtxSize: maxArgs * 8}, 0, maxArgs*8),
		perfEvent(),
	)
}

const (
	attachUprobeSession = ebpf.AttachTraceKprobeSession + 1 // BPF_TRACE_UPROBE_SESSION
	attachFSession      = ebpf.AttachType(58)               // BPF_TRACE_FSESSION

	maxTraceSize = 8192 // PERF_MAX_TRACE_SIZE
	maxArgs      = 12   // MAX_BPF_FUNC_ARGS
)

// InSession reports whether programs of a type that are attached so run both when a
// function is entered and when it returns.
func InSession(typ ebpf.ProgramType, attach ebpf.AttachType) bool {
	switch attach {
	case ebpf.AttachTraceKprobeSession, attachUprobeSession:
		return typ == ebpf.Kprobe
	case attachFSession:
		return typ == ebpf.Tracing
	}
	return false
}

// readOnly completes a type whose context is plain memory that programs only
// read. A caller's context may have up to limit bytes, of which a program does not
// see the first hidden ones.
func readOnly(t *Type, hidden, limit int) *Type {
	t.Setup = func(s *exec.State, in *Input) error {
		if len(in.Data) != 0 {
			return refuse("programs of type %s see no packet; pass the input as context", t.Name)
		}
		if len(in.Ctx) > limit {
			return refuse("context has %d bytes; a program of type %s takes at most %d", len(in.Ctx), t.Name, limit)
		}
		s.Packet = exec.Packet{}
		size := len(in.Ctx)
		if size <= hidden || t.Prog == ebpf.Kprobe { // there is no part of the registers
			size = max(size, t.CtxSize)
		}
		b := s.SetCtx(exec.CtxShape{Form: exec.CtxReadOnly, Size: size, Hidden: hidden})
		clear(b[copy(b, in.Ctx):])
		return nil
	}
	t.Finish = func(s *exec.State, out *Output) { copy(out.Ctx, s.PlainCtx()) }
	return t
}

// perfEvent is struct bpf_perf_event_data: registers, and what was sampled.
func perfEvent() *Type {
	regs := HostRegisters()
	var fields []Field
	for i, name := range regs.Names {
		fields = append(fields, field("regs."+name, uint16(8*i), 8).whole())
	}
	size := uint16(regs.Size)
	return uapi(&Type{
		Prog: ebpf.PerfEvent, Name: "perf_event",
		CtxName: "struct bpf_perf_event_data", CtxSize: regs.Size + 16,
		Fields: append(fields, field("sample_period", size, 8), field("addr", size+8, 8)),
	})
}
