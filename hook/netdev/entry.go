package netdev

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/vm"
)

// PutEntry writes an entry of a devmap, which leads to the interface of an index, or of a
// cpumap, which leads to a queue of a length. The program runs for the packets that go
// there; nil: none does.
func PutEntry(m *vm.Map, key, to uint32, p *vm.Program) error {
	var value any = to
	if m.ValueSize() > 4 {
		value = [2]uint32{to}
	}
	if p != nil {
		kind := hook.Find(string(XDPDevMap))
		if m.Type() == ebpf.CPUMap {
			kind = hook.Find(string(XDPCPUMap))
		}
		if err := (hook.Entry{Map: m.Name(), Key: key}).Takes(kind, m); err != nil {
			return err
		}
		if p.Type() != kind.Prog || p.AttachType() != kind.Attach {
			return fmt.Errorf("map %s: program %s is not for it: its section must be %s", m.Name(), p.Name(), kind.Name)
		}
		value = [2]uint32{to, uint32(p.FD())}
	}
	if err := m.Put(key, value); err != nil {
		return fmt.Errorf("map %s: entry %d: %w", m.Name(), key, err)
	}
	return nil
}
