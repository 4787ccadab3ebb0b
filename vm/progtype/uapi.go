package progtype

import (
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Many types have contexts that the machine keeps as programs see them, behind the
// packet's pointers. Linux has no test run for most: a run begins with the bytes
// that the caller gives, and with zeros for the rest.

// uapiOff is where such a context begins in the machine's.
const uapiOff = uint16(unsafe.Sizeof(exec.PacketPointers{}))

// Where the packet's pointers and its length are.
const (
	atData    = uint16(unsafe.Offsetof(exec.PacketPointers{}.Data))
	atDataEnd = uint16(unsafe.Offsetof(exec.PacketPointers{}.DataEnd))
	atLen     = uint16(unsafe.Offsetof(exec.PacketPointers{}.Len))
)

// field is a field of 1, 2, 4 or 8 bytes that may be read by parts.
func field(name string, off, size uint16) Field {
	return Field{Name: name, Off: off, Size: size, At: uapiOff + off, Width: uint8(size)}
}

func word(name string, off uint16) Field { return field(name, off, 4) }

// words is an array of n fields of 4 bytes.
func words(name string, off uint16, n int) []Field {
	var all []Field
	for i := range n {
		f := word(name, off+4*uint16(i))
		f.Name = name + "[" + string(rune('0'+i)) + "]"
		all = append(all, f)
	}
	return all
}

// pair is two neighbouring fields that may be accessed as one.
func pair(name string, off uint16) Field { return field(name+"[:2]", off, 8).whole() }

func (f Field) whole() Field              { f.Whole = true; return f }
func (f Field) head() Field               { f.Head = true; return f }
func (f Field) writable() Field           { f.Write = true; return f }
func (f Field) network(bytes uint8) Field { f.NetOrder = bytes; return f }

func socket(off uint16) Field {
	f := field("sk", off, 8).whole()
	f.Kind = SocketPtr
	return f
}

// packetPointers are data and data_end as a context's own fields of size bytes.
func packetPointers(data, dataEnd string, off, size uint16) []Field {
	return []Field{
		{Name: data, Off: off, Size: size, At: atData, Width: 8, Kind: PacketPtr},
		{Name: dataEnd, Off: off + size, Size: size, At: atDataEnd, Width: 8, Kind: PacketEnd},
	}
}

// length is a field that holds the packet's length.
func length(name string, off uint16) Field {
	return Field{Name: name, Off: off, Size: 4, At: atLen, Width: 4}
}

// concat is one list of fields from several.
func concat(lists ...[]Field) []Field {
	var all []Field
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// uapi completes a type whose context is given and left in linux/bpf.h's layout.
// Its packet, where it has one, is Input.Data whole.
func uapi(t *Type) *Type {
	t.Setup = func(s *exec.State, in *Input) error { return setupUAPI(t, s, in) }
	t.Finish = func(s *exec.State, out *Output) { finishUAPI(t, s, out) }
	return t
}

// leads reports whether the context has a pointer of a kind.
func (t *Type) leads(k Kind) bool {
	return slices.ContainsFunc(t.Fields, func(f Field) bool { return f.Kind == k })
}

func setupUAPI(t *Type, s *exec.State, in *Input) error {
	ctx, err := readCtx(in.Ctx, t.CtxSize)
	if err != nil {
		return err
	}
	s.SetPlainCtx(0)
	s.Packet, s.Redirect, s.Buffer = exec.Packet{}, exec.Redirect{}, exec.Region{}
	clear(s.CtxBytes())
	switch {
	case t.leads(PacketPtr):
		if err := s.SetPacket(t.Prog, in.Data, 0, 0); err != nil {
			return err
		}
		s.Packet.ReadOnly = readsPacketOnly[t.Prog]
		s.PacketMoved()
	case len(in.Data) > 0:
		return refuse("programs of type %s see no packet; pass the input as context", t.Name)
	}
	for i := range t.Fields {
		if f := &t.Fields[i]; f.given() {
			f.store(s, ctx[f.Off:f.Off+f.Size])
		}
	}
	return t.enterOwnSocket(s)
}

// readsPacketOnly are the types whose programs must not write to the packet.
var readsPacketOnly = map[ebpf.ProgramType]bool{
	ebpf.SkReuseport: true, ebpf.FlowDissector: true, ebpf.SockOps: true,
}

func finishUAPI(t *Type, s *exec.State, out *Output) {
	if t.leads(PacketPtr) {
		out.Data = append(out.Data, s.Packet.Bytes()...)
	}
	for i := range t.Fields {
		if f := &t.Fields[i]; f.given() && int(f.Off+f.Size) <= len(out.Ctx) {
			f.load(s, out.Ctx[f.Off:f.Off+f.Size])
		}
	}
}

// given reports whether a caller's context says what a field holds: it does not
// say where things lie, nor how long the packet is.
func (f *Field) given() bool { return f.Kind == Scalar && f.At >= uapiOff }

// store puts what programs see of a field where it really lies.
func (f *Field) store(s *exec.State, seen []byte) {
	at := s.CtxBytes()[f.At:]
	if f.Width == 0 {
		copy(at, seen)
		return
	}
	var full [8]byte
	copy(full[:], seen)
	copy(at[:f.Width], full[:])
}

// load is the reverse of store.
func (f *Field) load(s *exec.State, seen []byte) {
	clear(seen)
	width := int(f.Width)
	if width == 0 {
		width = int(f.Size)
	}
	copy(seen, s.CtxBytes()[f.At:int(f.At)+width])
}
