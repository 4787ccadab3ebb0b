package progtype

import "github.com/skep-ebpf/skep/vm/exec"

// Seen is the context of a run as its program sees it, for types whose context
// the machine keeps so.
func Seen(s *exec.State) []byte { return s.CtxBytes()[uapiOff:] }

// EnterSocket makes the context lead to the socket that it belongs to. Without one, the
// context of a type that always has one stays with what Setup gave it.
func (t *Type) EnterSocket(s *exec.State, k *exec.Socket) {
	if k == nil && hasSocket[t.Prog] {
		return
	}
	addr := uint64(0)
	if k != nil {
		addr = k.SockAddr()
	}
	var b [8]byte
	for i := range b {
		b[i] = byte(addr >> (8 * i))
	}
	for i := range t.Fields {
		if f := &t.Fields[i]; f.Kind == SocketPtr && f.Name == "sk" {
			f.store(s, b[:])
		}
	}
}
