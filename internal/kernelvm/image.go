package main

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Where things lie in the guest.
const (
	guestProject = "/skep"
	guestData    = "/data"
	guestBinary  = "/test"
)

//go:embed init.sh
var initScript []byte

// writeImage writes a guest's file system and gives the name of the file.
func writeImage(dir string, k *kernel, args []string) (name string, err error) {
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	below, err := filepath.Rel(root, here)
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, "image")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	buf := bufio.NewWriter(f)
	img := &archive{w: buf}
	for _, dir := range []string{"bin", "boot", "dev", "proc", "run", "sys", "tmp", "modules"} {
		img.dir(dir)
	}
	img.bytes("init", 0o755, initScript)
	img.bytes("test.sh", 0o755, runScript(path.Join(guestProject, filepath.ToSlash(below)), args[1:]))
	img.file("bin/busybox", filepath.Join(k.dir, "busybox"))
	img.file("boot/config-"+k.release, filepath.Join(k.dir, "config"))
	img.tree("modules", filepath.Join(k.dir, "modules"))
	img.file(strings.TrimPrefix(guestBinary, "/"), args[0])
	img.tree(strings.TrimPrefix(guestProject, "/"), root)
	if data := os.Getenv("SKEP_DATA"); data != "" {
		img.tree(strings.TrimPrefix(guestData, "/"), data)
	}
	img.end()
	return name, errors.Join(img.err, buf.Flush())
}

// projectRoot is the directory of go.mod.
func projectRoot() (string, error) {
	here, err := os.Getwd()
	for dir := here; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above", here)
		}
	}
	return "", err
}

// runScript runs the binary in a directory.
func runScript(dir string, args []string) []byte {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\ncd %s\n", quote(dir))
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "SKEP_") {
			if name == "SKEP_DATA" {
				value = guestData
			}
			fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
		}
	}
	b.WriteString("exec " + guestBinary)
	for _, arg := range args {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n")
	return []byte(b.String())
}

// archive writes the format that Linux unpacks into its first file system, which
// cpio calls newc. The first error stays in err.
type archive struct {
	w   io.Writer
	err error
}

// tree adds a directory, without what begins with a dot, and without programs of
// the project that were built.
func (a *archive) tree(name, dir string) {
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		at := path.Join(name, filepath.ToSlash(below))
		switch {
		case file != dir && strings.HasPrefix(e.Name(), "."), at == "skep/bin":
			if e.IsDir() {
				return filepath.SkipDir
			}
		case e.IsDir():
			a.dir(at)
		case e.Type().IsRegular():
			a.file(at, file)
		}
		return a.err
	})
	a.note(err)
}

func (a *archive) file(name, file string) {
	content, err := os.ReadFile(file)
	a.note(err)
	a.bytes(name, 0o755, content)
}

func (a *archive) dir(name string) { a.entry(name, 0o040755, nil) }
func (a *archive) bytes(name string, mode uint32, content []byte) {
	a.entry(name, 0o100000|mode, content)
}
func (a *archive) end() { a.entry("TRAILER!!!", 0, nil) }

func (a *archive) entry(name string, mode uint32, content []byte) {
	if a.err != nil {
		return
	}
	const headerSize = 6 + 13*8
	padding := func(n int) string { return "\x00\x00\x00"[:-n&3] }
	_, err := fmt.Fprintf(a.w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00%s%s%s",
		0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name,
		padding(headerSize+len(name)+1), content, padding(len(content)))
	a.note(err)
}

func (a *archive) note(err error) {
	if a.err == nil {
		a.err = err
	}
}
