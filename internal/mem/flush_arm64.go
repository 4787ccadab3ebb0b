//go:build unix

package mem

import "unsafe"

// flush makes what was written to b visible to the fetching of instructions, which
// arm64 does not do by itself.
func flush(b []byte) {
	if len(b) > 0 {
		flushCaches(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
	}
}

//go:noescape
func flushCaches(p unsafe.Pointer, n uintptr)
