package helper

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// connFields is what struct nf_conn says of a connection, in order of the paths of
// its fields.
var connFields = map[string]func(c *exec.Conn) []byte{
	"status":   func(c *exec.Conn) []byte { return le.AppendUint32(nil, c.Status) },
	"timeout":  func(c *exec.Conn) []byte { return le.AppendUint32(nil, c.Timeout) },
	"mark":     func(c *exec.Conn) []byte { return le.AppendUint32(nil, c.Mark) },
	"zone.id":  func(c *exec.Conn) []byte { return le.AppendUint16(nil, c.Zone.ID) },
	"zone.dir": func(c *exec.Conn) []byte { return []byte{c.Zone.Dir} },
}

func init() {
	for dir := range uint8(2) {
		add := func(field string, value func(t *exec.ConnTuple) []byte) {
			connFields[fmt.Sprintf("tuplehash.%d.tuple.%s", dir, field)] = func(c *exec.Conn) []byte { return value(&c.Tuples[dir]) }
		}
		add("src.u3", func(t *exec.ConnTuple) []byte { return t.Src.Addr().AsSlice() })
		add("src.u", func(t *exec.ConnTuple) []byte { return binary.BigEndian.AppendUint16(nil, t.Src.Port()) })
		add("src.l3num", func(t *exec.ConnTuple) []byte { return le.AppendUint16(nil, family(t)) })
		add("dst.u3", func(t *exec.ConnTuple) []byte { return t.Dst.Addr().AsSlice() })
		add("dst.u", func(t *exec.ConnTuple) []byte { return binary.BigEndian.AppendUint16(nil, t.Dst.Port()) })
		add("dst.protonum", func(t *exec.ConnTuple) []byte { return []byte{t.Proto} })
		add("dst.dir", func(*exec.ConnTuple) []byte { return []byte{dir} })
	}
}

func family(t *exec.ConnTuple) uint16 {
	if t.Src.Addr().Is4() {
		return progtype.AFInet
	}
	return progtype.AFInet6
}

// connLayout is struct nf_conn in the types that a program was linked against: the
// kernel's, or as much of it as the program declares itself.
type connLayout struct {
	object  object.Layout
	offsets map[string]uint32 // of those of connFields that it has
}

var connLayouts sync.Map // *btf.Spec to *connLayout

func connLayoutOf(types *btf.Spec) *connLayout {
	if l, ok := connLayouts.Load(types); ok {
		return l.(*connLayout)
	}
	l := &connLayout{object.Layout{Name: "struct nf_conn", Size: 8}, map[string]uint32{}}
	var conn *btf.Struct
	if types != nil && types.TypeByName("nf_conn", &conn) == nil {
		l.object.Size = max(conn.Size, 8)
		for path := range connFields {
			if off, ok := offsetIn(conn, path); ok {
				l.offsets[path] = off
			}
		}
	}
	connLayouts.Store(types, l)
	return l
}

// offsetIn is where a path of fields and places in arrays leads, in bytes.
func offsetIn(typ btf.Type, path string) (off uint32, ok bool) {
	for name := range strings.SplitSeq(path, ".") {
		if array, ok := btf.UnderlyingType(typ).(*btf.Array); ok {
			i, err := strconv.ParseUint(name, 10, 32)
			size, sizeErr := btf.Sizeof(array.Type)
			if err != nil || sizeErr != nil || uint32(i) >= array.Nelems {
				return 0, false
			}
			off, typ = off+uint32(i)*uint32(size), array.Type
			continue
		}
		found := false
		for _, f := range ctype.Members(typ) {
			if f.Name == name {
				off, typ, found = off+f.Offset.Bytes(), f.Type, true
			}
		}
		if !found {
			return 0, false
		}
	}
	return off, true
}

// place gives a connection memory, and the program a reference.
func (l *connLayout) place(t *exec.Conntrack, c *exec.Conn) bool {
	addr := object.New(&l.object)
	if addr == 0 {
		return false
	}
	t.Place(c, uint64(addr))
	l.write(c, "mark")
	l.show(c)
	return true
}

// show writes what changes of a connection, but for the mark, which programs write
// themselves.
func (l *connLayout) show(c *exec.Conn) {
	for path := range l.offsets {
		if path != "mark" {
			l.write(c, path)
		}
	}
}

func (l *connLayout) write(c *exec.Conn, path string) {
	if off, ok := l.offsets[path]; ok {
		copy(mem.View(uintptr(c.Addr), int(l.object.Size))[off:], connFields[path](c))
	}
}
