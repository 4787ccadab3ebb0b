package main

import (
	"os/exec"
	"syscall"
)

// endWithParent ends QEMU with kernelvm, which go test kills when time is up.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
