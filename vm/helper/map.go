package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func init() {
	register(
		&Helper{ID: 1, Name: "bpf_map_lookup_elem", Func: mapLookup,
			Args: []Arg{ArgConstMapPtr, ArgPtrToMapKey}, Ret: RetPtrToMapValueOrNull},
		&Helper{ID: 2, Name: "bpf_map_update_elem", Func: mapUpdate,
			Args: []Arg{ArgConstMapPtr, ArgPtrToMapKey, ArgPtrToMapValue, ArgAnything}},
		&Helper{ID: 3, Name: "bpf_map_delete_elem", Func: mapDelete,
			Args: []Arg{ArgConstMapPtr, ArgPtrToMapKey}},
		&Helper{ID: 12, Name: "bpf_tail_call", Func: noop, // the engine's own operation
			Args: []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgAnything}, Ret: RetVoid},
		&Helper{ID: 87, Name: "bpf_map_push_elem", Func: mapPush,
			Args: []Arg{ArgConstMapPtr, ArgPtrToMapValue, ArgAnything}},
		&Helper{ID: 88, Name: "bpf_map_pop_elem", Func: mapPop,
			Args: []Arg{ArgConstMapPtr, ArgPtrToUninitMapValue}},
		&Helper{ID: 89, Name: "bpf_map_peek_elem", Func: mapPeek,
			Args: []Arg{ArgConstMapPtr, ArgPtrToUninitMapValue}},
		&Helper{ID: 164, Name: "bpf_for_each_map_elem", Func: mapForEach,
			Args: []Arg{ArgConstMapPtr, ArgPtrToFunc, ArgPtrToStackOrNull, ArgAnything}},
		&Helper{ID: 195, Name: "bpf_map_lookup_percpu_elem", Func: mapLookupPerCPU,
			Args: []Arg{ArgConstMapPtr, ArgPtrToMapKey, ArgAnything}, Ret: RetPtrToMapValueOrNull},
	)
	registerKfuncs("6.6", &Helper{Name: "bpf_map_sum_elem_count", Func: mapCount, Args: []Arg{ArgAnything}})
}

// mapCount gives how many elements a map has, as far as that is counted. Its argument
// is a map, or a struct bpf_map as iterators have it, which is none of the machine's.
func mapCount(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	if m, ok := mapOf(r1).(maps.Counted); ok {
		return uint64(m.Count())
	}
	return 0
}

func mapLookup(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	m := mapOf(r1)
	if m == nil {
		return 0
	}
	key := view(r2, uint64(m.Info().KeySize))
	if at := m.Lookup(s.CPU, key); at != 0 {
		return uint64(at)
	}
	if sockets, ok := m.(maps.SockMap); ok {
		return mapSocket(s, sockets, key)
	}
	return 0
}

// mapSocket gives the program the socket at a key, which it must release.
func mapSocket(s *exec.State, m maps.SockMap, key []byte) uint64 {
	if s.Env.Sockets == nil {
		return 0
	}
	k := s.Env.Sockets.Socket(m.Socket(key))
	if k == nil {
		return 0
	}
	return give(s, k.SockAddr(), false, true, 0)
}

func mapLookupPerCPU(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	m := mapOf(r1)
	if m == nil || !m.Info().PerCPU() || uint32(r3) >= uint32(m.Info().CPUs) {
		return 0
	}
	return uint64(m.Lookup(int(uint32(r3)), view(r2, uint64(m.Info().KeySize))))
}

func mapUpdate(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	m := mapOf(r1)
	if m == nil {
		return errno.EBADF.Ret()
	}
	info := m.Info()
	return status(m.Update(s.CPU, view(r2, uint64(info.KeySize)), view(r3, uint64(info.ValueSize)), r4))
}

func mapDelete(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
	m := mapOf(r1)
	if m == nil {
		return errno.EBADF.Ret()
	}
	return status(m.Delete(view(r2, uint64(m.Info().KeySize))))
}

func mapPush(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	q, value := keyless(r1, r2)
	if q == nil {
		return errno.EOPNOTSUPP.Ret()
	}
	return status(q.Push(value, r3))
}

func mapPop(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
	q, value := keyless(r1, r2)
	if q == nil {
		return errno.EOPNOTSUPP.Ret()
	}
	return status(q.Pop(value))
}

func mapPeek(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
	q, value := keyless(r1, r2)
	if q == nil {
		return errno.EOPNOTSUPP.Ret()
	}
	return status(q.Peek(value))
}

// keyless is the map as one without keys, nil where it is none, and the value at
// addr.
func keyless(handle, addr uint64) (maps.Keyless, []byte) {
	m := mapOf(handle)
	q, ok := m.(maps.Keyless)
	if !ok {
		return nil, nil
	}
	return q, view(addr, uint64(m.Info().ValueSize))
}

// mapForEach calls a function with the map, a key, its value and the caller's
// context, for each element until it returns other than 0, and gives the number
// of calls. An element that is added meanwhile may or may not be seen.
func mapForEach(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	m := mapOf(r1)
	if m == nil {
		return errno.EBADF.Ret()
	}
	info := m.Info()
	switch info.Type {
	case ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.Array, ebpf.PerCPUArray:
	default:
		return errno.EINVAL.Ret()
	}
	if r4 != 0 {
		return errno.EINVAL.Ret()
	}
	// The next key is asked for before the call, which may delete the element.
	size := int(info.KeySize)
	keys, prov := s.Lend(2 * size)
	if keys == nil {
		return errno.ENOMEM.Ret()
	}
	defer s.Return(keys, prov)
	key, next := keys[:size], keys[size:]

	var calls uint64
	ctx := s.ArgProv[2] // helpers that the function calls write over it
	for err := m.NextKey(nil, key); err == nil && calls < uint64(info.MaxEntries); copy(key, next) {
		err = m.NextKey(key, next)
		value := m.Lookup(s.CPU, key)
		if value == 0 {
			continue
		}
		args := [5]uint64{r1, addressOf(key), uint64(value), r3}
		provs := [5]exec.Prov{
			exec.Make(exec.RegionMap, uint32(r1)), prov,
			exec.MapValue(maps.Handle(r1), info.Values.Index(value)), ctx,
		}
		stop, fault := s.Engine.Callback(s, uint32(r2), &args, &provs)
		calls++
		if fault != nil || stop != 0 {
			break
		}
	}
	return calls
}
