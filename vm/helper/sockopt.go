package helper

import (
	"bytes"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
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

// The value of an option, as setsockopt and getsockopt have it.
type optionCall struct {
	socket      *exec.Socket
	level, name uint32
	value       []byte
}

func optionOf(s *exec.State, r1, r2, r3, r4, r5 uint64) optionCall {
	return optionCall{socketOf(s, r1), uint32(r2), uint32(r3), view(r4, uint64(uint32(r5)))}
}

// find gives the option that is meant, or why there is none.
func (c *optionCall) find(s *exec.State) (sockOption, errno.Errno) {
	const inet, inet6, savedSYN, lastLocked = 2, 10, 28, 15
	if s.Packet.Type == ebpf.SockOps && le.Uint32(progtype.Seen(s)[opsOp:]) > lastLocked {
		return sockOption{}, errno.EOPNOTSUPP
	}
	k := c.socket
	o, known := sockOptions[c.level][c.name]
	switch {
	case k == nil || !k.Full(),
		c.level == solTCP && !k.IsTCP(),
		c.level == solIPv6 && k.Family != inet6,
		c.level == solIP && k.Family != inet && k.Family != inet6:
		return o, errno.EINVAL
	case c.level == solTCP && c.name == savedSYN && len(c.value) > 0:
		return o, 0
	case !known || len(c.value) != 4:
		return o, errno.EINVAL
	}
	return o, 0
}

func (c *optionCall) isCongestion() bool { return c.level == solTCP && c.name == tcpCongestion }

func setSockopt(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	c := optionOf(s, r1, r2, r3, r4, r5)
	if c.isCongestion() {
		return c.setCongestion()
	}
	o, err := c.find(s)
	switch {
	case err != 0:
		return err.Ret()
	case o.kept == nil:
		return errno.ENOPROTOOPT.Ret()
	}
	kept, err := o.kept(c.socket, int32(le.Uint32(c.value)))
	if err != 0 {
		return err.Ret()
	}
	if field := c.field(); field != nil {
		*field = uint32(kept)
	}
	c.socket.SetOption(c.level, c.name, le.AppendUint32(nil, uint32(kept)))
	return 0
}

// field is where the option lies in struct bpf_sock; nil: it is not there.
func (c *optionCall) field() *uint32 {
	if c.level == solSocket {
		switch c.name {
		case soMark:
			return &c.socket.Mark
		case soPriority:
			return &c.socket.Priority
		case soBindToIfindex:
			return &c.socket.BoundDevIf
		}
	}
	return nil
}

func getSockopt(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	c := optionOf(s, r1, r2, r3, r4, r5)
	if c.isCongestion() {
		return c.congestion()
	}
	o, err := c.find(s)
	if err == 0 && (o.setOnly || o.kept == nil) { // nothing is saved of a segment with SYN
		err = errno.EINVAL
	}
	if err != 0 {
		clear(c.value)
		return err.Ret()
	}
	if field := c.field(); field != nil {
		le.PutUint32(c.value, *field)
	} else if c.socket.Option(c.level, c.name, c.value) == 0 {
		le.PutUint32(c.value, uint32(o.first))
	}
	return 0
}

// setCongestion sets the congestion control, by its name.
func (c *optionCall) setCongestion() uint64 {
	if c.socket == nil || !c.socket.Full() || !c.socket.IsTCP() || len(c.value) < 2 {
		return errno.EINVAL.Ret()
	}
	name := cString(c.value)
	if bytes.HasPrefix([]byte("cdg"), name) && len(c.value) >= len("cdg") {
		return errno.ENOTSUPP.Ret()
	}
	c.socket.SetOption(c.level, c.name, name)
	return 0
}

// congestion gives its name, which always ends in a NUL.
func (c *optionCall) congestion() uint64 {
	clear(c.value)
	if c.socket == nil || !c.socket.Full() || !c.socket.IsTCP() || len(c.value) < 2 {
		return errno.EINVAL.Ret()
	}
	if room := c.value[:len(c.value)-1]; c.socket.Option(c.level, c.name, room) == 0 {
		copy(room, "cubic")
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
