package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// wantedModules are loaded in every guest, where its kernel has them and has them
// not built in: the ways out of it, and what programs are attached to.
const wantedModules = "virtio_pci virtio_console veth dummy tun ipip xfrm_interface sch_ingress cls_bpf act_bpf nf_tables tcp_dctcp"

func isModule(file string) bool {
	return strings.HasSuffix(file, ".ko") || strings.HasSuffix(file, ".ko.xz")
}

// moduleSet is the modules of a kernel while those that guests load are chosen.
type moduleSet struct {
	dir   string            // of the kernel
	files map[string]string // by the module's name; those chosen are gone
	count int
}

// chooseModules moves the wanted modules and those that they need from
// all-modules to modules, numbered in the order of loading.
func chooseModules(dir string) error {
	all, err := filepath.Glob(filepath.Join(dir, "all-modules", "*"))
	if err != nil {
		return err
	}
	set := &moduleSet{dir: dir, files: map[string]string{}}
	for _, file := range all {
		name, _, _ := strings.Cut(filepath.Base(file), ".ko")
		set.files[strings.ReplaceAll(name, "-", "_")] = file
	}
	if err := os.MkdirAll(filepath.Join(dir, "modules"), 0o755); err != nil {
		return err
	}
	for _, name := range strings.Fields(wantedModules) {
		if err := set.choose(name); err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return os.RemoveAll(filepath.Join(dir, "all-modules"))
}

func (s *moduleSet) choose(name string) error {
	name = strings.ReplaceAll(name, "-", "_")
	file, ok := s.files[name]
	if !ok {
		return nil // chosen already, or built in, or this kernel has none
	}
	delete(s.files, name)
	content, err := s.content(file)
	if err != nil {
		return err
	}
	needs, err := moduleNeeds(content)
	if err != nil {
		return err
	}
	for _, need := range needs {
		if err := s.choose(need); err != nil {
			return err
		}
	}
	s.count++
	return os.WriteFile(filepath.Join(s.dir, "modules", fmt.Sprintf("%03d-%s.ko", s.count, name)), content, 0o644)
}

func (s *moduleSet) content(file string) ([]byte, error) {
	if strings.HasSuffix(file, ".xz") {
		out, err := output(exec.Command(filepath.Join(s.dir, "busybox"), "xz", "-dc", file))
		return []byte(out), err
	}
	return os.ReadFile(file)
}

// moduleNeeds gives the names of modules that one needs, as its section .modinfo
// says: KEY=VALUE texts, each ended by a zero.
func moduleNeeds(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(string(info), "\x00") {
		if names, ok := strings.CutPrefix(text, "depends="); ok {
			return strings.FieldsFunc(names, func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}
