package exec

import "github.com/skep-ebpf/skep/vm/maps"

// Prov is where a register's value came from, for checked mode: the region that
// a pointer may reach in the upper half, and which element of it in the lower.
// The zero Prov is a number.
type Prov uint64

// RegionID names a region. The fixed ones come first; each map's values follow,
// by handle.
type RegionID uint32

// The fixed regions.
const (
	RegionNone      RegionID = iota // a number
	RegionCtx                       // the context; accesses are converted
	RegionPacket                    // data .. data_end
	RegionMeta                      // data_meta .. data
	RegionPacketEnd                 // comparable, not accessible
	RegionStale                     // was a packet pointer until a helper moved the packet
	RegionMap                       // a map itself; element: its handle
	RegionFunc                      // a function; element: its first instruction
	RegionRecord                    // memory that a helper lent; element: its number
	RegionBuffer                    // memory that the context leads to: [State.Buffer]
	RegionBTF                       // a kernel object; element: its index in Env.Objects
	RegionSock                      // a socket; element: its number
	RegionHeap                      // an object that a program allocated; element: its number
	RegionSlot                      // part of a dynptr or an iterator on the stack; element: which
	RegionStack                     // the first of MaxDepth, by call depth
	regionMaps      = RegionStack + MaxDepth
)

// Nowhere is the Prov of a number that typed memory held where a pointer may lie.
// Used as a pointer it leads nowhere: loads through it give 0, as Linux's loads
// of typed memory do where there is none.
const Nowhere = Prov(RegionNone)<<32 | 1<<31

// Make builds a Prov.
func Make(r RegionID, elem uint32) Prov { return Prov(r)<<32 | Prov(elem) }

// MapValue is the Prov of a pointer to value elem of a map.
func MapValue(h maps.Handle, elem uint32) Prov { return Make(regionMaps+RegionID(h), elem) }

// Region is the pointer's region.
func (p Prov) Region() RegionID { return RegionID(p >> 32) }

// Elem is the element of the region that the pointer may reach.
func (p Prov) Elem() uint32 { return uint32(p) }

// Handle is the map whose values the region is, or 0.
func (r RegionID) Handle() maps.Handle {
	if r < regionMaps {
		return 0
	}
	return maps.Handle(r - regionMaps)
}

// Region is memory that a pointer may reach: Size bytes at Base + elem*Stride.
type Region struct {
	Base   uintptr
	Stride uintptr
	Size   uintptr
	// ReadOnly refuses writes, WriteOnly reads (BPF_F_RDONLY_PROG and
	// BPF_F_WRONLY_PROG).
	ReadOnly, WriteOnly bool
	// Guarded is Size where every access is looked at, as some bytes are no
	// program's to access: in the table Size is 0 then.
	Guarded uintptr
}
