package clang

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first version of clang that writes all that CO-RE needs.
const oldest = 12

// Compiler is an installed clang.
type Compiler struct {
	Path  string
	Major int // version
}

// Find looks for clang: $CLANG, or the newest among clang and clang-NN in $PATH.
func Find() (*Compiler, error) {
	var newest *Compiler
	var broken error
	for _, path := range candidates() {
		c, err := ask(path)
		if err != nil {
			broken = err
		} else if newest == nil || c.Major > newest.Major {
			newest = c
		}
	}
	switch {
	case newest == nil && broken != nil:
		return nil, fmt.Errorf("no clang that compiles for BPF: %w; %s", broken, advice())
	case newest == nil:
		return nil, errors.New("clang is not installed, and C sources need it: " + advice())
	case newest.Major < oldest:
		return nil, fmt.Errorf("%s is version %d, and %d is the first that writes the types that programs need: %s", newest.Path, newest.Major, oldest, advice())
	}
	return newest, nil
}

// candidates are the compilers to ask: only $CLANG, if it is set.
func candidates() []string {
	if path := os.Getenv("CLANG"); path != "" {
		return []string{path}
	}
	return installed()
}

// advice says how clang is installed.
func advice() string {
	switch runtime.GOOS {
	case "darwin":
		return "brew install llvm"
	case "windows":
		return "winget install LLVM.LLVM"
	}
	return "apt install clang (Debian, Ubuntu), dnf install clang (Fedora), or set CLANG to the path of one"
}

// identity tells compilers apart without running them: which there are, and since
// when.
func identity() string {
	var all strings.Builder
	for _, path := range candidates() {
		if found, err := exec.LookPath(path); err == nil {
			path = found
		}
		fmt.Fprintln(&all, path)
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintln(&all, info.Size(), info.ModTime().UnixNano())
		}
	}
	return all.String()
}

// installed are the compilers that may be the newest: clang, and the highest NN of
// clang-NN, in the folders of $PATH and where package managers hide them.
func installed() []string {
	var paths []string
	if path, err := exec.LookPath("clang"); err == nil {
		paths = append(paths, path)
	}
	numbered := regexp.MustCompile(`^clang-(\d+)(?:\.exe)?$`)
	highest, best := 0, ""
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), hidden()...) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // PATH may name folders that do not exist
		}
		for _, e := range entries {
			m := numbered.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			if n, err := strconv.Atoi(m[1]); err == nil && n > highest {
				if path, err := exec.LookPath(filepath.Join(dir, e.Name())); err == nil {
					highest, best = n, path
				}
			}
		}
	}
	if best != "" && !slices.ContainsFunc(paths, func(p string) bool { return sameFile(p, best) }) {
		paths = append(paths, best)
	}
	return paths
}

// hidden are folders outside of $PATH where a clang for BPF may be.
func hidden() []string {
	if runtime.GOOS == "darwin" {
		return []string{"/opt/homebrew/opt/llvm/bin", "/usr/local/opt/llvm/bin"}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// ask has a compiler say its version.
func ask(path string) (*Compiler, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("run %s --version: %w", path, err)
	}
	if strings.HasPrefix(string(out), "Apple ") {
		return nil, fmt.Errorf("%s is Apple's own", path)
	}
	m := regexp.MustCompile(`clang version (\d+)`).FindSubmatch(out)
	if m == nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return nil, fmt.Errorf("%s is not clang, it calls itself %q", path, first)
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return nil, fmt.Errorf("%s has version %s: %w", path, m[1], err)
	}
	return &Compiler{Path: path, Major: major}, nil
}
