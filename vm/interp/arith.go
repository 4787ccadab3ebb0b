package interp

import (
	"sync/atomic"
	"unsafe"
)

// Division as eBPF has it: by zero it gives 0, the remainder is then the
// dividend, and the least number divided by -1 is itself. The last is Go's rule
// too.

func div64(a, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func mod64(a, b uint64) uint64 {
	if b == 0 {
		return a
	}
	return a % b
}

func sdiv64(a, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	return uint64(int64(a) / int64(b))
}

func smod64(a, b uint64) uint64 {
	if b == 0 {
		return a
	}
	return uint64(int64(a) % int64(b))
}

func div32(a, b uint32) uint32 {
	if b == 0 {
		return 0
	}
	return a / b
}

func mod32(a, b uint32) uint32 {
	if b == 0 {
		return a
	}
	return a % b
}

func sdiv32(a, b uint32) uint32 {
	if b == 0 {
		return 0
	}
	return uint32(int32(a) / int32(b))
}

func smod32(a, b uint32) uint32 {
	if b == 0 {
		return a
	}
	return uint32(int32(a) % int32(b))
}

// Atomic operations. Each gives the value before it.

func fetchAdd64(p *uint64, v uint64) uint64 { return atomic.AddUint64(p, v) - v }
func fetchAdd32(p *uint32, v uint32) uint32 { return atomic.AddUint32(p, v) - v }
func fetchOr64(p *uint64, v uint64) uint64  { return atomic.OrUint64(p, v) }
func fetchOr32(p *uint32, v uint32) uint32  { return atomic.OrUint32(p, v) }
func fetchAnd64(p *uint64, v uint64) uint64 { return atomic.AndUint64(p, v) }
func fetchAnd32(p *uint32, v uint32) uint32 { return atomic.AndUint32(p, v) }

func fetchXor64(p *uint64, v uint64) uint64 {
	for {
		old := atomic.LoadUint64(p)
		if atomic.CompareAndSwapUint64(p, old, old^v) {
			return old
		}
	}
}

func fetchXor32(p *uint32, v uint32) uint32 {
	for {
		old := atomic.LoadUint32(p)
		if atomic.CompareAndSwapUint32(p, old, old^v) {
			return old
		}
	}
}

func cmpxchg64(p *uint64, expect, v uint64) uint64 {
	for {
		old := atomic.LoadUint64(p)
		if old != expect || atomic.CompareAndSwapUint64(p, old, v) {
			return old
		}
	}
}

func cmpxchg32(p *uint32, expect, v uint32) uint32 {
	for {
		old := atomic.LoadUint32(p)
		if old != expect || atomic.CompareAndSwapUint32(p, old, v) {
			return old
		}
	}
}

// Go has no atomic bytes. A byte or a half word is part of an aligned word,
// which is always mapped whole.

func loadAcquire64(p unsafe.Pointer) uint64 { return atomic.LoadUint64((*uint64)(p)) }
func loadAcquire32(p unsafe.Pointer) uint32 { return atomic.LoadUint32((*uint32)(p)) }

func loadAcquire16(p unsafe.Pointer) uint16 {
	word, shift := wordOf(p)
	return uint16(atomic.LoadUint32(word) >> shift)
}

func loadAcquire8(p unsafe.Pointer) uint8 {
	word, shift := wordOf(p)
	return uint8(atomic.LoadUint32(word) >> shift)
}

func storeRelease64(p unsafe.Pointer, v uint64) { atomic.StoreUint64((*uint64)(p), v) }
func storeRelease32(p unsafe.Pointer, v uint32) { atomic.StoreUint32((*uint32)(p), v) }

func storeRelease16(p unsafe.Pointer, v uint16) {
	word, shift := wordOf(p)
	replace(word, 0xffff<<shift, uint32(v)<<shift)
}

func storeRelease8(p unsafe.Pointer, v uint8) {
	word, shift := wordOf(p)
	replace(word, 0xff<<shift, uint32(v)<<shift)
}

// wordOf gives the aligned word that p points into, and how many bits into it.
func wordOf(p unsafe.Pointer) (*uint32, uint) {
	in := uintptr(p) & 3
	return (*uint32)(unsafe.Add(p, -int(in))), uint(in) * 8
}

func replace(word *uint32, mask, bits uint32) {
	for {
		old := atomic.LoadUint32(word)
		if atomic.CompareAndSwapUint32(word, old, old&^mask|bits) {
			return
		}
	}
}
