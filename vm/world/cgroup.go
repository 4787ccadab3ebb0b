package world

import (
	"fmt"
	"path"
	"slices"

	"github.com/skep-ebpf/skep/vm/exec"
)

// root is the id of the cgroup above all.
const root = 1

// cgroups implements [exec.Cgroups].
type cgroups struct {
	byPath  map[string]uint64
	parents map[uint64]uint64 // by id
	class   map[uint64]uint32 // net_cls class, by id
	xattrs  map[uint64]map[string]string
	addrs   map[uint64]uint64 // of struct cgroup by id, where the description says so
	byAddr  map[uint64]uint64 // id by address
}

// Parent implements [exec.Cgroups].
func (c *cgroups) Parent(id uint64) (uint64, bool) {
	parent, ok := c.parents[id]
	return parent, ok
}

// Children implements [exec.Cgroups], in the order of their ids.
func (c *cgroups) Children(id uint64) []uint64 {
	var below []uint64
	for child, parent := range c.parents {
		if parent == id && child != id {
			below = append(below, child)
		}
	}
	slices.Sort(below)
	return below
}

// Addr implements [exec.Cgroups].
func (c *cgroups) Addr(id uint64) uint64 {
	if addr := c.addrs[id]; addr != 0 {
		return addr
	}
	return exec.NoCgroupStruct(id)
}

// At implements [exec.Cgroups].
func (c *cgroups) At(addr uint64) uint64 { return c.byAddr[addr] }

// Xattr implements [exec.Cgroups].
func (c *cgroups) Xattr(id uint64, name string) (string, bool) {
	value, ok := c.xattrs[id][name]
	return value, ok
}

// add makes the cgroups that have ids first, so that those without find free ones.
func (c *cgroups) add(all []Cgroup) error {
	c.byPath = map[string]uint64{"/": root}
	c.parents = map[uint64]uint64{root: 0}
	c.class, c.xattrs = map[uint64]uint32{}, map[uint64]map[string]string{}
	c.addrs = map[uint64]uint64{}
	for _, g := range all {
		if !path.IsAbs(g.Path) {
			return fmt.Errorf("cgroup %q: want a path from /", g.Path)
		}
		p := path.Clean(g.Path)
		if g.ID == 0 || p == "/" && g.ID == root {
			continue
		}
		_, taken := c.parents[g.ID]
		if _, twice := c.byPath[p]; taken || twice {
			return fmt.Errorf("cgroup %s, id %d: path or id is another's", p, g.ID)
		}
		c.byPath[p], c.parents[g.ID] = g.ID, 0
	}
	for _, g := range all {
		id, err := c.id(g.Path)
		if err != nil {
			return err
		}
		c.class[id], c.xattrs[id], c.addrs[id] = g.ClassID, g.Xattrs, g.Cgroup
	}
	for p := range c.byPath {
		if p == "/" {
			continue
		}
		above, err := c.id(path.Dir(p))
		if err != nil {
			return err
		}
		c.parents[c.byPath[p]] = above
	}
	return nil
}

// id is that of the cgroup at a path, which is made where there is none.
func (c *cgroups) id(p string) (uint64, error) {
	if p == "" {
		return 0, nil
	}
	if !path.IsAbs(p) {
		return 0, fmt.Errorf("cgroup %q: want a path from /", p)
	}
	p = path.Clean(p)
	if id, ok := c.byPath[p]; ok {
		return id, nil
	}
	above, err := c.id(path.Dir(p))
	if err != nil {
		return 0, err
	}
	id := uint64(root + 1)
	for {
		if _, taken := c.parents[id]; !taken {
			break
		}
		id++
	}
	c.byPath[p], c.parents[id] = id, above
	return id, nil
}

// place makes the cgroups found by their addresses, once all are there.
func (c *cgroups) place() error {
	c.byAddr = map[uint64]uint64{}
	for id := range c.parents {
		addr := c.Addr(id)
		if other, taken := c.byAddr[addr]; taken {
			return fmt.Errorf("cgroups %d and %d have the address %#x", min(id, other), max(id, other), addr)
		}
		c.byAddr[addr] = id
	}
	return nil
}
