package maps

import "github.com/skep-ebpf/skep/internal/errno"

// progArray is BPF_MAP_TYPE_PROG_ARRAY.
type progArray struct{ slots }

func newProgArray(info Info) (Map, error) {
	p := &progArray{}
	p.init(info, p)
	return p, p.open()
}

// Prog implements ProgArray.
func (p *progArray) Prog(index uint32) any {
	id := p.at(index)
	if id == 0 {
		return nil
	}
	return ProgByID(id)
}

func (p *progArray) userUpdate(key, value []byte, flags uint64) error {
	return p.set(key, value, flags, func(id uint32) error {
		if ProgByID(id) == nil {
			return errno.EBADF
		}
		return nil
	})
}
