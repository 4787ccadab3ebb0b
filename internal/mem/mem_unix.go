//go:build unix

package mem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func reserve(size int) ([]byte, error) { return mapped(size, noReserve) }

// prepare is reserve for memory of which all will be used, and soon.
func prepare(size int) ([]byte, error) { return mapped(size, populate) }

func mapped(size, flags int) ([]byte, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|flags)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// releasesParts says that some pages of what was reserved can be released.
const releasesParts = true

func release(b []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}
