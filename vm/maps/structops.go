package maps

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// structOps is BPF_MAP_TYPE_STRUCT_OPS: one value, a structure of the kernel's
// with functions that programs implement. It is written once; with BPF_F_LINK it
// is ready for links then, without it is in use until it is deleted, and never
// again.
//
// A value of a type that is called StructOpsPrefix and the structure's name is
// Linux's: a count and a state, and the structure behind them. One of any other
// type is the structure alone.
type structOps struct {
	common
	linux *btf.Struct // Linux's value; nil for the structure alone

	mu    sync.Mutex
	state uint32 // protected by mu
}

// StructOpsPrefix begins the names of Linux's types of values.
const StructOpsPrefix = "bpf_struct_ops_"

// enum bpf_struct_ops_state
const (
	opsInit = iota
	opsInUse
	opsToBeFree
	opsReady
)

// Linux's value.
const (
	offRefcnt   = 0
	offOpsState = 4
)

func newStructOps(info Info) (Map, error) {
	s := &structOps{}
	if v, ok := info.Value.(*btf.Struct); ok && strings.HasPrefix(v.Name, StructOpsPrefix) {
		s.linux = v
	}
	s.init(info, s)
	return s, s.reserve(uint64(info.ValueSize))
}

func (s *structOps) value() []byte { return mem.View(s.mem.Addr(), int(s.info.ValueSize)) }

// Update implements Map.
func (*structOps) Update(int, []byte, []byte, uint64) error { return errno.EINVAL }

// Delete implements Map.
func (*structOps) Delete([]byte) error { return errno.EINVAL }

func (s *structOps) userLookup(key, value []byte, _ uint64) error {
	if u32(key) != 0 {
		return errno.ENOENT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(value, s.value())
	if s.linux != nil {
		putU32(value[offOpsState:], s.state)
		if s.state == opsInUse {
			putU32(value[offRefcnt:], 1)
		}
	}
	return nil
}

func (s *structOps) userUpdate(key, value []byte, flags uint64) error {
	switch {
	case flags != UpdateAny:
		return errno.EINVAL
	case u32(key) != 0:
		return errno.E2BIG
	}
	if s.linux != nil && !s.clean(value) {
		return errno.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != opsInit {
		return errno.EBUSY
	}
	if s.linux != nil {
		if ok, err := s.check(value); !ok || err != nil {
			return err
		}
	}
	s.state = opsInUse
	if s.info.Flags&FlagLink != 0 {
		s.state = opsReady
	}
	copy(s.value(), value)
	return nil
}

// operations gives the structure of operations in Linux's value, and its bytes; nil where
// the value has none.
func (s *structOps) operations(value []byte) (*btf.Struct, []byte) {
	for _, m := range s.linux.Members {
		ops, ok := btf.As[*btf.Struct](m.Type)
		if ok && ops.Name == strings.TrimPrefix(s.linux.Name, StructOpsPrefix) {
			return ops, value[m.Offset.Bytes():]
		}
	}
	return nil, nil
}

// clean reports whether a value's count, state and padding are 0.
func (s *structOps) clean(value []byte) bool {
	if !zeroHoles(s.linux, value) || u32(value[offRefcnt:]) != 0 || u32(value[offOpsState:]) != 0 {
		return false
	}
	ops, data := s.operations(value)
	return ops == nil || zeroHoles(ops, data)
}

// check refuses what the structure's members must not be: functions that are no
// struct_ops programs, or other members' programs, and what the kernel's own code
// for the structure refuses. A module that owns the structure is refused without an
// error, as Linux does it.
func (s *structOps) check(value []byte) (ok bool, err error) {
	ops, data := s.operations(value)
	if ops == nil {
		return true, nil
	}
	rules := opsRules[ops.Name]
	set := make(map[string]bool)
	for i, m := range ops.Members {
		member := data[m.Offset.Bytes():]
		if isFunc(m.Type) {
			id := u32(member)
			if err := checkOps(id, ebpf.AttachType(i)); err != nil {
				return false, err
			}
			set[m.Name] = id != 0
			continue
		}
		if isModule(m.Type) && binary.NativeEndian.Uint64(member) != 0 {
			return false, nil
		}
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			return false, errno.EINVAL
		}
		if rules != nil && !rules.allows(m.Name, member[:size]) {
			return false, errno.EINVAL
		}
	}
	if rules != nil && !rules.complete(set) {
		return false, errno.EINVAL
	}
	return true, nil
}

// isFunc reports whether t is a pointer to a function.
func isFunc(t btf.Type) bool {
	p, ok := btf.As[*btf.Pointer](t)
	if !ok {
		return false
	}
	_, ok = btf.As[*btf.FuncProto](p.Target)
	return ok
}

// isModule reports whether t is a pointer to a module.
func isModule(t btf.Type) bool {
	p, ok := btf.As[*btf.Pointer](t)
	if !ok {
		return false
	}
	s, ok := btf.As[*btf.Struct](p.Target)
	return ok && s.Name == "module"
}

// checkOps refuses a number that stands for no struct_ops program, or for that of
// another member, as far as the program says for which one it is; 0 is none.
func checkOps(id uint32, member ebpf.AttachType) error {
	if id == 0 {
		return nil
	}
	p, ok := ProgByID(id).(interface {
		Kind() (ebpf.ProgramType, ebpf.AttachType)
	})
	if !ok {
		return errno.EBADF
	}
	if typ, attach := p.Kind(); typ != ebpf.StructOps || attach != 0 && attach != member {
		return errno.EINVAL
	}
	return nil
}

// zeroHoles reports whether the bytes between the members of a structure and
// behind them are 0; false, too, where members are not within the structure.
func zeroHoles(t *btf.Struct, value []byte) bool {
	end := uint32(0) // of the member before
	holes := func(from, to uint32) bool {
		if uint64(to) > uint64(len(value)) {
			return false
		}
		for ; from < to; from++ {
			if value[from] != 0 {
				return false
			}
		}
		return true
	}
	for _, m := range t.Members {
		at := m.Offset.Bytes()
		size, err := btf.Sizeof(m.Type)
		if err != nil || !holes(end, at) {
			return false
		}
		end = at + uint32(size)
	}
	return end <= t.Size && holes(end, t.Size)
}

func (s *structOps) userDelete([]byte) error {
	if s.info.Flags&FlagLink != 0 {
		return errno.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case opsInUse:
		s.state = opsToBeFree
		return nil
	case opsToBeFree:
		return errno.EINPROGRESS
	}
	return errno.ENOENT
}

func (s *structOps) nextKey(key, next []byte) error { return nextIndex(key, next, 1) }

// Freeze implements Map.
func (*structOps) Freeze() error { return errno.ENOTSUPP }

func checkStructOps(spec *ebpf.MapSpec) error {
	v, _ := spec.Value.(*btf.Struct)
	switch {
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and must be 4", spec.KeySize)
	case spec.MaxEntries != 1:
		return refuse(errno.EINVAL, "max_entries is %d, and must be 1", spec.MaxEntries)
	case spec.ValueSize == 0:
		return refuse(errno.EINVAL, "value_size is 0, and must be that of the structure")
	case v != nil && strings.HasPrefix(v.Name, StructOpsPrefix) && (v.Size != spec.ValueSize || v.Size < offOpsState+4):
		return refuse(errno.EINVAL, "value_size is %d, and struct %s has %d bytes", spec.ValueSize, v.Name, v.Size)
	}
	return nil
}
