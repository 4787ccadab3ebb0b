package progtype

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Type is one program type.
type Type struct {
	Prog ebpf.ProgramType
	Name string // as in section names: "xdp"
	// CtxName is the context's type in linux/bpf.h, CtxSize its size in bytes.
	CtxName string
	CtxSize int
	// Fields are the context's fields in the order of their offsets. A type
	// without fields has plain memory as its context.
	Fields []Field
	// Verdicts names the return codes.
	Verdicts map[uint32]string
	// Setup makes the state ready for a run, Finish collects what it left.
	Setup  func(s *exec.State, in *Input) error
	Finish func(s *exec.State, out *Output)
	// Packet says that the type sees a packet.
	Packet bool
}

// Input is what a run starts from, as in BPF_PROG_TEST_RUN.
type Input struct {
	Data []byte
	Ctx  []byte // a context in linux/bpf.h's layout; may be empty or short
	// Frags says that an XDP program takes packets in fragments
	// (BPF_F_XDP_HAS_FRAGS): it sees the first one, helpers see all.
	Frags bool
	// Place puts a packet into a network; nil: a test run.
	Place *Place
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

var types = map[ebpf.ProgramType]*Type{}

func register(t *Type) { types[t.Prog] = t }

// Get gives the description of a program type, or an error that names what the
// machine can run.
func Get(p ebpf.ProgramType) (*Type, error) {
	if t, ok := types[p]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("program type %s does not run in the user-space machine yet; it runs %s", p, names())
}

// Access finds the field that a load or store of size bytes at off means, and
// reports whether it is allowed.
func (t *Type) Access(off, size int, write bool) (f *Field, err error) {
	for i := range t.Fields {
		f = &t.Fields[i]
		if off < int(f.Off) || off+size > int(f.Off)+int(f.Size) {
			continue
		}
		if write && !f.Write {
			return nil, fmt.Errorf("field %s of %s is read-only", f.Name, t.CtxName)
		}
		if size != int(f.Size) && (f.Whole || f.Kind != Scalar || write && f.Width != 0) {
			return nil, fmt.Errorf("field %s of %s must be accessed whole, as %d bytes", f.Name, t.CtxName, f.Size)
		}
		if off%size != 0 {
			return nil, fmt.Errorf("access of %d bytes at offset %d of %s is misaligned", size, off, t.CtxName)
		}
		return f, nil
	}
	return nil, fmt.Errorf("%s has no field at offset %d of %d bytes", t.CtxName, off, size)
}
