package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/suggest"
)

// PinnedMap is a map of a pinned object. Its types are void where it was made without.
type PinnedMap struct {
	*ebpf.Map
	Name       string // as the object calls it
	Key, Value btf.Type
	Note       string // why there are no types, if there may be some
}

// Map opens a map that is pinned under a name.
func (p *Pins) Map(name, mapName string) (m *PinnedMap, err error) {
	err = p.change(func() error {
		if err := p.known(name); err != nil {
			return err
		}
		m, err = p.openMap(name, mapName)
		return err
	})
	return m, err
}

// Maps opens all maps that are pinned under a name.
func (p *Pins) Maps(name string) (all []*PinnedMap, err error) {
	err = p.change(func() error {
		if err := p.known(name); err != nil {
			return err
		}
		names, err := p.mapNames(name)
		for _, mapName := range names {
			m, err := p.openMap(name, mapName)
			if err != nil {
				closeMaps(all)
				return err
			}
			all = append(all, m)
		}
		return err
	})
	return all, err
}

func closeMaps(all []*PinnedMap) {
	for _, m := range all {
		m.Close()
	}
}

// mapNames are the names of the maps that are pinned under a name.
func (p *Pins) mapNames(name string) ([]string, error) {
	names, err := p.files(name, "maps")
	for i := range names {
		plain, wrong := url.PathUnescape(names[i])
		names[i], err = plain, errors.Join(err, wrong)
	}
	return names, err
}

func (p *Pins) openMap(name, mapName string) (*PinnedMap, error) {
	m, err := ebpf.LoadPinnedMap(p.path(name, "maps", escape(mapName)), nil)
	if errors.Is(err, fs.ErrNotExist) {
		names, err := p.mapNames(name)
		return nil, errors.Join(err, fmt.Errorf("%s has no map %s%s", name, mapName, suggest.Name(mapName, names)))
	}
	if err != nil {
		return nil, fmt.Errorf("open map %s of %s: %w", mapName, name, err)
	}
	key, value, err := typesOf(m)
	if errors.Is(err, fs.ErrPermission) {
		void := (*btf.Void)(nil)
		return &PinnedMap{m, mapName, void, void, "without types, which Linux tells those who have CAP_SYS_ADMIN"}, nil
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("types of map %s of %s: %w", mapName, name, err)
	}
	return &PinnedMap{m, mapName, key, value, ""}, nil
}
