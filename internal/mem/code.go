package mem

import (
	"fmt"
	"os"
	"sync"
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

// NewCode makes text executable, in pages of its own. It fails where the
// system's policy forbids to make memory executable.
func NewCode(text []byte) (*Code, error) {
	b, err := codePages(max(len(text), 1))
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

// regionPages is how many pages for code are mapped at once: that takes hardly longer
// than one.
const regionPages = 16

// region has the pages that were mapped and have not been given to any code.
var region struct {
	sync.Mutex
	left []byte
}

// codePages gives pages that nothing else has, of which size bytes are to be used.
// Where pages can be given back one by one, and for short code, they are some of a
// region's; what is left of one that is too small is given back.
func codePages(size int) ([]byte, error) {
	page := os.Getpagesize()
	pages := (size + page - 1) &^ (page - 1)
	if !releasesParts || pages > page*regionPages/4 {
		return reserve(size)
	}
	region.Lock()
	defer region.Unlock()
	if len(region.left) < pages {
		b, err := prepare(page * regionPages)
		if err != nil {
			return nil, err
		}
		if len(region.left) > 0 {
			_ = release(region.left) // memory that cannot be unmapped is lost
		}
		region.left = b
	}
	b := region.left[:size:pages]
	region.left = region.left[pages:]
	return b, nil
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
