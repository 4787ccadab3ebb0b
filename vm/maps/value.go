package maps

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/mem"
)

// loadU32 reads four bytes outside the Go heap atomically.
func loadU32(addr uintptr) uint32 { return atomic.LoadUint32((*uint32)(mem.At(addr))) }

// storeU32 writes them.
func storeU32(addr uintptr, v uint32) { atomic.StoreUint32((*uint32)(mem.At(addr)), v) }

// casU32 replaces old.
func casU32(addr uintptr, old, v uint32) bool {
	return atomic.CompareAndSwapUint32((*uint32)(mem.At(addr)), old, v)
}

// u32 reads a number of a key or value, in the machine's byte order.
func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

// putU32 writes one.
func putU32(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }

// spinLock takes a lock word: 0 free, 1 taken, as programs do with a
// bpf_spin_lock.
func spinLock(addr uintptr) {
	for n := 1; !casU32(addr, 0, 1); n++ {
		if n%64 == 0 {
			runtime.Gosched() // the holder may be waiting for this processor
		}
	}
}

func spinUnlock(addr uintptr) { storeU32(addr, 0) }

const spinLockSize = 4

// spinLockOffset finds the bpf_spin_lock in a value, in bytes; -1 without one.
func spinLockOffset(value btf.Type) int {
	if value == nil {
		return -1
	}
	s, ok := btf.UnderlyingType(value).(*btf.Struct)
	if !ok {
		return -1
	}
	for _, m := range s.Members {
		if t, ok := btf.UnderlyingType(m.Type).(*btf.Struct); ok && t.Name == "bpf_spin_lock" {
			return int(m.Offset.Bytes())
		}
	}
	return -1
}

// write puts a value at an address. The value's spin lock stays as it is; with
// FlagLock it is held meanwhile.
func (c *common) write(addr uintptr, value []byte, flags uint64) {
	dst := mem.View(addr, len(value))
	if c.spin < 0 {
		copy(dst, value)
		return
	}
	lock := addr + uintptr(c.spin)
	if flags&FlagLock != 0 {
		spinLock(lock)
		defer spinUnlock(lock)
	}
	copy(dst[:c.spin], value)
	copy(dst[c.spin+spinLockSize:], value[c.spin+spinLockSize:])
}

// read copies a value to user space, which sees a spin lock as zeroes.
func (c *common) read(value []byte, addr uintptr, flags uint64) {
	src := mem.View(addr, len(value))
	if c.spin < 0 {
		copy(value, src)
		return
	}
	lock := addr + uintptr(c.spin)
	if flags&FlagLock != 0 {
		spinLock(lock)
		defer spinUnlock(lock)
	}
	copy(value[:c.spin], src)
	clear(value[c.spin : c.spin+spinLockSize])
	copy(value[c.spin+spinLockSize:], src[c.spin+spinLockSize:])
}

// writeCPUs puts user space's values of all CPUs at addr and every row bytes on.
func (c *common) writeCPUs(addr, row uintptr, value []byte) {
	size := len(value) / c.info.CPUs
	for cpu := range c.info.CPUs {
		copy(mem.View(addr+uintptr(cpu)*row, size), value[cpu*size:])
	}
}

// readCPUs is the way back.
func (c *common) readCPUs(value []byte, addr, row uintptr) {
	size := len(value) / c.info.CPUs
	for cpu := range c.info.CPUs {
		copy(value[cpu*size:(cpu+1)*size], mem.View(addr+uintptr(cpu)*row, size))
	}
}

const cacheLine = 64

// rowOf is how many elements of stride bytes lie between one CPU's values and
// the next one's, so that no two CPUs share a cache line.
func rowOf(n, stride uint64) uint64 { return n + (cacheLine+stride-1)/stride }
