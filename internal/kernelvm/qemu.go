package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// errDied says that a guest ended without an exit code.
var errDied = errors.New("the guest died")

// boot runs a kernel on an image until the guest powers itself off, and gives the
// exit code that it left.
func boot(dir string, k *kernel, image string, limit time.Duration) (code int, err error) {
	log, exit := filepath.Join(dir, "log"), filepath.Join(dir, "exit")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg", "-machine", "q35", "-m", "2048", "-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
		"-smp", "1", // QEMU 7.2 kills guests of several CPUs now and then
		"-cpu", "max,la57=off"+k.cpu,
		"-kernel", filepath.Join(k.dir, "vmlinuz"), "-initrd", image, "-append", commandLine(),
		"-serial", "file:"+log,
		"-device", "virtio-serial-pci",
		"-chardev", "stdio,id=out,signal=off", "-device", "virtserialport,chardev=out,name=out",
		"-chardev", "file,id=exit,path="+exit, "-device", "virtserialport,chardev=exit,name=exit",
	)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	endWithParent(cmd)
	// QEMU shuts the port out when its input ends.
	if _, err := cmd.StdinPipe(); err != nil {
		return 0, err
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return 0, fmt.Errorf("%w: it was not done after %v%s", errDied, limit, lastLines(log))
		}
		return 0, fmt.Errorf("run QEMU: %w", err)
	}
	text, err := os.ReadFile(exit)
	if err != nil {
		return 0, err
	}
	code, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%w%s", errDied, lastLines(log))
	}
	return code, nil
}

// commandLine is the kernel's: security hooks for programs, a clock that a busy
// host does not mislead, and nothing that only takes time.
func commandLine() string {
	line := "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic rdinit=/init lsm=lockdown,yama,bpf " +
		"random.trust_cpu=on mitigations=off nokaslr cryptomgr.notests noreplace-smp tsc=reliable no_timer_check"
	if mhz := hostMHz(); mhz > 0 {
		line += fmt.Sprintf(" tsc_early_khz=%d", int(mhz*1000))
	}
	return line
}

// hostMHz is the rate of the host's time stamp counter, 0 where it is not known.
func hostMHz() float64 {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(info, []byte("cpu MHz"))
	value, _, _ := bytes.Cut(rest, []byte("\n"))
	mhz, err := strconv.ParseFloat(strings.Trim(string(value), "\t :"), 64)
	if err != nil {
		return 0
	}
	return mhz
}

// lastLines gives the end of the guest's kernel log, on new lines.
func lastLines(log string) string {
	const most = 40
	text, err := os.ReadFile(log)
	if err != nil || len(text) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "; its log ends with\n" + strings.Join(lines[max(0, len(lines)-most):], "\n")
}
