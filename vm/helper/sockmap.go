package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// What a program of type SK_SKB, SK_MSG or SK_REUSEPORT says of a packet.
const (
	skDrop = 0
	skPass = 1
)

func init() {
	byIndex := []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgAnything, ArgAnything}
	byKey := []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgPtrToMapKey, ArgAnything}
	register(
		&Helper{ID: 52, Name: "bpf_sk_redirect_map", Func: redirectIndex("sk_redirect_map"), Args: byIndex, Asks: asksSockets},
		&Helper{ID: 53, Name: "bpf_sock_map_update", Func: sockMapUpdate, Args: byKey, Asks: asksSockets},
		&Helper{ID: 60, Name: "bpf_msg_redirect_map", Func: redirectIndex("msg_redirect_map"), Args: byIndex, Asks: asksSockets},
		&Helper{ID: 70, Name: "bpf_sock_hash_update", Func: sockMapUpdate, Args: byKey, Asks: asksSockets},
		&Helper{ID: 71, Name: "bpf_msg_redirect_hash", Func: redirectKey("msg_redirect_hash"), Args: byKey, Asks: asksSockets},
		&Helper{ID: 72, Name: "bpf_sk_redirect_hash", Func: redirectKey("sk_redirect_hash"), Args: byKey, Asks: asksSockets},
		&Helper{ID: 82, Name: "bpf_sk_select_reuseport", Func: selectReuseport, Args: byKey, Asks: asksSockets},
	)
}

// redirectIndex notes that the packet goes to the socket at an index.
func redirectIndex(what string) Func {
	return func(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
		return redirectSocket(s, what, r2, binary.NativeEndian.AppendUint32(make([]byte, 0, 4), uint32(r3)), r4)
	}
}

// redirectKey notes that it goes to the socket at a key.
func redirectKey(what string) Func {
	return func(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
		m := mapOf(r2)
		if m == nil {
			return skDrop
		}
		return redirectSocket(s, what, r2, view(r3, uint64(m.Info().KeySize)), r4)
	}
}

func redirectSocket(s *exec.State, what string, handle uint64, key []byte, flags uint64) uint64 {
	m, ok := mapOf(handle).(maps.SockMap)
	if !ok || flags&^redirectIngress != 0 || len(key) != int(m.Info().KeySize) {
		return skDrop
	}
	socket := m.Socket(key)
	if socket == 0 {
		return skDrop
	}
	s.Act(what, uint64(socket), flags)
	return skPass
}

// sockMapUpdate puts the context's socket into a map.
func sockMapUpdate(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	m, ok := mapOf(r2).(maps.SockMap)
	k := s.ContextSocket()
	if !ok || k == nil || k.Number == 0 || !k.IsTCP() {
		return errno.EOPNOTSUPP.Ret()
	}
	return status(m.SetSocket(view(r3, uint64(m.Info().KeySize)), k.Number, r4))
}

// selectReuseport notes which socket of a group gets the packet.
func selectReuseport(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	m, ok := mapOf(r2).(maps.SockMap)
	if !ok || r4 != 0 {
		return errno.EINVAL.Ret()
	}
	socket := m.Socket(view(r3, uint64(m.Info().KeySize)))
	if socket == 0 {
		return errno.ENOENT.Ret()
	}
	s.Act("sk_select_reuseport", uint64(socket))
	return 0
}
