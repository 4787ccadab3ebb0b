package kernel

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// ownNetwork puts the test's goroutine into a network namespace of its own, with a
// pair of interfaces left and right that are up.
func ownNetwork(t *testing.T) {
	t.Helper()
	testenv.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // and never back: the thread ends with the goroutine, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil {
		t.Log(err) // its own packets may get in the way then
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "right"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", "left", "right"} {
		if err := netlink.LinkSetUp(interfaceOf(t, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// interfaceOf finds an interface of the test's network.
func interfaceOf(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// counting is an object of one program that counts how often it runs, in the first
// value of map "hits", and gives a result.
func counting(section string, typ ebpf.ProgramType, attach ebpf.AttachType, attachTo string, result int32) *program.Program {
	return &program.Program{Name: "counting.o", Spec: &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"hits": {Name: "hits", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{"count": {
			Name: "count", Type: typ, AttachType: attach, AttachTo: attachTo, SectionName: section, License: "GPL",
			Instructions: asm.Instructions{
				asm.LoadMapValue(asm.R1, 0, 0).WithReference("hits"),
				asm.Mov.Imm(asm.R2, 1),
				asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
				asm.Mov.Imm(asm.R0, result),
				asm.Return(),
			},
		}},
	}}
}

// since is the Linux that kinds of hooks need for which there is no stand-in, and what
// it was like before.
var since = map[string]struct {
	major, minor int
	before       string
}{
	"lsm_cgroup":           {6, 0, "security hooks knew no cgroups"},
	"netfilter":            {6, 4, "netfilter ran no programs"},
	"netkit/primary":       {6, 7, "there were no netkit interfaces"},
	"netkit/peer":          {6, 7, "there were no netkit interfaces"},
	"kprobe.session":       {6, 10, "probes had no sessions"},
	"uprobe.session":       {6, 13, "probes had no sessions"},
	"syscall":              {5, 14, "programs did not run by themselves"},
	"timer":                {5, 14, "programs did not run by themselves"},
	"struct_ops":           {6, 4, "structures of operations had no links"},
	"sk_reuseport/migrate": {5, 14, "sockets did not migrate"},
	"sk_skb/verdict":       {5, 13, "verdicts needed a parser"},
	"sk_skb/stream_parser": {5, 13, "the guest hangs with a parser"},
}

// needs skips a test where the kernel is too old for a point.
func needs(t *testing.T, at string) {
	t.Helper()
	point, err := hook.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := since[point.Kind.Name]; ok {
		testenv.KernelFrom(t, v.major, v.minor, v.before)
	}
}

// attached loads an object, attaches its program "count" at a point, and gives a
// function that says how often it ran. All is closed when the test ends.
func attached(t *testing.T, p *program.Program, at string) (hits func() uint64) {
	t.Helper()
	needs(t, at)
	c, err := Load(p, &Options{})
	skipTooOld(t, err)
	if p.Spec.Programs["count"].Type == ebpf.Tracing && errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) {
		t.Skipf("the running kernel takes no such programs (make vm runs kernels that do): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	attach(t, c, at)
	return func() (n uint64) {
		t.Helper()
		if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// skipTooOld skips a test that needs a newer Linux.
func skipTooOld(t *testing.T, err error) {
	t.Helper()
	if needs := needsNewer(err); needs != "" {
		t.Skip(needs)
	}
}

// needsNewer says what a kernel is too old for that refused an object; "": that is not why.
func needsNewer(err error) string {
	var e *verifier.Error
	if !errors.As(err, &e) || e.Cause != verifier.CauseKernel {
		return ""
	}
	needs, _, _ := strings.Cut(e.Kernel, "\n")
	return needs
}

// attach attaches program "count" at a point, and skips the test where this kernel does
// not have such points.
func attach(t *testing.T, c *Collection, at string) {
	t.Helper()
	point, err := hook.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Attach([]hook.Attachment{{Program: "count", Point: point}})
	probe := strings.HasPrefix(at, "k") // of the kernel, which a kernel may be built without
	if errors.Is(err, ebpf.ErrNotSupported) || probe && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		t.Skipf("the running kernel attaches nothing there (make vm runs kernels that do): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// send has an interface transmit a small frame.
func send(t *testing.T, name string) {
	t.Helper()
	transmit(t, name, 64)
}

// transmit has an interface transmit a frame of so many bytes.
func transmit(t *testing.T, name string, size int) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	frame := make([]byte, size)
	copy(frame, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
		t.Fatal(err)
	}
}

// A point that does not exist is an error that says what there is, and leaves nothing
// attached.
func TestAttachRefused(t *testing.T) {
	ownNetwork(t)
	c, err := Load(counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for at, want := range map[string]string{
		"xdp/lef":        "counting.o: program count: there is no interface lef here; did you mean left?",
		"xdp/left@fast":  "there is no mode fast of XDP: there is generic, native and offload",
		"xdp":            "xdp needs an interface: say it with --hook, such as --hook xdp/veth0",
		"sk_msg/sockets": "the object has no map sockets; there is hits",

		"tcx/ingress/rigt":              "there is no interface rigt here; did you mean right?",
		"clsact/left":                   "clsact/left: want a direction and an interface, with a priority if wanted, such as clsact/ingress/veth0; there is no direction left; there is egress, ingress",
		"clsact/ingres/left":            "did you mean ingress?",
		"clsact/egress/lef":             "did you mean left?",
		"clsact/egress/left@0":          `the priority "0" is no number from 1 to 65535`,
		"netkit/primary/left":           "interface left is a veth, and no netkit",
		"socket/lo0":                    "did you mean lo?",
		"sk_lookup//proc/self/net":      "/proc/self/net is no network namespace",
		"sk_lookup//proc/self/ns/nett":  "did you mean net?",
		"netfilter/ipv5/local_in":       "netfilter has no family ipv5; did you mean ipv4?",
		"netfilter/ipv4/local_on":       "netfilter has no hook local_on; did you mean local_in?",
		"netfilter/ipv4":                "want a family, a hook and a priority",
		"netfilter/ipv4/local_in@first": `the priority "first" is no number of 32 bits`,
	} {
		point, err := hook.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		good, err := hook.Parse("xdp/left")
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Attach([]hook.Attachment{{Program: "count", Point: good}, {Program: "count", Point: point}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("attach at %s: %v, want an error with %q", at, err, want)
		}
		links, err := c.Attach([]hook.Attachment{{Program: "count", Point: good}})
		if err != nil {
			t.Fatalf("after a failure at %s: %v", at, err)
		}
		for _, l := range links {
			l.Close()
		}
	}
}
