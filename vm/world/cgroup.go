package world

import (
	"fmt"
	"path"
)

// root is the id of the cgroup above all.
const root = 1

// cgroups implements [exec.Cgroups].
type cgroups struct {
	byPath  map[string]uint64
	parents map[uint64]uint64 // by id
	class   map[uint64]uint32 // net_cls class, by id
}

// Parent implements [exec.Cgroups].
func (c *cgroups) Parent(id uint64) (uint64, bool) {
	parent, ok := c.parents[id]
	return parent, ok
}

// add makes the cgroups that have ids first, so that those without find free ones.
func (c *cgroups) add(all []Cgroup) error {
	c.byPath = map[string]uint64{"/": root}
	c.parents = map[uint64]uint64{root: 0}
	c.class = map[uint64]uint32{}
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
		c.class[id] = g.ClassID
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
