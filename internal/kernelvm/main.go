// Command kernelvm runs a test binary in a virtual machine with another Linux
// kernel than the host's, in the way of go test -exec:
//
//	go test -exec 'kernelvm -kernel 6.12' ./vm
//
// It boots one of Debian's kernels in QEMU, without KVM, from nothing but an
// initial file system in memory: BusyBox, some kernel modules, the project's
// files, those of $SKEP_DATA where it is set, and the binary. The binary runs in
// the directory that kernelvm was called in, as root, with the same arguments
// and the environment's SKEP_ variables. What it prints is printed, and its exit
// code is kernelvm's.
//
// Kernels come from the mirror that this machine's apt uses, and stay in the
// user's cache directory.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// What kernelvm exits with where it has no exit code to pass on. Tests end with
// 0, 1 or 2.
const (
	exitNoKernel = 124 // nor QEMU
	exitDied     = 125 // the guest, each time
)

// attempts is how often a guest may die: QEMU without KVM crashes one now and
// then on a busy machine.
const attempts = 3

func main() {
	log := func(format string, args ...any) { fmt.Fprintf(os.Stderr, "kernelvm: "+format+"\n", args...) }
	version := flag.String("kernel", "6.12", "`version` of Linux: "+strings.Join(versions(), ", "))
	limit := flag.Duration("limit", 15*time.Minute, "time that the guest may take")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: kernelvm [flags] binary [arguments]\nWithout a binary it only fetches the kernel.")
		flag.PrintDefaults()
	}
	flag.Parse()

	kernel, err := fetch(*version)
	if err != nil {
		log("%v", err)
		os.Exit(exitNoKernel)
	}
	if flag.NArg() == 0 {
		log("Linux %s is in %s", kernel.release, kernel.dir)
		return
	}
	for range attempts {
		var code int
		code, err = run(kernel, flag.Args(), *limit)
		if err == nil {
			os.Exit(code)
		}
		log("Linux %s: %v", kernel.release, err)
		if !errors.Is(err, errDied) {
			os.Exit(exitNoKernel)
		}
	}
	os.Exit(exitDied)
}

// run boots the kernel once to run a binary with arguments.
func run(k *kernel, args []string, limit time.Duration) (code int, err error) {
	dir, err := os.MkdirTemp("", "kernelvm")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	image, err := writeImage(dir, k, args)
	if err != nil {
		return 0, fmt.Errorf("make the guest's file system: %w", err)
	}
	return boot(dir, k, image, limit)
}
