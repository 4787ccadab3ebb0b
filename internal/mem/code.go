package mem

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Code is machine code that can be executed. Its memory is written once, before it
// becomes executable, and is never both writable and executable.
type Code struct {
	b []byte
}

// codes counts the mappings that hold code.
var codes atomic.Int64

// Codes is how many pieces of code have not been freed.
func Codes() int { return int(codes.Load()) }

// NewCode makes text executable, in a mapping of its own. It fails where the
// system's policy forbids to make memory executable.
func NewCode(text []byte) (*Code, error) {
	b, err := reserve(max(len(text), 1))
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes for machine code: %w", len(text), err)
	}
	copy(b, text)
	if err := execute(b); err != nil {
		_ = release(b) // the first error says what is wrong
		return nil, fmt.Errorf("make machine code executable: %w", err)
	}
	codes.Add(1)
	return &Code{b}, nil
}

// Addr is the address of the first byte.
func (c *Code) Addr() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(c.b))) }

// Bytes is the code, which must not be written to.
func (c *Code) Bytes() []byte { return c.b }

// Free gives the memory back. Nobody may execute the code any more.
func (c *Code) Free() error {
	b := c.b
	c.b = nil
	if b == nil {
		return nil
	}
	codes.Add(-1)
	return release(b)
}
