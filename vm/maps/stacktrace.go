package maps

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// StackTrace is BPF_MAP_TYPE_STACK_TRACE: stacks by number. A stack's number is
// its hash, so that equal stacks have one number, and where two stacks come to
// have the same, one of them is in the map.
//
// Bucket i is a u32 length in bytes (0: empty), a u32 hash, and the frames.
type StackTrace struct {
	common
	stride uintptr
	n      uint32 // a power of two

	mu sync.Mutex
}

// Parts of the flags of bpf_get_stackid.
const (
	StackSkip        = 0xff    // frames to leave out
	StackUser        = 1 << 8  // user space's frames
	StackFastCompare = 1 << 9  // believe in hashes
	StackReuse       = 1 << 10 // replace a stack that has the same number
	StackBuildID     = 1 << 11 // bpf_get_stack's

	maxStack   = 127 // sysctl kernel.perf_event_max_stack
	frameSize  = 8
	buildFrame = 32 // struct bpf_stack_build_id
)

func newStackTrace(info Info) (Map, error) {
	s := &StackTrace{n: uint32(1) << bits.Len32(info.MaxEntries-1)}
	s.stride = uintptr(8 + roundUp(uint64(info.ValueSize), 8))
	s.init(info, s)
	return s, s.reserve(uint64(s.n) * uint64(s.stride))
}

func (s *StackTrace) bucket(id uint32) uintptr { return s.mem.Addr() + uintptr(id)*s.stride }

// Frames is how many frames of a stack the map keeps.
func (s *StackTrace) Frames() int {
	if s.info.Flags&FlagStackBuildID != 0 {
		return int(s.info.ValueSize) / buildFrame
	}
	return int(s.info.ValueSize) / frameSize
}

// Put keeps a stack, innermost frame first, and gives its number: EEXIST where
// another stack has it and flags do not say StackReuse.
func (s *StackTrace) Put(frames []uint64, flags uint64) (uint32, error) {
	if s.info.Flags&FlagStackBuildID != 0 {
		return 0, errno.EINVAL // there are no files to name
	}
	var trace []byte
	for _, f := range frames[:min(len(frames), s.Frames())] {
		trace = binary.NativeEndian.AppendUint64(trace, f)
	}
	hash := uint32(hashOf(trace, 0))
	id := hash & (s.n - 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.bucket(id)
	length := loadU32(at)
	kept := mem.View(at+8, int(length))
	switch {
	case length == 0:
	case loadU32(at+4) == hash && (flags&StackFastCompare != 0 || string(kept) == string(trace)):
		return id, nil
	case flags&StackReuse == 0:
		return 0, errno.EEXIST
	}
	storeU32(at, uint32(len(trace)))
	storeU32(at+4, hash)
	copy(mem.View(at+8, len(trace)), trace)
	return id, nil
}

// Update implements Map.
func (*StackTrace) Update(int, []byte, []byte, uint64) error { return errno.EINVAL }

// Delete implements Map.
func (s *StackTrace) Delete(key []byte) error { return s.userDelete(key) }

func (s *StackTrace) userLookup(key, value []byte, _ uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(key, value)
}

func (s *StackTrace) userTake(key, value []byte, _ uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(key, value); err != nil {
		return err
	}
	storeU32(s.bucket(u32(key)), 0)
	return nil
}

// read copies a stack; the caller holds mu.
func (s *StackTrace) read(key, value []byte) error {
	id := u32(key)
	if id >= s.n || loadU32(s.bucket(id)) == 0 {
		return errno.ENOENT
	}
	clear(value[copy(value, mem.View(s.bucket(id)+8, int(loadU32(s.bucket(id))))):])
	return nil
}

func (*StackTrace) userUpdate([]byte, []byte, uint64) error { return errno.EINVAL }

func (s *StackTrace) userDelete(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := u32(key)
	switch {
	case id >= s.n:
		return errno.E2BIG
	case loadU32(s.bucket(id)) == 0:
		return errno.ENOENT
	}
	storeU32(s.bucket(id), 0)
	return nil
}

func (s *StackTrace) nextKey(key, next []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := uint32(0)
	if key != nil {
		if last := u32(key); last < s.n && loadU32(s.bucket(last)) != 0 {
			id = last + 1
		}
	}
	for ; id < s.n; id++ {
		if loadU32(s.bucket(id)) != 0 {
			putU32(next, id)
			return nil
		}
	}
	return errno.ENOENT
}

func checkStackTrace(spec *ebpf.MapSpec) error {
	frame := uint32(frameSize)
	if spec.Flags&FlagStackBuildID != 0 {
		frame = buildFrame
	}
	switch {
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and must be at least 1")
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and a stack's number has 4 bytes", spec.KeySize)
	case spec.ValueSize < 8 || spec.ValueSize%frame != 0 || spec.ValueSize/frame > maxStack:
		return refuse(errno.EINVAL, "value_size is %d, and must be that of 1 to %d frames of %d bytes", spec.ValueSize, maxStack, frame)
	case spec.MaxEntries > 1<<31:
		return refuse(errno.E2BIG, "max_entries is %d, and may be at most %d", spec.MaxEntries, 1<<31)
	}
	return nil
}
