package progtype

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// What sockets are that a context says nothing else of.
const (
	stream     = 1
	stateClose = 7
)

// hasSocket are the types whose context always leads to a socket.
var hasSocket = map[ebpf.ProgramType]bool{
	ebpf.CGroupSockAddr: true, ebpf.CGroupSockopt: true, ebpf.SockOps: true, ebpf.SkMsg: true, ebpf.SkReuseport: true,
}

// enterOwnSocket makes the context lead to a socket of the state's own where the
// environment has none for it. It is what the context says of it.
func (t *Type) enterOwnSocket(s *exec.State, ctx []byte) error {
	if !hasSocket[t.Prog] || s.Env.Sockets != nil && s.Env.Sockets.Current() != nil {
		return nil
	}
	k, err := s.OwnSocket()
	if err != nil {
		return err
	}
	k.State = stateClose
	switch t.Prog {
	case ebpf.SkMsg:
		k.Type, k.Protocol, k.State = stream, exec.ProtoTCP, exec.TCPEstablished
	case ebpf.SockOps:
		k.Type, k.Protocol = stream, exec.ProtoTCP
	case ebpf.CGroupSockAddr:
		switch t.Attach[0] { // only what is connected has a peer
		case ebpf.AttachCgroupInet4GetPeername, ebpf.AttachCgroupInet6GetPeername, ebpf.AttachCgroupUnixGetpeername:
			k.State = exec.TCPEstablished
		}
	}
	for _, f := range t.Fields {
		if f.Size != 4 {
			continue
		}
		at := ctx[f.Off:]
		v := binary.LittleEndian.Uint32(at)
		switch f.Name {
		case "family":
			k.Family = v
		case "type":
			k.Type = v
		case "protocol", "ip_protocol":
			k.Protocol = v
		case "state":
			k.State = v
		case "local_port":
			k.SrcPort = v
		case "remote_port":
			copy(k.DstPort[:], at[2:])
		case "local_ip4":
			copy(k.SrcIP4[:], at)
		case "remote_ip4":
			copy(k.DstIP4[:], at)
		case "local_ip6[0]":
			copy(k.SrcIP6[:], at)
		case "remote_ip6[0]":
			copy(k.DstIP6[:], at)
		}
	}
	t.EnterSocket(s, k)
	return nil
}
