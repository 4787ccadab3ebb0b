package world

import (
	"fmt"

	"github.com/skep-ebpf/skep/vm/exec"
)

// files implements [exec.Files].
type files struct {
	byAddr map[uint64]*exec.File
	byName map[string]*exec.File
}

// At implements [exec.Files].
func (f *files) At(addr uint64) *exec.File { return f.byAddr[addr] }

// Named implements [exec.Files].
func (f *files) Named(name string) *exec.File { return f.byName[name] }

func (f *files) add(all []File) error {
	f.byAddr, f.byName = map[uint64]*exec.File{}, map[string]*exec.File{}
	for i := range all {
		d := &all[i]
		file := &exec.File{Name: d.Name, Inode: d.Inode, Data: []byte(d.Data), Xattrs: d.Xattrs}
		if d.Verity != "" {
			var err error
			if file.Verity, err = measurement(d.Verity); err != nil {
				return fmt.Errorf("file %q: verity: %w", d.Name, err)
			}
		}
		for _, addr := range []uint64{d.File, d.Dentry, d.Inode} {
			if addr == 0 {
				continue
			}
			if f.byAddr[addr] != nil {
				return fmt.Errorf("file %q: the address %#x is another's", d.Name, addr)
			}
			f.byAddr[addr] = file
		}
		if d.Name == "" {
			continue
		}
		if f.byName[d.Name] != nil {
			return fmt.Errorf("two files have the name %q", d.Name)
		}
		f.byName[d.Name] = file
	}
	return nil
}
