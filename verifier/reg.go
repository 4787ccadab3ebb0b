package verifier

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/verifier/scalar"
	"github.com/skep-ebpf/skep/vm/maps"
)

// RegType is what a register holds, in the kernel's terms (enum bpf_reg_type).
type RegType uint8

// The types of registers.
const (
	NotInit RegType = iota
	Scalar
	PtrToCtx
	ConstPtrToMap
	PtrToMapValue
	PtrToMapKey
	PtrToStack
	PtrToPacketMeta
	PtrToPacket
	PtrToPacketEnd
	PtrToFlowKeys
	PtrToSocket
	PtrToSockCommon
	PtrToTCPSock
	PtrToTPBuffer
	PtrToXDPSock
	PtrToBTF // an object that BTF describes
	PtrToMem // Size bytes
	PtrToArena
	PtrToBuf // a buffer of iterators and raw tracepoints, whose size is checked at attachment
	PtrToFunc
	ConstPtrToDynptr // a callback's or global function's argument
	PtrToInsn        // into an instruction array
)

// RegFlags modify a RegType, in the kernel's terms (enum bpf_type_flag).
type RegFlags uint32

// The flags of registers' types.
const (
	MaybeNull RegFlags = 1 << iota
	Readonly           // MEM_RDONLY
	Ringbuf            // MEM_RINGBUF: a record of a ring buffer
	UserMem            // MEM_USER: an address of user space
	PerCPU             // MEM_PERCPU
	Untrusted          // PTR_UNTRUSTED
	Trusted            // PTR_TRUSTED
	Alloc              // MEM_ALLOC: an object of bpf_obj_new
	RCU                // MEM_RCU: valid inside an RCU section
	NonOwning          // NON_OWN_REF: in a list or tree, whose lock is held
	WriteOnly          // MEM_UNINIT and the like: for arguments only
	DynptrLocal
	DynptrRingbuf
	DynptrSKB
	DynptrXDP
	DynptrSKBMeta
	DynptrFile

	anyDynptr = DynptrLocal | DynptrRingbuf | DynptrSKB | DynptrXDP | DynptrSKBMeta | DynptrFile
)

// Reg is what is known of a register, or of a register spilled to the stack.
// A Reg in a stack slot is never changed: it is replaced.
type Reg struct {
	// Value is the number, or the variable part of a pointer's offset.
	scalar.Value

	Type  RegType
	Frame uint8 // of a pointer to the stack: whose
	Flags RegFlags
	Off   int32 // fixed part of a pointer's offset, bytes
	// Range is, for a packet pointer, how many bytes behind it a comparison has
	// proved; negative: it lies beyond the end by at least that much less one
	// (AT_PKT_END -1, BEYOND_PKT_END -2).
	Range int32
	// ID links registers that hold the same: numbers that were copied, pointers
	// that become non-NULL together, packet pointers with the same variable offset.
	// For scalars idAddConst bits mark registers that differ from the others by
	// Delta. 0: none.
	ID       uint32
	Delta    int32
	RefID    uint32 // the reference that a pointer belongs to (ref_obj_id); 0: none
	ParentID uint32 // the dynptr whose data a pointer leads to (dynptr_id)
	Size     uint32 // of PtrToMem, bytes; of PtrToFunc: the function's index
	MapUID   uint32 // tells inner maps of different lookups apart
	Map      *Map   // of map pointers, values and keys
	BTF      *Type  // of PtrToBTF; of iterators on the stack
}

const (
	idAddConst64 = 1 << 31 // BPF_ADD_CONST64
	idAddConst32 = 1 << 30 // BPF_ADD_CONST32
	idAddConst   = idAddConst64 | idAddConst32
)

// Values of Reg.Range below 0.
const (
	atPacketEnd     = -1
	beyondPacketEnd = -2
)

// Type is a type of BTF that registers refer to. There is one Type for each type
// of a BTF, so that pointers can be compared.
type Type struct {
	btf.Type
	Name   string
	Kernel bool // of the kernel's or a module's BTF; otherwise the program's own
	// Fields are the special fields of a struct of the program's own.
	Fields maps.Fields
}

// isPacket reports whether the register points into a packet or its metadata.
func (r *Reg) isPacket() bool { return r.Type == PtrToPacket || r.Type == PtrToPacketMeta }

// is reports whether the register is of a type with all the flags.
func (r *Reg) is(t RegType, flags RegFlags) bool { return r.Type == t && r.Flags&flags == flags }

func (r *Reg) maybeNull() bool { return r.Flags&MaybeNull != 0 }

// isConst reports whether the register holds a known number.
func (r *Reg) isConst() bool { return r.Type == Scalar && r.Value.IsConst() }

// setConst makes the register a known number.
func (r *Reg) setConst(v uint64) { *r = Reg{Type: Scalar, Value: scalar.Const(v)} }

// setUnknown makes the register any number.
func (r *Reg) setUnknown() { *r = Reg{Type: Scalar, Value: scalar.Unknown()} }

// setPointer makes the register a pointer to an object's first byte.
func (r *Reg) setPointer(t RegType, flags RegFlags) {
	*r = Reg{Type: t, Flags: flags, Value: scalar.Const(0)}
}
