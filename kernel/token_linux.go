package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tokenPath is the variable by which libbpf is told of which bpffs it takes a BPF token; an
// empty one says of none.
const tokenPath = "LIBBPF_BPF_TOKEN_PATH"

// checkToken says why programs cannot be loaded as the variable says. cilium/ebpf, which
// has no such setting, takes the token of the first bpffs that gives one.
func checkToken() error {
	path, set := os.LookupEnv(tokenPath)
	if !set {
		return nil
	}
	if path != "" {
		if err := createToken(path); err != nil {
			return fmt.Errorf("%s=%s: %w", tokenPath, path, noToken(err))
		}
	}
	first, err := firstToken()
	switch {
	case err != nil:
		return fmt.Errorf("%s=%s: %w", tokenPath, path, err)
	case first == "":
		return nil // and none was asked for
	case path == "":
		return fmt.Errorf("%s is empty, which asks for no BPF token, and skep loads with that of %s: unset the variable, or unmount that", tokenPath, first)
	}
	var a, b unix.Stat_t
	if err := errors.Join(unix.Stat(path, &a), unix.Stat(first, &b)); err != nil {
		return fmt.Errorf("%s=%s: %w", tokenPath, path, err)
	}
	if a.Dev != b.Dev {
		return fmt.Errorf("%s=%s: skep loads with the BPF token of the bpffs that was mounted first, %s: unmount that", tokenPath, path, first)
	}
	return nil
}

// noToken is a sentence in place of the error of a bpffs that gives no token.
func noToken(err error) error {
	switch {
	case errors.Is(err, errDelegates):
		return fmt.Errorf("the bpffs delegates nothing: mount it with delegate_cmds, delegate_maps, delegate_progs and delegate_attachs: %w", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("no bpffs is mounted there, or this Linux is older than 6.9 and has no BPF tokens: %w", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("there are BPF tokens in user namespaces alone, and this process is in none: unset the variable: %w", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("the bpffs is that of another user namespace, or this process has no CAP_BPF in its own: %w", err)
	}
	return err
}

// errDelegates says that a bpffs delegates nothing.
var errDelegates = errors.New("create a BPF token: it delegates nothing")

// tokenCreate is BPF_TOKEN_CREATE.
const tokenCreate = 36

// createToken creates a token of a bpffs, and gives it up.
func createToken(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	attr := struct{ flags, bpffs uint32 }{bpffs: uint32(dir.Fd())}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, tokenCreate, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	switch errno {
	case 0:
		return unix.Close(int(fd))
	case unix.ENOENT:
		return errDelegates
	}
	return os.NewSyscallError("create a BPF token", errno)
}

// firstToken is where the first bpffs is mounted that gives a token; "" where none does.
func firstToken() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		mount, of, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if len(fields) < 5 || !strings.HasPrefix(of, "bpf ") {
			continue
		}
		path := unescapeMount.Replace(fields[4])
		if createToken(path) == nil {
			return path, nil
		}
	}
	return "", nil
}

// unescapeMount turns what mountinfo escapes of a path back.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
