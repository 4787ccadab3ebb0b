package hook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

// Entry is an entry of a devmap or a cpumap. A program is in one rather than attached, and
// runs for the packets that another one redirects there.
type Entry struct {
	Map       string // of the object
	Key       uint32
	Interface string // out of which packets of a devmap's entry go
	Queue     uint32 // how many packets may wait for the CPU of a cpumap's entry
}

// DefaultQueue is how many packets may wait in a cpumap's entry where nobody says.
const DefaultQueue = 192

// mapTypes are the maps that programs are put into, by the names of kinds of hooks.
var mapTypes = map[string][]ebpf.MapType{
	"xdp/devmap": {ebpf.DevMap, ebpf.DevMapHash},
	"xdp/cpumap": {ebpf.CPUMap},
}

// InMap reports whether programs of a kind are put into maps.
func (k *Kind) InMap() bool { return mapTypes[k.Name] != nil }

// Entry takes the target of a point in a map apart: MAP:KEY@INTERFACE or MAP:CPU@QUEUE.
func (p Point) Entry() (e Entry, err error) {
	bad := fmt.Errorf("%s: want %s, such as %s", p, p.Kind.Wants, p.Kind.Example)
	at, to, given := strings.Cut(p.Target, "@")
	name, key, _ := strings.Cut(at, ":")
	n, err := strconv.ParseUint(key, 0, 32)
	if err != nil || name == "" || given && to == "" {
		return e, bad
	}
	e.Map, e.Key = name, uint32(n)
	switch {
	case p.Kind.Name == "xdp/devmap" && given:
		e.Interface = to
	case p.Kind.Name == "xdp/cpumap" && !given:
		e.Queue = DefaultQueue
	case p.Kind.Name == "xdp/cpumap":
		n, err := strconv.ParseUint(to, 0, 32)
		if err != nil || n == 0 {
			return e, bad
		}
		e.Queue = uint32(n)
	default:
		return e, bad
	}
	return e, nil
}

// Takes says why a program of a kind cannot be in the entry of a map.
func (e Entry) Takes(k *Kind, m interface {
	Type() ebpf.MapType
	ValueSize() uint32
	MaxEntries() uint32
}) error {
	switch types := mapTypes[k.Name]; {
	case !slices.Contains(types, m.Type()):
		return fmt.Errorf("map %s is a %s, and programs of %s are in a %s", e.Map, m.Type(), k.Name, types[0])
	case m.ValueSize() < 8:
		return fmt.Errorf("values of map %s have no room for a program: make them struct bpf_%s_val", e.Map, strings.TrimPrefix(k.Name, "xdp/"))
	case m.Type() != ebpf.DevMapHash && e.Key >= m.MaxEntries():
		return fmt.Errorf("map %s has %d entries, from 0 on, and no entry %d", e.Map, m.MaxEntries(), e.Key)
	}
	return nil
}
