package jit

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"github.com/skep-ebpf/skep/internal/mem"
)

// Available gives nil where programs can run as machine code, and otherwise an
// error that says why not. It tries once.
var Available = sync.OnceValue(func() error {
	if !hasBackend {
		return fmt.Errorf("skep makes machine code for amd64 and arm64, and this is %s: programs are interpreted", runtime.GOARCH)
	}
	code, err := mem.NewCode([]byte{0})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("this system does not let the process make memory executable (SELinux's execmem, systemd's MemoryDenyWriteExecute, PR_SET_MDWE or a seccomp filter do so): programs are interpreted: %w", err)
	}
	if err != nil {
		return fmt.Errorf("programs are interpreted: %w", err)
	}
	return code.Free()
})
