package hook_test

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
)

func TestEntry(t *testing.T) {
	for name, want := range map[string]hook.Entry{
		"xdp/devmap/links:0@veth1":  {Map: "links", Interface: "veth1"},
		"xdp/devmap:links:0x10@a@b": {Map: "links", Key: 16, Interface: "a@b"},
		"xdp/cpumap/cpus:1":         {Map: "cpus", Key: 1, Queue: 192},
		"xdp/cpumap/cpus:1@2048":    {Map: "cpus", Key: 1, Queue: 2048},
	} {
		at, err := hook.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := at.Entry()
		if err != nil || got != want || !at.Kind.InMap() {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{
		"xdp/devmap", "xdp/devmap/links", "xdp/devmap/links:0", "xdp/devmap/links:x@veth1", "xdp/devmap/:0@veth1", "xdp/devmap/links:0@",
		"xdp/devmap/links:4294967296@veth1", "xdp/cpumap/cpus:1@", "xdp/cpumap/cpus:1@0", "xdp/cpumap/cpus:1@veth1",
	} {
		at, err := hook.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := at.Entry(); err == nil || !strings.Contains(err.Error(), ": want an entry of a ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if hook.Find("xdp").InMap() {
		t.Error("programs of xdp are in maps")
	}
}

// shape is what of a map counts.
type shape struct {
	typ        ebpf.MapType
	value, max uint32
}

func (s shape) Type() ebpf.MapType { return s.typ }
func (s shape) ValueSize() uint32  { return s.value }
func (s shape) MaxEntries() uint32 { return s.max }

func TestEntryTakes(t *testing.T) {
	for _, tc := range []struct {
		kind string
		m    shape
		want string
	}{
		{"xdp/devmap", shape{ebpf.DevMap, 8, 3}, ""},
		{"xdp/devmap", shape{ebpf.DevMapHash, 8, 2}, ""},
		{"xdp/cpumap", shape{ebpf.CPUMap, 8, 3}, ""},
		{"xdp/devmap", shape{ebpf.DevMap, 8, 2}, "map m has 2 entries, from 0 on, and no entry 2"},
		{"xdp/devmap", shape{ebpf.DevMap, 4, 3}, "values of map m have no room for a program: make them struct bpf_devmap_val"},
		{"xdp/cpumap", shape{ebpf.DevMap, 8, 3}, "map m is a DevMap, and programs of xdp/cpumap are in a CPUMap"},
	} {
		err := hook.Entry{Map: "m", Key: 2}.Takes(hook.Find(tc.kind), tc.m)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
			t.Errorf("%s in %+v: %v, want %q", tc.kind, tc.m, err, tc.want)
		}
	}
}
