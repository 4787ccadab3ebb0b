package maps

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// SockMap is a map of sockets: BPF_MAP_TYPE_SOCKMAP, SOCKHASH and
// REUSEPORT_SOCKARRAY. A socket is known by its number in the world, from 1. User
// space puts numbers in, where Linux takes file descriptors, and gets them back,
// where Linux gives cookies.
type SockMap interface {
	Map
	// Socket gives the number of the socket at a key, or 0.
	Socket(key []byte) uint32
	// SetSocket is an update by a program.
	SetSocket(key []byte, socket uint32, flags uint64) error
}

// sockArray is BPF_MAP_TYPE_SOCKMAP and BPF_MAP_TYPE_REUSEPORT_SOCKARRAY.
type sockArray struct {
	slots
	reuseport bool // a socket is in it once at most

	mu sync.Mutex      // of writers
	in map[uint32]bool // the sockets that are in a reuseport array; protected by mu
}

func newSockArray(info Info) (Map, error) {
	s := &sockArray{reuseport: info.Type == ebpf.ReusePortSockArray, in: make(map[uint32]bool)}
	s.init(info, s)
	return s, s.open()
}

// Socket implements SockMap.
func (s *sockArray) Socket(key []byte) uint32 { return s.at(u32(key)) }

// SetSocket implements SockMap.
func (s *sockArray) SetSocket(key []byte, socket uint32, flags uint64) error {
	i := u32(key)
	switch {
	case flags > UpdateExist:
		return errno.EINVAL
	case i >= s.info.MaxEntries:
		return errno.E2BIG
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.at(i)
	if err := checkExist(old != 0, flags); err != nil {
		return err
	}
	if s.reuseport {
		if s.in[socket] {
			return errno.EBUSY
		}
		delete(s.in, old)
		s.in[socket] = true
	}
	storeU32(s.mem.Addr()+uintptr(i)*4, socket)
	return nil
}

// Delete implements Map.
func (s *sockArray) Delete(key []byte) error { return s.userDelete(key) }

func (s *sockArray) userLookup(key, value []byte, _ uint64) error {
	return cookie(value, s.at(u32(key)))
}

func (s *sockArray) userUpdate(key, value []byte, flags uint64) error {
	socket, err := socketOf(value)
	if err != nil {
		return err
	}
	return s.SetSocket(key, socket, flags)
}

func (s *sockArray) userDelete(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.at(u32(key))
	err := s.slots.userDelete(key)
	delete(s.in, old)
	if err != nil && !s.reuseport {
		return errno.EINVAL // whatever is wrong
	}
	return err
}

// sockHash is BPF_MAP_TYPE_SOCKHASH.
type sockHash struct{ hash }

func newSockHash(info Info) (Map, error) {
	s := &sockHash{}
	s.init(info, s)
	err := s.hash.open()
	s.info.Values = Slab{}
	return s, err
}

// Socket implements SockMap.
func (s *sockHash) Socket(key []byte) uint32 {
	at := s.hash.Lookup(0, key)
	if at == 0 {
		return 0
	}
	return loadU32(at)
}

// SetSocket implements SockMap.
func (s *sockHash) SetSocket(key []byte, socket uint32, flags uint64) error {
	if flags > UpdateExist {
		return errno.EINVAL
	}
	value := binary.NativeEndian.AppendUint64(nil, uint64(socket))
	return s.update(0, key, value[:s.info.ValueSize], flags, true)
}

// Lookup implements Map: a socket is no value.
func (*sockHash) Lookup(int, []byte) uintptr { return 0 }

// Update implements Map.
func (*sockHash) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }

func (s *sockHash) userLookup(key, value []byte, _ uint64) error {
	return cookie(value, s.Socket(key))
}

func (s *sockHash) userUpdate(key, value []byte, flags uint64) error {
	socket, err := socketOf(value)
	if err != nil {
		return err
	}
	return s.SetSocket(key, socket, flags)
}

func (*sockHash) userTake([]byte, []byte, uint64) error { return errno.ENOTSUPP }

// cookie gives user space a socket.
func cookie(value []byte, socket uint32) error {
	switch {
	case len(value) != 8:
		return errno.ENOSPC
	case socket == 0:
		return errno.ENOENT
	}
	binary.NativeEndian.PutUint64(value, uint64(socket))
	return nil
}

// socketOf is the socket that user space means.
func socketOf(value []byte) (uint32, error) {
	n := uint64(u32(value))
	if len(value) == 8 {
		if n = binary.NativeEndian.Uint64(value); n > math.MaxInt32 {
			return 0, errno.EINVAL
		}
	}
	if n == 0 || n > math.MaxInt32 {
		return 0, errno.EBADF
	}
	return uint32(n), nil
}

func checkSockMap(spec *ebpf.MapSpec) error {
	switch {
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and must be at least 1")
	case spec.KeySize == 0 || spec.Type != ebpf.SockHash && spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and must be 4 in an array of sockets, and not 0 elsewhere", spec.KeySize)
	case spec.ValueSize != 4 && spec.ValueSize != 8:
		return refuse(errno.EINVAL, "value_size is %d, and must be 4 or 8", spec.ValueSize)
	case spec.KeySize > 512:
		return refuse(errno.E2BIG, "key_size is %d, and may be at most 512", spec.KeySize)
	}
	return nil
}
