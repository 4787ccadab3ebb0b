package kernels

import (
	"fmt"
	"strings"
)

// Kernel is what one Linux accepts. Its methods answer with the first version
// that accepts the thing asked for, zero if none does, and whether this kernel
// is among those that do.
type Kernel struct {
	name    string
	version Version
	any     bool  // what some profile accepts will do
	host    *host // asks the running kernel; nil: go by the tables
}

// Get gives a kernel by name: a version between the oldest and the newest
// profile ("6.12", "5.19", "6.1.176"), "any" for the newest, or "host" for the
// running one.
func Get(name string) (*Kernel, error) {
	switch name {
	case "any":
		return Any(), nil
	case "host":
		return Host()
	}
	v, err := ParseVersion(name)
	if err != nil {
		return nil, fmt.Errorf("unknown kernel %q: there is %s", name, known())
	}
	if !released(v) {
		return nil, fmt.Errorf("no facts about Linux %s: the nearest is %s; there is %s", v, nearest(v), known())
	}
	return &Kernel{name: v.String(), version: v}, nil
}

// known lists what Get takes.
func known() string {
	var names []string
	for _, v := range profiles {
		names = append(names, v.String())
	}
	return strings.Join(names, ", ") + ", each version between them, any and host"
}

// All gives the profiles, oldest first.
func All() []*Kernel {
	all := make([]*Kernel, len(profiles))
	for i, v := range profiles {
		all[i] = &Kernel{name: v.String(), version: v}
	}
	return all
}

// Any is a kernel of which nothing is known but that it is new: it accepts what
// the newest profile does, and kernel functions that only older ones have.
func Any() *Kernel { return &Kernel{name: "any", version: newest, any: true} }

// String is the kernel's name as [Get] takes it.
func (k *Kernel) String() string { return k.name }

// Version is the version whose rules hold.
func (k *Kernel) Version() Version { return k.version }
