package verifier

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// walkKind is what lies at an offset in a struct.
type walkKind uint8

const (
	walkRefused   walkKind = iota
	walkScalar             // a number
	walkPointer            // a pointer to a struct
	walkUntrusted          // a pointer to something else
	walkStruct             // a struct begins here
)

// walkResult is what a walk into a struct found.
type walkResult struct {
	kind    walkKind
	typ     *Type    // what is pointed to, or the struct
	flags   RegFlags // UserMem, PerCPU, RCU of a pointer; Untrusted behind a union
	field   string   // the member's name, of walkPointer
	refusal string   // the words of Linux's log, of walkRefused
}

func refused(format string, args ...any) walkResult {
	return walkResult{refusal: fmt.Sprintf(format, args...)}
}

// maxNesting is how deep structs may be nested; the kernel's are no deeper.
const maxNesting = 64

// walkStruct finds what size bytes at an offset in a struct are (btf_struct_walk).
// flexible allows to go beyond its end where the last member is an array without
// size. The kernel's checks go from struct to struct: a walkStruct result is the
// struct that begins there, in which the walk may go on at offset 0.
func (c *checker) walkStruct(t *Type, off, size int, flags RegFlags, flexible bool) walkResult {
	for range maxNesting {
		ms, total, ok := members(t.Type)
		if !ok {
			return refused("Type '%s' is not a struct", t.Name)
		}
		if _, union := t.Type.(*btf.Union); union && len(ms) != 1 {
			flags |= Untrusted
		}
		if off+size > int(total) {
			elem, rest, ok := flexibleElement(ms, off)
			if !ok || !flexible {
				return refused("access beyond struct %s at off %d size %d", t.Name, off, size)
			}
			if _, number := elem.(*btf.Int); number {
				if !c.since(6, 6) {
					return refused("access beyond struct %s at off %d size %d", t.Name, off, size)
				}
				return walkResult{kind: walkScalar, flags: flags}
			}
			t, off = c.typeOf(elem, t.Kernel), rest
			continue
		}
		m, r := c.member(t, ms, off, size, flags)
		if m == nil {
			return r
		}
		t, off = m.typ, m.off
	}
	return refused("Type '%s' is nested too deeply", t.Name)
}

// flexibleElement is the element type of the array at a struct's end, and the offset
// within the element that an offset in the struct falls on.
func flexibleElement(ms []btf.Member, off int) (elem btf.Type, rest int, ok bool) {
	if len(ms) == 0 {
		return nil, 0, false
	}
	last := ms[len(ms)-1]
	array, isArray := btf.UnderlyingType(last.Type).(*btf.Array)
	begin := int(last.Offset.Bytes())
	if !isArray || array.Nelems != 0 || off < begin {
		return nil, 0, false
	}
	elem = btf.UnderlyingType(array.Type)
	if _, number := elem.(*btf.Int); number {
		return elem, 0, true
	}
	_, size, isStruct := members(elem)
	if !isStruct || size == 0 {
		return nil, 0, false
	}
	return elem, (off - begin) % int(size), true
}

// inner is a struct inside another, and the offset in it.
type inner struct {
	typ *Type
	off int
}

// member looks for the member at an offset: the struct in which to look further, or
// what was found.
func (c *checker) member(t *Type, ms []btf.Member, off, size int, flags RegFlags) (*inner, walkResult) {
	for i := range ms {
		m := &ms[i]
		begin := int(m.Offset / 8)
		if off+size <= begin {
			break
		}
		if m.BitfieldSize > 0 {
			end := (int(m.Offset) + int(m.BitfieldSize) + 7) / 8
			if off <= begin && end <= off+size {
				return nil, walkResult{kind: walkScalar, flags: flags}
			}
			continue
		}
		if off < begin {
			break
		}
		whole, ok := sizeOf(m.Type)
		if !ok {
			return nil, refused("field %s doesn't have size", m.Name)
		}
		end := begin + int(whole)
		if off >= end {
			continue
		}
		mt, each := elementOf(m.Type, int(whole))
		begin += (off - begin) / each * each
		switch mt := mt.(type) {
		case *btf.Struct, *btf.Union:
			nested := c.typeOf(mt, t.Kernel)
			if off == begin {
				return nil, walkResult{kind: walkStruct, typ: nested, flags: flags}
			}
			return &inner{nested, off - begin}, walkResult{}
		case *btf.Pointer:
			if size != each || off != begin {
				return nil, refused("cannot access ptr member %s with moff %d in struct %s with off %d size %d",
					m.Name, begin, t.Name, off, size)
			}
			return nil, c.pointerMember(mt, m.Name, t.Kernel, flags)
		}
		if off+size > end && (flags&Untrusted == 0 || !c.since(6, 4)) {
			return nil, refused("access beyond the end of member %s (mend:%d) in struct %s with off %d size %d",
				m.Name, end, t.Name, off, size)
		}
		return nil, walkResult{kind: walkScalar, flags: flags}
	}
	return nil, refused("struct %s doesn't have field at offset %d", t.Name, off)
}

// elementOf is the innermost element type of an array, and its size; or the type
// itself.
func elementOf(t btf.Type, whole int) (btf.Type, int) {
	t = btf.UnderlyingType(t)
	for array, ok := t.(*btf.Array); ok; array, ok = t.(*btf.Array) {
		whole /= max(int(array.Nelems), 1)
		t = btf.UnderlyingType(array.Type)
	}
	return t, max(whole, 1)
}

// pointerTags are the type tags of pointers that say where they point to.
var pointerTags = []struct {
	tag  string
	flag RegFlags
}{{"user", UserMem}, {"percpu", PerCPU}, {"rcu", RCU}}

// pointerMember describes a member that is a pointer.
func (c *checker) pointerMember(p *btf.Pointer, name string, kernel bool, flags RegFlags) walkResult {
	target := c.typeOf(p.Target, kernel)
	if _, _, ok := members(target.Type); !ok {
		return walkResult{kind: walkUntrusted, flags: flags}
	}
	for _, t := range pointerTags {
		if hasTag(p.Target, t.tag) {
			flags |= t.flag
		}
	}
	return walkResult{kind: walkPointer, typ: target, flags: flags, field: name}
}

// structMatches reports whether a pointer to offset off in a struct is a pointer to
// another: to itself, or to a struct that it begins with there (btf_struct_ids_match).
// strict allows only itself.
func (c *checker) structMatches(have *Type, off int, need *Type, strict, flexible bool) bool {
	if off == 0 && have == need {
		return true
	}
	for !strict {
		r := c.walkStruct(have, off, 1, 0, flexible)
		if r.kind != walkStruct {
			return false
		}
		if r.typ == need {
			return true
		}
		have, off = r.typ, 0
	}
	return false
}

// isNoCastAlias reports whether one of two structs is the other's ___init twin, which
// stands for an object under construction (btf_type_ids_nocast_alias).
func isNoCastAlias(a, b string) bool {
	const suffix = "___init"
	return a == b+suffix || b == a+suffix
}

// isProjection reports whether a type is what a program sees of the kernel's.
func isProjection(seen, kernel string) bool {
	return seen == "__sk_buff" && kernel == "sk_buff" || seen == "xdp_md" && kernel == "xdp_buff"
}
