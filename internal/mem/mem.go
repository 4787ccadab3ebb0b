// Package mem gives memory outside the Go heap: it never moves, the garbage
// collector does not scan it, and native code may hold its address.
//
// A [Block] is reserved whole and backed by the system page by page as it is
// touched, so that a large one costs nothing until it is used.
package mem

import (
	"fmt"
	"unsafe"
)

// Block is a piece of memory. It starts zeroed and page-aligned.
type Block struct {
	b []byte
}

// New reserves size bytes. A size of zero gives a Block of one byte, so that
// every Block has an address.
func New(size uint64) (*Block, error) {
	size = max(size, 1)
	if size > 1<<47 {
		return nil, fmt.Errorf("reserve %d bytes: more than an address space holds", size)
	}
	b, err := reserve(int(size))
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes: %w", size, err)
	}
	return &Block{b}, nil
}

// Dense says that most of a block will be used, and in no order: the system may
// then back it with large pages, which makes access to any part of it faster.
func (m *Block) Dense() { dense(m.b) }

// Addr is the address of the first byte.
func (m *Block) Addr() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(m.b))) }

// Bytes is the memory itself. It must not be used after Free.
func (m *Block) Bytes() []byte { return m.b }

// Free gives the memory back. The Block must not be used afterwards, nor any
// address in it.
func (m *Block) Free() error {
	b := m.b
	m.b = nil
	if b == nil {
		return nil
	}
	return release(b)
}

// At views an address outside the Go heap as a pointer. The caller vouches that
// n bytes there are live: that is what the verifier proved or a checked access
// has just tested.
func At(addr uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), addr) }

// View gives n bytes at addr, under [At]'s condition.
func View(addr uintptr, n int) []byte { return unsafe.Slice((*byte)(At(addr)), n) }
