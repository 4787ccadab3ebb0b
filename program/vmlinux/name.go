package vmlinux

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/cilium/ebpf/btf"
)

// names are what types, enumerators and kernel functions are called in C. C knows
// two spaces of names: tags, of structures, unions and enums, and all others.
type names struct {
	tags   map[string]bool
	idents map[string]bool
	of     map[btf.Type]string
	values map[*btf.Enum][]string
	whole  map[tag]btf.Type // the first definition of a tag, for those who only declare it
}

// tag is a name with what it stands for.
type tag struct {
	union bool
	name  string
}

// keywords are names that C has taken, and types that the compiler brings along.
var keywords = strings.Fields(`asm auto break case char const continue default do double else enum extern float for
	goto if inline int long register restrict return short signed sizeof static struct switch typedef typeof union
	unsigned void volatile while __builtin_va_list __int128 __int128_t __uint128_t`)

func newNames() *names {
	n := &names{
		tags:   make(map[string]bool),
		idents: make(map[string]bool),
		of:     make(map[btf.Type]string),
		values: make(map[*btf.Enum][]string),
		whole:  make(map[tag]btf.Type),
	}
	for _, word := range keywords {
		n.tags[word], n.idents[word] = true, true
	}
	return n
}

func (n *names) assign(types []btf.Type) {
	var declared []*btf.Fwd
	var nameless []*btf.Enum
	for _, typ := range types {
		switch t := typ.(type) {
		case *btf.Struct:
			n.record(t, tag{name: t.Name})
		case *btf.Union:
			n.record(t, tag{union: true, name: t.Name})
		case *btf.Enum:
			if t.Name == "" {
				nameless = append(nameless, t)
			} else {
				n.of[t] = unique(n.tags, t.Name)
			}
			for _, v := range t.Values {
				n.values[t] = append(n.values[t], unique(n.idents, v.Name))
			}
		case *btf.Typedef:
			n.of[t] = unique(n.idents, t.Name)
		case *btf.Fwd:
			declared = append(declared, t)
		case *btf.Func:
			if slices.Contains(t.Tags, "bpf_kfunc") && !n.idents[identifier(t.Name)] {
				n.of[t] = unique(n.idents, t.Name)
			}
		}
	}
	for _, t := range declared {
		n.record(t, fwdTag(t))
	}
	// Types may refer to an enum without a name, and its values can be defined only
	// once: it is called as the first of them.
	for _, t := range nameless {
		name := "nameless"
		if len(t.Values) > 0 {
			name = t.Values[0].Name
		}
		n.of[t] = unique(n.tags, name)
	}
}

// record names a structure or union. What is only declared has the name of its
// definition.
func (n *names) record(t btf.Type, g tag) {
	if g.name == "" {
		return
	}
	_, declared := t.(*btf.Fwd)
	if n.whole[g] == nil {
		n.whole[g] = t
	} else if declared {
		return
	}
	n.of[t] = unique(n.tags, g.name)
}

// definition finds what a declaration stands for; itself, if nothing defines it.
func (n *names) definition(t *btf.Fwd) btf.Type { return n.whole[fwdTag(t)] }

func fwdTag(t *btf.Fwd) tag { return tag{union: t.Kind == btf.FwdUnion, name: t.Name} }

// tagged is a structure, union or enum as C refers to it, and only its keyword if it
// has no name.
func (n *names) tagged(typ btf.Type) string {
	keyword := "struct"
	switch t := typ.(type) {
	case *btf.Union:
		keyword = "union"
	case *btf.Enum:
		keyword = "enum"
	case *btf.Fwd:
		if typ = n.definition(t); t.Kind == btf.FwdUnion {
			keyword = "union"
		}
	}
	return strings.TrimSpace(keyword + " " + n.of[typ])
}

// unique gives a name that nothing in the space has yet, and takes it.
func unique(space map[string]bool, name string) string {
	name = identifier(name)
	free := name
	for i := 2; space[free]; i++ {
		free = fmt.Sprintf("%s___%d", name, i)
	}
	space[free] = true
	return free
}

// identifier replaces what C does not take in names; other languages' have more.
func identifier(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '_' || r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, name)
	if name == "" || unicode.IsDigit(rune(name[0])) {
		return "_" + name
	}
	return name
}

// member is a name that only has to be none of C's own.
func member(name string) string {
	if name = identifier(name); slices.Contains(keywords, name) {
		return name + "_"
	}
	return name
}
