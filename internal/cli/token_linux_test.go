package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/kernel"
)

func init() { commands["delegated"] = delegated }

// delegated is a command that executes another in its user namespace, after a bpffs is
// mounted there which whoever is at the other end of descriptor 3 makes.
func delegated() {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "delegated:", err)
		os.Exit(1)
	}
	bpffs, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		fail(err)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(bpffs), nil, 0); err != nil {
		fail(err)
	}
	if n, err := unix.Read(3, make([]byte, 1)); n != 1 {
		fail(fmt.Errorf("nobody has made the bpffs: %w", err))
	}
	mounted, err := unix.Fsmount(bpffs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		fail(err)
	}
	if err := unix.MoveMount(mounted, "", unix.AT_FDCWD, kernel.BPFFS, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		fail(err)
	}
	fail(syscall.Exec(os.Args[1], os.Args[1:], os.Environ()))
}

// inUserNamespace executes a command in a user namespace with namespaces for mounts and
// networks, and with a bpffs that delegates what options say; without one if they are nil.
// env are variables that it gets besides those of this process.
func inUserNamespace(t *testing.T, options, env []string, args ...string) (string, error) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	cmd := exec.Command(args[0], args[1:]...)
	if options != nil {
		cmd = exec.Command("delegated", args...)
	}
	var out strings.Builder
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &out, []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}},
		Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no user namespaces: %v", err)
	}
	theirs.Close()
	if options != nil {
		if err := delegate(pair[0], options); err != nil {
			cmd.Process.Kill()
			t.Errorf("make a bpffs that delegates: %v", err)
		}
	}
	err = cmd.Wait()
	return out.String(), err
}

// delegate makes the bpffs that the process at the other end of a socket mounts.
func delegate(socket int, options []string) error {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), rights, 0)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("no descriptor came: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		if err := unix.FsconfigSetString(fds[0], name, value); err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
	}
	if err := unix.FsconfigCreate(fds[0]); err != nil {
		return err
	}
	_, err = unix.Write(socket, []byte{0})
	return err
}

// In a user namespace programs are loaded with a token, if a bpffs delegates that.
func TestToken(t *testing.T) {
	testenv.KernelFrom(t, 6, 9, "it brought tokens")
	if os.Geteuid() != 0 {
		t.Skip("a bpffs that delegates needs root")
	}
	self, err := exec.LookPath("skep")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{self, "run", privilegesObject, "--prog", "pass", "--hook", "xdp/lo", "--on", "kernel", "--duration", "20ms"}
	all := []string{"delegate_cmds=any", "delegate_maps=any", "delegate_progs=any", "delegate_attachs=any"}
	from := func(path string) []string { return []string{"LIBBPF_BPF_TOKEN_PATH=" + path} }
	for _, tc := range []struct {
		name    string
		options []string
		env     []string
		want    string // in what it prints
		fails   bool
	}{
		{"all", all, nil, "map hits: array", false},
		{"no programs of XDP", []string{"delegate_cmds=any", "delegate_maps=any", "delegate_progs=kprobe", "delegate_attachs=any"}, nil,
			"the BPF token of this user namespace does not allow it (", true},
		{"nothing", nil, nil, "this process has its capabilities in its user namespace alone", true},

		{"all, and it is named", all, from(kernel.BPFFS), "map hits: array", false},
		{"all, and none is wanted", all, from(""), "LIBBPF_BPF_TOKEN_PATH is empty, which asks for no BPF token, and skep loads with that of /sys/fs/bpf: unset", true},
		{"all, and another is named", all, from("/"), "LIBBPF_BPF_TOKEN_PATH=/: no bpffs is mounted there", true},
		{"all, and what is not there is named", all, from("/none"), "LIBBPF_BPF_TOKEN_PATH=/none: open /none: no such file", true},
		{"nothing, and it is named", []string{}, from(kernel.BPFFS), "LIBBPF_BPF_TOKEN_PATH=/sys/fs/bpf: the bpffs delegates nothing", true},
		{"nothing, and none is wanted", nil, from(""), "this process has its capabilities in its user namespace alone", true},
	} {
		out, err := inUserNamespace(t, tc.options, tc.env, args...)
		if (err != nil) != tc.fails || !strings.Contains(out, tc.want) {
			t.Errorf("delegated %s: %v\n%s", tc.name, err, out)
		}
	}
	cmd := exec.Command(self, args[1:]...)
	cmd.Env = append(os.Environ(), from(kernel.BPFFS)...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "there are BPF tokens in user namespaces alone") && !strings.Contains(string(out), "no bpffs is mounted there") {
		t.Errorf("outside of user namespaces: %v\n%s", err, out)
	}
}
