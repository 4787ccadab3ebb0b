package progtype

import (
	"encoding/binary"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// What sockets are that a context says nothing else of.
const (
	stream     = 1
	stateClose = 7
)

// hasSocket are the types whose context always leads to a socket, or is one.
var hasSocket = map[ebpf.ProgramType]bool{
	ebpf.CGroupSock: true, ebpf.CGroupSockAddr: true, ebpf.CGroupSockopt: true,
	ebpf.SockOps: true, ebpf.SkMsg: true, ebpf.SkReuseport: true,
}

// enterOwnSocket makes the context lead to a socket of the state's own where the
// environment has none for it. It is what the context says of it.
func (t *Type) enterOwnSocket(s *exec.State) error {
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
	for _, f := range t.ofSocket {
		if seen := f.get(s); seen != [8]byte{} {
			copy(f.own(k), seen[f.upper:])
		}
	}
	t.EnterSocket(s, k)
	return nil
}

// EnterSocket makes the context lead to the socket that it belongs to, and show what it
// is where the context itself does not say. Without a socket, the context of a type that
// always has one stays with what Setup gave it.
func (t *Type) EnterSocket(s *exec.State, k *exec.Socket) {
	if k == nil && hasSocket[t.Prog] {
		return
	}
	addr := uint64(0)
	if k != nil {
		addr = k.SockAddr()
		for _, f := range t.ofSocket {
			if t.Prog == ebpf.CGroupSKB || f.get(s) == [8]byte{} {
				var seen [8]byte
				copy(seen[f.upper:], f.own(k))
				f.store(s, seen[:f.Size])
			}
		}
	}
	if t.Prog == ebpf.SockOps { // which shows no socket that is not a whole one
		full := uint32(0)
		if k.Full() {
			full = 1
		} else {
			addr = 0
		}
		binary.NativeEndian.PutUint32(Seen(s)[sockOpsFullsock:], full)
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], addr)
	for i := range t.Fields {
		if f := &t.Fields[i]; f.Kind == SocketPtr && f.Name == "sk" {
			f.store(s, b[:])
		}
	}
}

// A socketField is a field that shows something of the context's socket.
type socketField struct {
	Field
	tcp   bool    // of its struct bpf_tcp_sock, else of its struct bpf_sock
	at    uintptr // there, in bytes
	size  int     // there, in bytes
	upper int     // where it begins in the field, in bytes
}

// get is what programs see of the field, and zeros behind.
func (f *socketField) get(s *exec.State) (seen [8]byte) {
	f.load(s, seen[:f.Size])
	return seen
}

// own are the socket's bytes that the field shows.
func (f *socketField) own(k *exec.Socket) []byte {
	if f.tcp {
		return mem.View(uintptr(k.TCPAddr())+f.at, f.size)
	}
	return mem.View(uintptr(k.SockAddr())+f.at, f.size)
}

// socketFields are the fields of a type that show something of its socket.
func (t *Type) socketFields() (all []socketField) {
	if !hasSocket[t.Prog] && t.Prog != ebpf.CGroupSKB && t.Prog != ebpf.SkSKB {
		return nil
	}
	for _, f := range t.Fields {
		name, index, _ := strings.Cut(f.Name, "[")
		sf := socketField{Field: f, size: int(f.Size)}
		var ok bool
		if sf.at, ok = ofSocket[name]; !ok {
			sf.at, sf.tcp = ofTCP[name]
			ok = sf.tcp && t.Prog == ebpf.SockOps
		}
		if !ok || f.Kind != Scalar || t.CtxName == "struct __sk_buff" && ofPacket[name] {
			continue
		}
		if len(index) == len("0]") {
			sf.at += 4 * uintptr(index[0]-'0')
		}
		if name == "remote_port" {
			sf.size, sf.upper = 2, 2
		}
		all = append(all, sf)
	}
	return all
}

// ofPacket are fields of struct __sk_buff that are not its socket's.
var ofPacket = map[string]bool{"protocol": true, "mark": true, "priority": true}

// Where fields of contexts lie in struct bpf_sock, and those of TCP in struct
// bpf_tcp_sock, in bytes.
var (
	ofSocket = map[string]uintptr{
		"bound_dev_if": 0, "family": 4, "type": 8, "protocol": 12, "ip_protocol": 12, "mark": 16, "priority": 20,
		"src_ip4": 24, "src_ip6": 28, "src_port": 44, "dst_port": 48, "dst_ip4": 52, "dst_ip6": 56, "state": 72, "rx_queue_mapping": 76,
		"local_ip4": 24, "local_ip6": 28, "local_port": 44, "remote_port": 48, "remote_ip4": 52, "remote_ip6": 56,
	}
	ofTCP = map[string]uintptr{
		"snd_cwnd": 0, "srtt_us": 4, "rtt_min": 8, "snd_ssthresh": 12, "rcv_nxt": 16, "snd_nxt": 20, "snd_una": 24, "mss_cache": 28,
		"ecn_flags": 32, "rate_delivered": 36, "rate_interval_us": 40, "packets_out": 44, "retrans_out": 48, "total_retrans": 52,
		"segs_in": 56, "data_segs_in": 60, "segs_out": 64, "data_segs_out": 68, "lost_out": 72, "sacked_out": 76,
		"bytes_received": 80, "bytes_acked": 88,
	}
)
