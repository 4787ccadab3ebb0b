package kernctx

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Layout is the structures behind the context of one program type, as one kernel has
// them.
type Layout struct {
	parts []placed // the context's own comes first
	size  uintptr  // of all, in bytes
}

// part is one of the structures.
type part struct {
	name string // that pointers to it have
	typ  string // in BTF; "": whole gives its bytes, size of them
	// fields are numbers by their paths as C writes them ("dev.ifindex"), texts are
	// bytes. A field that a kernel does not have is left out.
	fields map[string]number
	texts  map[string]text
	whole  text
	size   uintptr
	// at is where programs see the part, where other fields say it; nil: where it lies.
	at func(v *view) uintptr
}

type (
	number func(v *view) uint64
	text   func(v *view) []byte
)

// placed is a part in its place.
type placed struct {
	part
	off   uintptr // in the block
	slots []slot  // by their offsets
}

// slot is where a field lies in its part.
type slot struct {
	path string
	memory.Field
	number number
	text   text
}

// apart is how far the parts are from each other, so that a pointer behind one leads
// nowhere, and the alignment of all, in bytes.
const apart = 64

// New lays the structures out that are behind the context of programs of a type. It
// fails where the kernel's types do not have the context's own.
func New(typ *progtype.Type, kernel *btf.Spec) (*Layout, error) {
	parts := behind(typ)
	if parts == nil {
		return nil, nil
	}
	l := &Layout{}
	for i, p := range parts {
		slots, err := p.place(kernel)
		if i > 0 && errors.Is(err, btf.ErrNotFound) {
			continue // pointers to it are NULL
		} else if err != nil {
			return nil, fmt.Errorf("lay out struct %s: %w", p.typ, err)
		}
		l.parts = append(l.parts, placed{part: p, off: l.size, slots: slots})
		l.size += (p.size+apart-1)/apart*apart + apart
	}
	return l, nil
}

// place says how large the part is and where its fields lie.
func (p *part) place(kernel *btf.Spec) ([]slot, error) {
	if p.whole != nil {
		return []slot{{Field: memory.Field{Size: uint32(p.size)}, text: p.whole}}, nil
	}
	if kernel == nil {
		return nil, errors.New("the kernel's types are not known: give its BTF with --btf")
	}
	var t *btf.Struct
	if err := kernel.TypeByName(p.typ, &t); err != nil {
		return nil, err
	}
	p.size = uintptr(t.Size)
	var all []slot
	add := func(s slot) {
		var err error
		if s.Field, err = memory.FieldOf(kernel, p.typ, s.path); err == nil {
			all = append(all, s)
		}
	}
	for path, n := range p.fields {
		add(slot{path: path, number: n})
	}
	for path, b := range p.texts {
		add(slot{path: path, text: b})
	}
	slices.SortFunc(all, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bit, b.Bit))
	})
	return all, nil
}

// Show makes the structures visible to a run, and gives the address of the context's
// own.
func (l *Layout) Show(s *exec.State) (uint64, error) {
	made, ok := s.Behind().(*structures)
	if !ok {
		made = new(structures)
	}
	if err := made.become(l); err != nil {
		return 0, err
	}
	s.Show(made)
	return uint64(made.block.Addr()), nil
}

// structures are the parts of a layout in memory. A state keeps them from one run to the
// next.
type structures struct {
	layout *Layout
	block  *mem.Block
}

func (st *structures) become(l *Layout) error {
	if st.layout == l {
		return nil
	}
	if st.block == nil || uintptr(len(st.block.Bytes())) < l.size {
		block, err := mem.New(uint64(l.size))
		if err != nil {
			return fmt.Errorf("memory of the structures behind a context: %w", err)
		}
		if st.block != nil {
			if err := st.block.Free(); err != nil {
				return err
			}
		}
		st.block = block
	}
	clear(st.block.Bytes())
	st.layout = l
	return nil
}

// view is a run as the fields see it.
type view struct {
	*exec.State
	of *structures
}

// Find implements [exec.Behind].
func (st *structures) Find(s *exec.State, addr, n uintptr) []byte {
	v := view{s, st}
	for i := range st.layout.parts {
		p := &st.layout.parts[i]
		at := addr - v.see(p)
		if at >= p.size {
			continue
		}
		b := st.block.Bytes()[p.off : p.off+p.size]
		p.fill(&v, b, at, min(n, p.size-at))
		return b[at:]
	}
	return nil
}

// see is where programs see a part.
func (v *view) see(p *placed) uintptr {
	if p.at != nil {
		return p.at(v)
	}
	return v.of.block.Addr() + p.off
}

// fill makes n bytes of the part, from one on, what the run is now.
func (p *placed) fill(v *view, b []byte, from, n uintptr) {
	for i := range p.slots {
		f := &p.slots[i]
		if uintptr(f.Offset) >= from+n {
			return
		}
		switch {
		case uintptr(f.End()) <= from:
		case f.text != nil:
			to := b[f.Offset:f.End()]
			clear(to[copy(to, f.text(v)):])
		default:
			f.Put(b, f.number(v))
		}
	}
}

// to is a pointer to a part; NULL where the kernel's types do not have it.
func to(name string) number {
	return func(v *view) uint64 { return v.address(name) }
}

// address is where programs see the part of a name.
func (v *view) address(name string) uint64 {
	for i := range v.of.layout.parts {
		if p := &v.of.layout.parts[i]; p.name == name {
			return uint64(v.see(p))
		}
	}
	return 0
}

// inside is a pointer to a field of a part.
func inside(name, path string) number {
	return func(v *view) uint64 {
		for i := range v.of.layout.parts {
			p := &v.of.layout.parts[i]
			if f := slices.IndexFunc(p.slots, func(f slot) bool { return f.path == path }); p.name == name && f >= 0 {
				return uint64(v.see(p)) + uint64(p.slots[f].Offset)
			}
		}
		return 0
	}
}

// constant is a field that is always the same.
func constant(n uint64) number { return func(*view) uint64 { return n } }

// field is a field of the context that programs see, in the machine's own form; nil where
// programs of the type have none of that name.
func field(t *progtype.Type, name string) number {
	i := slices.IndexFunc(t.Fields, func(f progtype.Field) bool { return f.Name == name })
	if i < 0 {
		return constant(0)
	}
	at, size := int(t.Fields[i].At), int(t.Fields[i].Width)
	return func(v *view) uint64 {
		var word [8]byte
		copy(word[:], v.CtxBytes()[at:at+size])
		return binary.LittleEndian.Uint64(word[:])
	}
}
