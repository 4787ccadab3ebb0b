package progtype

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// The types that see a function's arguments, or a structure of pointers, as words
// of 8 bytes: numbers, and pointers to kernel objects.

func init() {
	iterator := typed(ebpf.Tracing, "iter", "struct bpf_iter", &Range{0, 1}, ebpf.AttachTraceIter)
	iterator.Verdicts = map[uint32]string{0: "continue", 1: "repeat"}
	netfilter := typed(ebpf.Netfilter, "netfilter", "struct bpf_nf_ctx", &Range{0, 1})
	netfilter.Verdicts = map[uint32]string{0: "NF_DROP", 1: "NF_ACCEPT"}
	netfilter.CtxSize = 16
	lsm := typed(ebpf.LSM, "lsm", "arguments", &Range{-maxErrno, 0}, 0, ebpf.AttachLSMMac)
	lsm.Verdicts = denials()
	cgroup := typed(ebpf.LSM, "lsm_cgroup", "arguments", &Range{0, 1}, ebpf.AttachLSMCgroup)
	cgroup.Verdicts = allow
	ops := typed(ebpf.StructOps, "struct_ops", "arguments", nil)
	ops.WritesObjects = true
	takeReport(ops)
	register(
		typed(ebpf.Tracing, "fentry", "arguments", &Range{0, 0}, ebpf.AttachTraceFEntry),
		typed(ebpf.Tracing, "fexit", "arguments", &Range{0, 0}, ebpf.AttachTraceFExit),
		typed(ebpf.Tracing, "fmod_ret", "arguments", nil, ebpf.AttachModifyReturn),
		typed(ebpf.Tracing, "tp_btf", "arguments", nil, ebpf.AttachTraceRawTp),
		iterator, lsm, cgroup, ops, netfilter,
		writableTracepoint(),
	)
}

// maxErrno is the greatest error number that a kernel function returns.
const maxErrno = 4095

// denials names what a program of a security hook returns.
func denials() map[uint32]string {
	all := map[uint32]string{0: "allow"}
	for _, e := range []struct {
		number int32
		name   string
	}{{1, "EPERM"}, {2, "ENOENT"}, {12, "ENOMEM"}, {13, "EACCES"}, {16, "EBUSY"}, {22, "EINVAL"}, {95, "EOPNOTSUPP"}} {
		all[uint32(-e.number)] = "deny, -" + e.name
	}
	return all
}

// typed makes a type whose context is words. A caller gives them as bytes; what is
// not given is 0, and where nothing is, there are as many words as a function may
// have arguments, and one for its result.
func typed(p ebpf.ProgramType, name, ctx string, returns *Range, attach ...ebpf.AttachType) *Type {
	t := &Type{
		Prog: p, Attach: attach, Name: name, CtxName: ctx, CtxSize: (maxArgs + 1) * 8,
		Returns: returns, Typed: true,
	}
	t.Setup = func(s *exec.State, in *Input) error {
		if len(in.Ctx) > t.CtxSize || len(in.Ctx)%8 != 0 {
			return refuse("context has %d bytes; a program of type %s takes words of 8 bytes, at most %d of them", len(in.Ctx), t.Name, t.CtxSize/8)
		}
		s.Packet, s.Redirect = exec.Packet{}, exec.Redirect{}
		if len(in.Data) > 0 {
			if p != ebpf.Netfilter {
				return refuse("programs of type %s see no packet; pass the input as context", t.Name)
			}
			if err := s.SetPacket(p, in.Data, 0, 0); err != nil {
				return err
			}
			s.Packet.ReadOnly = true
		}
		size := len(in.Ctx)
		if size == 0 || p == ebpf.Netfilter {
			size = t.CtxSize
		}
		b := s.SetCtx(exec.CtxShape{Form: exec.CtxTyped, Size: size})
		clear(b[copy(b, in.Ctx):])
		if skb := b[8:16]; p == ebpf.Netfilter && binary.NativeEndian.Uint64(skb) == 0 {
			binary.NativeEndian.PutUint64(skb, someSKB)
		}
		return nil
	}
	// Linux gives no packet back, as no such program changes one.
	t.Finish = func(s *exec.State, out *Output) { copy(out.Ctx, s.PlainCtx()) }
	return t
}

// takeReport makes the type's runs take data: the report or the descriptor of an
// input device, with room behind it, which a kernel function gives programs.
func takeReport(t *Type) {
	plain, finish := t.Setup, t.Finish
	t.Setup = func(s *exec.State, in *Input) error {
		if len(in.Data) > maxReport {
			return refuse("the report has %d bytes; there is room for %d", len(in.Data), maxReport)
		}
		if err := plain(s, &Input{Ctx: in.Ctx}); err != nil || len(in.Data) == 0 {
			return err
		}
		room := make([]byte, maxReport)
		copy(room, in.Data)
		return s.SetPacket(t.Prog, room, 0, 0)
	}
	t.Finish = func(s *exec.State, out *Output) {
		finish(s, out)
		if s.Packet.Data != 0 {
			out.Data = append(out.Data, s.Packet.Bytes()...)
		}
	}
}

// maxReport is the longest report, and the longest descriptor: HID_MAX_DESCRIPTOR_SIZE.
const maxReport = 4096

// someSKB is the address of a netfilter hook's socket buffer that nobody described.
// There is no memory.
const someSKB = 3 << 61

// writableTracepoint is a raw tracepoint whose first argument is a buffer that the
// program may change: Input.Data.
func writableTracepoint() *Type {
	buffer := field("args[0]", 0, 8).whole()
	buffer.Kind = BufferPtr
	fields := []Field{buffer, field("args[0]", 1, 1), field("args[0]", 2, 2), word("args[0]", 4)}
	for i := 1; i < maxArgs; i++ {
		fields = append(fields, field(fmt.Sprintf("args[%d]", i), uint16(8*i), 8))
	}
	t := uapi(&Type{
		Prog: ebpf.RawTracepointWritable, Name: "raw_tracepoint.w",
		CtxName: "struct bpf_raw_tracepoint_args", CtxSize: maxArgs * 8,
		Fields: fields,
	})
	t.Setup = func(s *exec.State, in *Input) error {
		if len(in.Data) > maxBuffer {
			return refuse("buffer has %d bytes; a program of type %s takes at most %d", len(in.Data), t.Name, maxBuffer)
		}
		if err := setupUAPI(t, s, &Input{Ctx: in.Ctx}); err != nil {
			return err
		}
		b := tracepointBuffer(s)[:len(in.Data)]
		copy(b, in.Data)
		s.Buffer = exec.Region{Base: exec.Addr(b), Size: uintptr(len(b))}
		binary.LittleEndian.PutUint64(s.CtxBytes()[uapiOff:], uint64(s.Buffer.Base))
		return nil
	}
	t.Finish = func(s *exec.State, out *Output) {
		finishUAPI(t, s, out)
		out.Data = append(out.Data, tracepointBuffer(s)[:s.Buffer.Size]...)
	}
	return t
}

// maxBuffer is the longest buffer of a writable tracepoint, in bytes.
const maxBuffer = 2048

// tracepointBuffer is the buffer's memory, behind the context's fields.
func tracepointBuffer(s *exec.State) []byte {
	return s.CtxBytes()[int(uapiOff)+maxArgs*8:][:maxBuffer]
}
