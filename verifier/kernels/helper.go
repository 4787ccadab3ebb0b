package kernels

import (
	"fmt"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
)

// Helper is a helper function as the tables know it, in whatever version.
type Helper struct {
	ID    uint32
	Name  string  // as in linux/bpf.h: "bpf_map_lookup_elem"
	Since Version // the first Linux that has it for some type of programs
	// GPL says that only programs of a GPL compatible licence may call it.
	GPL bool
	// Caps are what the loader of a program needs that calls it, whatever its type.
	Caps Caps
	uses uses
}

// helpers is the table; helper n is element n-1.
var helpers = sync.OnceValue(func() []Helper {
	var all []Helper
	sets := map[string]uses{}
	for _, row := range rows("helpers.txt") {
		if row[0][0] == '$' {
			sets[row[0]] = must(progs().parseUses(row[1:], span{}, sets))
			continue
		}
		id, s := parseNumbered("helpers.txt", row)
		if len(row) < 5 || int(id) != len(all)+1 {
			panic(fmt.Sprintf("unreachable: helpers.txt: %v: want number %d, name, version, conditions, users", row, len(all)+1))
		}
		h := Helper{ID: id, Name: row[1], Since: s.since}
		var err error
		if h.GPL, h.Caps, err = parseConditions(row[3]); err != nil {
			panic("unreachable: helpers.txt: " + err.Error())
		}
		h.uses = must(progs().parseUses(row[4:], s, sets))
		all = append(all, h)
	}
	return all
})

// Helpers gives all helpers in the order of their numbers.
func Helpers() []Helper { return helpers() }

// HelperByID gives a helper by its number; false where Linux has none.
func HelperByID(id uint32) (Helper, bool) {
	if id == 0 || int(id) > len(helpers()) {
		return Helper{}, false
	}
	return helpers()[id-1], true
}

// Users are the kinds of programs that may call the helper in some version.
func (h Helper) Users() []User { return h.uses }

// Types are the program types whose programs may call the helper in some way in
// a version.
func (h Helper) Types(v Version) []ebpf.ProgramType { return h.uses.types(v) }

// Helper answers for a call of a helper from programs of a type and attach type.
// Programs of type Extension may call what the program may that they replace: ask
// for its type.
func (k *Kernel) Helper(t ebpf.ProgramType, a ebpf.AttachType, id uint32) (since Version, ok bool) {
	h, known := HelperByID(id)
	if !known {
		return 0, false
	}
	since, ok = h.uses.find(k.version, t, a)
	if k.host != nil {
		ok = k.host.helper(t, a, id, ok)
	}
	return since, ok
}

// parseConditions reads "gpl", "bpf", "perfmon", "sys_admin", several with commas, or "-".
func parseConditions(text string) (gpl bool, caps Caps, err error) {
	for word := range strings.SplitSeq(text, ",") {
		switch word {
		case "-":
		case "gpl":
			gpl = true
		case "bpf":
			caps |= CapBPF
		case "perfmon":
			caps |= CapPerfmon
		case "sys_admin":
			caps |= CapSysAdmin
		default:
			return false, 0, fmt.Errorf("%s: there is no such condition", word)
		}
	}
	return gpl, caps, nil
}
