package maps

import (
	"iter"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// devMap is BPF_MAP_TYPE_DEVMAP. The machine does not know which interfaces
// there are: any index but 0 is taken, and who sends the packet finds out.
type devMap struct{ targets }

func newDevMap(info Info) (Map, error) {
	// A lookup gives the map's own memory.
	info.Flags |= FlagRdonlyProg
	d := &devMap{}
	d.init(info, d)
	d.attach = ebpf.AttachXDPDevMap
	return d, d.open()
}

// Target implements Targets.
func (d *devMap) Target(key uint64) (Target, bool) {
	addr := d.at(uint32(key))
	if addr == 0 {
		return Target{}, false
	}
	return devTarget(addr, d.info.ValueSize), true
}

// All implements Targets.
func (d *devMap) All() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		for i := range d.info.MaxEntries {
			if t, ok := d.Target(uint64(i)); ok && !yield(t) {
				return
			}
		}
	}
}

func (d *devMap) userUpdate(key, value []byte, flags uint64) error {
	if err := d.checkSet(key, flags); err != nil {
		return err
	}
	if u32(value) == 0 && progOf(value) != 0 {
		return errno.EINVAL // a program without an interface
	}
	if err := checkProg(value, d.attach); err != nil {
		return err
	}
	d.set(key, value)
	return nil
}

// devTarget reads struct bpf_devmap_val.
func devTarget(addr uintptr, size uint32) Target {
	v := mem.View(addr, int(size))
	return Target{To: u32(v), Prog: progOf(v)}
}

// devMapHash is BPF_MAP_TYPE_DEVMAP_HASH.
type devMapHash struct{ hash }

func newDevMapHash(info Info) (Map, error) {
	info.Flags |= FlagRdonlyProg
	d := &devMapHash{}
	d.init(info, d)
	return d, d.hash.open()
}

// Target implements Targets.
func (d *devMapHash) Target(key uint64) (Target, bool) {
	var k [4]byte
	putU32(k[:], uint32(key))
	addr := d.Lookup(0, k[:])
	if addr == 0 {
		return Target{}, false
	}
	return devTarget(addr, d.info.ValueSize), true
}

// All implements Targets.
func (d *devMapHash) All() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		key := make([]byte, 4)
		for err := d.nextKey(nil, key); err == nil; err = d.nextKey(key, key) {
			if t, ok := d.Target(uint64(u32(key))); ok && !yield(t) {
				return
			}
		}
	}
}

// Update implements Map: only user space puts interfaces in.
func (d *devMapHash) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }

// Delete implements Map: and only user space takes them out.
func (d *devMapHash) Delete([]byte) error { return errno.EOPNOTSUPP }

func (d *devMapHash) userUpdate(key, value []byte, flags uint64) error {
	switch {
	case flags > UpdateExist || u32(value) == 0:
		return errno.EINVAL
	case flags == UpdateNoExist && d.find(key, d.hash.hash(key)) != 0:
		return errno.EEXIST
	}
	if err := checkProg(value, ebpf.AttachXDPDevMap); err != nil {
		return err
	}
	var clean [8]byte
	putU32(clean[:], u32(value))
	putU32(clean[4:], progOf(value))
	// Linux takes BPF_EXIST for a key that is not there.
	return d.update(0, key, clean[:len(value)], flags&UpdateNoExist, true)
}

func (d *devMapHash) userTake([]byte, []byte, uint64) error { return errno.ENOTSUPP }
