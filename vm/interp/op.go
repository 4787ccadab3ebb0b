package interp

import "unsafe"

// op is one instruction, decoded. An op stands at its instruction's index, and
// the second slot of a wide load is a trap that nothing reaches.
type op struct {
	code     uint8
	dst, src uint8
	shift    uint8  // LdxCtx: bits that the field lies above the bits loaded
	off      int32  // of an access, in bytes; of a jump, from the next op, in bytes of ops; else an index
	imm      uint64 // LdxCtx: mask of the bits loaded; CallLocal: words of the frame to zero
}

const opSize = int32(unsafe.Sizeof(op{}))

// skip is the op after o. Every program ends in a trap, so that there is one.
func (o *op) skip() *op { return (*op)(unsafe.Add(unsafe.Pointer(o), opSize)) }

// at is the op n further on, or back.
func (o *op) at(n int) *op { return (*op)(unsafe.Add(unsafe.Pointer(o), n*int(opSize))) }

// jump sets the target of a jump or call from instruction i.
func (o *op) jump(i, target int) { o.off = int32(target-i-1) * opSize }

// target is where a jump or call leads.
func (o *op) target() *op { return (*op)(unsafe.Add(unsafe.Pointer(o.skip()), o.off)) }
