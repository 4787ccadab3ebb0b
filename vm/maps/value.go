package maps

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/mem"
)

// loadU32 reads four bytes outside the Go heap atomically.
func loadU32(addr uintptr) uint32 { return atomic.LoadUint32((*uint32)(mem.At(addr))) }

// storeU32 writes them.
func storeU32(addr uintptr, v uint32) { atomic.StoreUint32((*uint32)(mem.At(addr)), v) }
func storeU64(addr uintptr, v uint64) { atomic.StoreUint64((*uint64)(mem.At(addr)), v) }

// setU32 writes them without an order: for what nobody reads before something else
// that is written later says that it may.
func setU32(addr uintptr, v uint32) { *(*uint32)(mem.At(addr)) = v }

// casU32 replaces old.
func casU32(addr uintptr, old, v uint32) bool {
	return atomic.CompareAndSwapUint32((*uint32)(mem.At(addr)), old, v)
}

// addressOf is the address of memory outside the Go heap.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

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

// write puts a value at an address. Its special fields stay as they are; with
// FlagLock its spin lock is held meanwhile.
func (c *common) write(addr uintptr, value []byte, flags uint64) {
	if len(c.info.Fields) == 0 {
		copyTo(addr, value)
	} else {
		c.writeFields(addr, value, flags)
	}
}

func (c *common) writeFields(addr uintptr, value []byte, flags uint64) {
	if flags&FlagLock != 0 {
		lock := addr + uintptr(c.spin)
		spinLock(lock)
		defer spinUnlock(lock)
	}
	c.info.Fields.copyInto(mem.View(addr, len(value)), value)
}

// overwrite is write over a value that ends here: what its special fields keep is
// freed.
func (c *common) overwrite(addr uintptr, value []byte, flags uint64) {
	c.write(addr, value, flags)
	if len(c.info.Fields) > 0 {
		c.info.Fields.Free(&c.info, addr)
	}
}

// read copies a value to user space, which sees nothing of its special fields.
func (c *common) read(value []byte, addr uintptr, flags uint64) {
	if len(c.info.Fields) == 0 {
		copyFrom(value, addr)
	} else {
		c.readFields(value, addr, flags)
	}
}

func (c *common) readFields(value []byte, addr uintptr, flags uint64) {
	if flags&FlagLock != 0 {
		lock := addr + uintptr(c.spin)
		spinLock(lock)
		defer spinUnlock(lock)
	}
	copyFrom(value, addr)
	c.info.Fields.hide(value)
}

// copyFrom copies bytes from an address; eight, the most frequent number, without a call.
func copyFrom(dst []byte, addr uintptr) {
	if len(dst) == 8 {
		binary.NativeEndian.PutUint64(dst, *(*uint64)(mem.At(addr)))
		return
	}
	copy(dst, mem.View(addr, len(dst)))
}

// copyTo is the way back.
func copyTo(addr uintptr, src []byte) {
	if len(src) == 8 {
		*(*uint64)(mem.At(addr)) = binary.NativeEndian.Uint64(src)
		return
	}
	copy(mem.View(addr, len(src)), src)
}

// writeCPUs puts user space's values of all CPUs at addr and every row bytes on;
// with FlagCPU one CPU's, with FlagAllCPUs the same one everywhere.
func (c *common) writeCPUs(addr, row uintptr, value []byte, flags uint64) {
	if flags&FlagCPU != 0 {
		c.overwrite(addr+uintptr(flags>>32)*row, value, 0)
		return
	}
	size := len(value) / c.info.CPUs
	for cpu := range c.info.CPUs {
		one := value
		if flags&FlagAllCPUs == 0 {
			one = value[cpu*size : (cpu+1)*size]
		}
		c.overwrite(addr+uintptr(cpu)*row, one, 0)
	}
}

// readCPUs is the way back.
func (c *common) readCPUs(value []byte, addr, row uintptr, flags uint64) {
	if flags&FlagCPU != 0 {
		c.read(value, addr+uintptr(flags>>32)*row, 0)
		return
	}
	size := len(value) / c.info.CPUs
	for cpu := range c.info.CPUs {
		c.read(value[cpu*size:(cpu+1)*size], addr+uintptr(cpu)*row, 0)
	}
}

const cacheLine = 64

// rowOf is how many elements of stride bytes lie between one CPU's values and
// the next one's, so that no two CPUs share a cache line.
func rowOf(n, stride uint64) uint64 { return n + (cacheLine+stride-1)/stride }
