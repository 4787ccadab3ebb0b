package progtype

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Type is one program type, as far as its attach type matters to it.
type Type struct {
	Prog ebpf.ProgramType
	// Attach are the attach types that the description is for; none: all.
	Attach []ebpf.AttachType
	Name   string // as in section names: "xdp"
	// CtxName is the context's type in linux/bpf.h, CtxSize its size in bytes.
	CtxName string
	CtxSize int
	// Fields are the context's fields in the order of their offsets. A type
	// without fields has memory as its context: see [exec.CtxForm].
	Fields []Field
	// Verdicts names the return codes.
	Verdicts map[uint32]string
	// Returns is what Linux's verifier lets a program return; nil: anything.
	Returns *Range
	// Setup makes the state ready for a run, Finish collects what it left.
	Setup  func(s *exec.State, in *Input) error
	Finish func(s *exec.State, out *Output)
	// Packet says that the type sees a packet, which a run needs.
	Packet bool
	// Typed says that the context is words of 8 bytes, some of them pointers to
	// kernel objects: a traced function's arguments.
	Typed bool
	// WritesObjects says that programs may store to kernel objects.
	WritesObjects bool
	// ofSocket are the fields that show something of the context's socket.
	ofSocket []socketField
}

// Range is the numbers that R0 may be, from Min to Max.
type Range struct{ Min, Max int64 }

// TakesData reports whether a run may begin with data: a packet, a message, the
// value of an option, a tracepoint's buffer.
func (t *Type) TakesData() bool {
	return t.Packet || t.leads(PacketPtr) || t.leads(BufferPtr) || t.Prog == ebpf.Netfilter
}

// Verdict names a return code; "" where it has no name.
func (t *Type) Verdict(ret uint32) string { return t.Verdicts[ret] }

// Input is what a run starts from, as in BPF_PROG_TEST_RUN.
type Input struct {
	Data []byte
	Ctx  []byte // a context in linux/bpf.h's layout; may be empty or short
	// Frags says that an XDP program takes packets in fragments
	// (BPF_F_XDP_HAS_FRAGS): it sees the first one, helpers see all.
	Frags bool
	// Place puts a packet into a network; nil: a test run.
	Place *Place
	// RX is what an XDP program may ask the driver; nil: there is none.
	RX *RX
}

// Output is what a run leaves.
type Output struct {
	Data []byte // appended to; aliases no machine memory
	Ctx  []byte // filled as far as it is long
	Meta int    // bytes of metadata that Data begins with
	// SKB is made what the run left of the socket buffer, where it is not nil.
	SKB *SKBContext
	// VLAN is the outermost VLAN tag of a socket buffer, which lies beside the
	// packet, not in it: protocol and control information as in the header. All
	// zero: there is none.
	VLAN [4]byte
}

// Kind says what loading a field gives.
type Kind uint8

// The kinds of fields.
const (
	Scalar    Kind = iota
	PacketPtr      // a pointer to the packet's first byte
	MetaPtr        // a pointer to its metadata
	PacketEnd      // the address behind its last byte
	SocketPtr      // a pointer to a socket, or NULL
	BufferPtr      // a pointer to [exec.State.Buffer]
)

// Field is one field of a context. Programs see Size bytes at Off; they really
// lie, Width bytes wide, At bytes into the machine's context, and are converted
// on access as the kernel's convert_ctx_access does.
type Field struct {
	Name  string
	Off   uint16
	Size  uint16
	At    uint16
	Width uint8 // 1, 2, 4, 8; 0: raw bytes laid out as programs see them
	Kind  Kind
	Write bool // programs may store
	Whole bool // only loads and stores of Size bytes
	Head  bool // shorter loads only of its first bytes
	// NetOrder is how many of its bytes are a number in network byte order.
	NetOrder uint8
	// Limit is the least number whose store changes nothing; 0: none.
	Limit uint32
}

// Shift is by how many bits a load of size bytes at off shifts the field's Width
// bytes to the right. As in Linux, a load exactly as wide as those gets them
// unshifted, wherever in the field it begins.
func (f *Field) Shift(off, size int) int {
	if size >= int(f.Width) {
		return 0
	}
	return (off - int(f.Off)) * 8
}

// types are the descriptions of each program type.
var types = map[ebpf.ProgramType][]*Type{}

func register(all ...*Type) {
	for _, t := range all {
		t.ofSocket = t.socketFields()
		types[t.Prog] = append(types[t.Prog], t)
	}
}

// Get gives the description of a program type, or an error that names what the
// machine can run. Where the attach type matters it is the most common one's.
func Get(p ebpf.ProgramType) (*Type, error) {
	if all := types[p]; len(all) > 0 {
		return all[0], nil
	}
	return nil, fmt.Errorf("program type %s does not run in the user-space machine; it runs %s", p, names())
}

// ForAttach is Get for programs that are attached in a certain way. An attach type
// of 0 means the most common one.
func ForAttach(p ebpf.ProgramType, attach ebpf.AttachType) (*Type, error) {
	t, err := Get(p)
	if err != nil {
		return nil, err
	}
	for _, c := range types[p] {
		if len(c.Attach) == 0 || slices.Contains(c.Attach, attach) {
			return c, nil
		}
	}
	if attach == 0 {
		return t, nil
	}
	return nil, fmt.Errorf("programs of type %s cannot be attached as %s", p, attach)
}

// Access finds the field that a load or store of size bytes at off means, and
// reports whether it is allowed.
func (t *Type) Access(off, size int, write bool) (f *Field, err error) {
	for i := range t.Fields {
		f = &t.Fields[i]
		if off < int(f.Off) || off+size > int(f.Off)+int(f.Size) {
			continue
		}
		reason := f.refuses(t, off, size, write)
		if reason == nil {
			return f, nil
		}
		if err == nil { // another field may lie over it
			err = reason
		}
	}
	if err == nil {
		err = fmt.Errorf("%s has no field at offset %d of %d bytes", t.CtxName, off, size)
	}
	return nil, err
}

// refuses says why an access within the field is not allowed.
func (f *Field) refuses(t *Type, off, size int, write bool) error {
	switch {
	case write && !f.Write:
		return fmt.Errorf("field %s of %s is read-only", f.Name, t.CtxName)
	case size != int(f.Size) && (f.Whole || f.Kind != Scalar || write && f.Width != 0),
		f.Head && off != int(f.Off):
		return fmt.Errorf("field %s of %s must be accessed whole, as %d bytes", f.Name, t.CtxName, f.Size)
	case off%size != 0:
		return fmt.Errorf("access of %d bytes at offset %d of %s is misaligned", size, off, t.CtxName)
	}
	return nil
}
