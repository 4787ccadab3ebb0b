package attached

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm/world"
)

// text is a call that fills the last bytes of 8, with flags where there are some.
func text(helper asm.BuiltinFunc, bytes int32, flags ...int32) asm.Instructions {
	insns := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -8), asm.Mov.Imm(asm.R3, bytes),
	}
	for _, f := range flags {
		insns = append(insns, asm.Mov.Imm(asm.R4, f))
	}
	return append(insns, helper.Call())
}

// newValue sets another value, of one letter.
func newValue(letter byte, bytes int32) []ask {
	return []ask{{"set new value", append(asm.Instructions{asm.StoreImm(asm.RFP, -8, int64(letter), asm.DWord)},
		text(asm.FnSysctlSetNewValue, bytes)...)}}
}

// TestSysctls holds what programs see of settings that a process reads and writes.
func TestSysctls(t *testing.T) {
	g := ownGroup(t)
	const baseName = 1
	asks := []ask{
		{"name", text(asm.FnSysctlGetName, 8, 0)},
		{"base name", text(asm.FnSysctlGetName, 8, baseName)},
		{"beginning of its name", text(asm.FnSysctlGetName, 3, baseName)},
		{"name with a wrong flag", text(asm.FnSysctlGetName, 8, 2)},
		{"current value", text(asm.FnSysctlGetCurrentValue, 8)},
		{"one byte of it", text(asm.FnSysctlGetCurrentValue, 1)},
		{"two bytes of it", text(asm.FnSysctlGetCurrentValue, 2)},
		{"new value", text(asm.FnSysctlGetNewValue, 8)},
		{"two bytes of the new one", text(asm.FnSysctlGetNewValue, 2)},
	}
	for _, c := range []struct {
		name, setting string
		write         string // "": the process reads
		w             watcher
		wanted        string // what the setting is behind
		err           error
	}{
		{"read", "net/ipv4/ip_forward", "", watcher{returns: 1, asks: asks}, "0", nil},
		{"read a short name", "net/ipv4/tcp_ecn", "", watcher{returns: 1, asks: asks}, "2", nil},
		{"read refused", "net/ipv4/ip_forward", "", watcher{returns: 0}, "0", unix.EPERM},
		{"set while reading", "net/ipv4/ip_forward", "", watcher{returns: 1, asks: newValue('1', 1)}, "0", nil},
		{"write", "net/ipv4/ip_forward", "1\n", watcher{returns: 1, asks: asks}, "1", nil},
		{"write without a newline", "net/ipv4/tcp_ecn", "1", watcher{returns: 1, asks: asks}, "1", nil},
		{"write refused", "net/ipv4/ip_forward", "1\n", watcher{returns: 0}, "0", unix.EPERM},
		{"write another value", "net/ipv4/tcp_ecn", "1\n", watcher{returns: 1, asks: newValue('0', 2)}, "0", nil},
		{"write further on", "net/ipv4/ip_forward", "1\n", watcher{returns: 1, stores: []store{{"file_pos", 1}}}, "0", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			network(t)
			path := "/proc/sys/" + c.setting
			access := func(write string) (string, error) {
				flags := unix.O_RDONLY
				if write != "" {
					flags = unix.O_WRONLY
				}
				fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
				if err != nil {
					return "", err
				}
				defer unix.Close(fd)
				if write != "" {
					_, err = unix.Write(fd, []byte(write))
					return "", err
				}
				b := make([]byte, 64)
				n, err := unix.Read(fd, b)
				return strings.TrimSpace(string(b[:max(n, 0)])), err
			}
			before, err := access("")
			if err != nil {
				t.Skip(err)
			}
			w := c.w
			w.prog, w.attach = ebpf.CGroupSysctl, ebpf.AttachCGroupSysctl
			linux := w.inLinux(t, g.attach(w.attach), func() { _, err = access(c.write) })
			if len(linux) == 0 {
				t.Fatal("the program did not run")
			}
			seen := linux[len(linux)-1] // Linux begins a write of ip_forward again where another holds its lock
			after, _ := access("")
			if !errors.Is(err, c.err) || after != c.wanted {
				t.Errorf("Linux gives %v, and the setting is %q, want %v and %q", err, after, c.err, c.wanted)
			}
			d := g.world(nil)
			d.Sysctl = &world.Sysctl{Name: c.setting, Value: before, New: strings.TrimSuffix(c.write, "\n")}
			fields := map[string]any{"write": 0}
			if c.write != "" {
				fields["write"] = 1
				d.Sysctl.New = c.write
			}
			machine, out := w.inMachine(t, &event{world: d, fields: fields})
			same(t, seen, machine)
			for _, o := range w.stores {
				if got := binary.NativeEndian.Uint32(out.Ctx[4:]); int64(got) != o.value {
					t.Errorf("%s is %d in the machine, want %d", o.field, got, o.value)
				}
			}
		})
	}
}

// TestDevices holds what programs see of devices that a process opens.
func TestDevices(t *testing.T) {
	g := ownGroup(t)
	const character, read, write = 2, 2, 4 // BPF_DEVCG_*
	for _, c := range []struct {
		name    string
		flags   int
		access  uint64
		returns int32
		err     error
	}{
		{"read", unix.O_RDONLY, read, 1, nil},
		{"write", unix.O_WRONLY, write, 1, nil},
		{"both", unix.O_RDWR, read | write, 1, nil},
		{"refused", unix.O_RDWR, read | write, 0, unix.EPERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := watcher{prog: ebpf.CGroupDevice, attach: ebpf.AttachCGroupDevice, returns: c.returns, asks: currentAsks[2:]}
			var err error
			linux := w.inLinux(t, g.attach(w.attach), func() {
				var fd int
				if fd, err = unix.Open("/dev/zero", c.flags|unix.O_CLOEXEC, 0); err == nil {
					err = unix.Close(fd)
				}
			})
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			if !errors.Is(err, c.err) {
				t.Errorf("Linux gives %v, want %v", err, c.err)
			}
			linux[0].holds(t, map[string]uint64{"access_type": c.access<<16 | character, "major": 1, "minor": 5, "cgroup": g.id})
			machine, out := w.inMachine(t, &event{world: g.world(nil), fields: map[string]any{
				"access_type": c.access<<16 | character, "major": 1, "minor": 5,
			}})
			same(t, linux[0], machine)
			if out.Ret != uint32(c.returns) {
				t.Errorf("the machine gives %d", out.Ret)
			}
		})
	}
}
