package mem

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

func reserve(size int) ([]byte, error) {
	addr, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(At(addr)), size), nil
}

// prepare is reserve for memory of which all will be used, and soon.
func prepare(size int) ([]byte, error) { return reserve(size) }

// releasesParts says that some pages of what was reserved can be released.
const releasesParts = false

func release(b []byte) error {
	return windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(b))), 0, windows.MEM_RELEASE)
}

func dense([]byte) {}
