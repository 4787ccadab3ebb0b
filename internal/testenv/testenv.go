// Package testenv tells tests what there is to test with, and skips them, saying
// so, where something is missing.
package testenv

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// Root is the project's root directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

// Data gives the path of an external test suite: a directory of $SKEP_DATA,
// which is ../shared/data beside the project where it is not set.
func Data(t testing.TB, suite string) string {
	t.Helper()
	root := os.Getenv("SKEP_DATA")
	if root == "" {
		root = filepath.Join(Root(t), "..", "shared", "data")
	}
	path := filepath.Join(root, suite)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("external suite %s is not there: set SKEP_DATA to the directory that holds it", suite)
	}
	return path
}

// Kernel skips a test where this process may not load a program into the
// running kernel.
func Kernel(t testing.TB) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SocketFilter,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "MIT",
	})
	if err != nil {
		t.Skipf("the running kernel cannot serve as oracle: %v", err)
	}
	prog.Close()
}

// The Linux that the machine follows where versions differ.
const followedMajor, followedMinor = 6, 18

// KernelFrom is [Kernel] for what Linux does since a version: it skips a test in
// an older one, and why says what changed.
func KernelFrom(t testing.TB, major, minor int, why string) {
	t.Helper()
	Kernel(t)
	if v := kernelVersion(t); v < versionCode(major, minor) {
		t.Skipf("needs Linux %d.%d: before, %s", major, minor, why)
	}
}

// KernelFollowed is [Kernel] for what differs in older and newer kernels than the
// one that the machine follows.
func KernelFollowed(t testing.TB, why string) {
	t.Helper()
	Kernel(t)
	if !Follows(t) {
		t.Skipf("the running kernel is not Linux %d.%d: %s", followedMajor, followedMinor, why)
	}
}

// Follows reports whether the running kernel is the one that the machine follows.
func Follows(t testing.TB) bool {
	t.Helper()
	return kernelVersion(t) == versionCode(followedMajor, followedMinor)
}

func versionCode(major, minor int) uint32 { return uint32(major<<8 | minor) }

// kernelVersion is the running kernel's, without its patch level.
func kernelVersion(t testing.TB) uint32 {
	t.Helper()
	v, err := features.LinuxVersionCode()
	if err != nil {
		t.Skipf("the running kernel's version is not known: %v", err)
	}
	return v >> 8
}

// Seed is where a random test begins: SKEP_SEED, or chance. It is logged, so
// that a failure can be repeated.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("SKEP_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (SKEP_SEED=%[1]d repeats it)", seed)
	return seed
}
