package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	option := []Arg{ArgPtrToCtxOrSocket, ArgAnything, ArgAnything, ArgPtrToMem, ArgConstSize}
	read := []Arg{ArgPtrToCtxOrSocket, ArgAnything, ArgAnything, ArgPtrToUninitMem, ArgConstSize}
	register(
		&Helper{ID: 49, Name: "bpf_setsockopt", Func: setSockopt, Args: option, Asks: asksSockets},
		&Helper{ID: 57, Name: "bpf_getsockopt", Func: getSockopt, Args: read, Asks: asksSockets},
		&Helper{ID: 64, Name: "bpf_bind", Func: bind, Asks: asksSockets,
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize}},
	)
}

// The levels of options.
const (
	solIP, solSocket, solTCP, solIPv6 = 0, 1, 6, 41
)

// Options that are also seen elsewhere.
const (
	soPriority, soMark, soBindToIfindex = 12, 36, 62
	tcpCongestion                       = 13
)

// knownOptions are the options that Linux lets programs set and get. All but
// TCP_CONGESTION are an int.
var knownOptions = map[uint32]map[uint32]bool{
	solSocket: numbers(2, 7, 8, 9, soPriority, 18, soMark, 47, soBindToIfindex, 74),
	solIP:     numbers(1),
	solIPv6:   numbers(67, 70),
	// TCP_NODELAY .., and from 1001 on those that only programs have.
	solTCP: numbers(1, 2, 4, 5, 6, 7, 10, tcpCongestion, 18, 25, 27, 28, 1001, 1002, 1003, 1004, 1008),
}

func numbers(all ...uint32) map[uint32]bool {
	set := map[uint32]bool{}
	for _, n := range all {
		set[n] = true
	}
	return set
}

// optionOf holds an option against what there is.
func optionOf(k *exec.Socket, level, name uint32, value []byte) errno.Errno {
	const inet6 = 10
	switch {
	case k == nil || !k.Full() || !knownOptions[level][name],
		level == solTCP && !k.IsTCP(), level == solIPv6 && k.Family != inet6:
		return errno.EINVAL
	case level == solTCP && name == tcpCongestion:
		if len(value) < 2 {
			return errno.EINVAL
		}
	case len(value) != 4:
		return errno.EINVAL
	}
	return 0
}

func setSockopt(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	level, name, value := uint32(r2), uint32(r3), view(r4, uint64(uint32(r5)))
	k := socketOf(s, r1)
	if err := optionOf(k, level, name, value); err != 0 {
		return err.Ret()
	}
	if level == solSocket {
		switch name {
		case soMark:
			k.Mark = le.Uint32(value)
		case soPriority:
			k.Priority = le.Uint32(value)
		case soBindToIfindex:
			k.BoundDevIf = le.Uint32(value)
		}
	}
	k.SetOption(level, name, value)
	return 0
}

func getSockopt(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	level, name, value := uint32(r2), uint32(r3), view(r4, uint64(uint32(r5)))
	k := socketOf(s, r1)
	if err := optionOf(k, level, name, value); err != 0 {
		clear(value)
		return err.Ret()
	}
	clear(value[k.Option(level, name, value):])
	if level != solSocket {
		return 0
	}
	switch name {
	case soMark:
		le.PutUint32(value, k.Mark)
	case soPriority:
		le.PutUint32(value, k.Priority)
	case soBindToIfindex:
		le.PutUint32(value, k.BoundDevIf)
	}
	return 0
}

// bind notes the address that the program gives the socket before it connects.
func bind(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	const inet, inet6, size4, size6 = 2, 10, 16, 28
	addr := view(r2, uint64(uint32(r3)))
	if len(addr) < 2 {
		return errno.EINVAL.Ret()
	}
	switch family := le.Uint16(addr); {
	case family == inet && len(addr) < size4, family == inet6 && len(addr) < size6:
		return errno.EINVAL.Ret()
	case family != inet && family != inet6:
		return errno.EAFNOSUPPORT.Ret()
	}
	s.Act("bind", uint64(le.Uint16(addr)))
	return 0
}
