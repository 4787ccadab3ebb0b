package netdev

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// kernelNet is a network of a Config, made of veths in a network namespace of its
// own. An interface without a peer has one outside, named x- and its name: it
// stands for the wire.
type kernelNet struct {
	cfg   *Config
	coll  *ebpf.Collection
	ports map[string]int // by interface: a socket that sees what it transmits
}

// newKernelNet makes the network; the test's goroutine stays in the namespace.
func newKernelNet(t *testing.T, cfg *Config, spec *ebpf.CollectionSpec) *kernelNet {
	testenv.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the test makes interfaces with the command ip, which is not here")
	}
	runtime.LockOSThread() // and never back: the thread ends with the goroutine, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	k := &kernelNet{cfg: cfg, ports: make(map[string]int)}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil {
		t.Log(err) // its own packets may get in the way then
	}
	for at, i := range cfg.Interfaces {
		peer := cfg.peerOf(i.Name)
		if k.made(peer) {
			continue
		}
		peerIndex := 1000 + at
		if p := cfg.find(peer); p != nil {
			peerIndex = int(p.Index)
		} else {
			peer = "x-" + i.Name
		}
		ip(t, "link", "add", "name", i.Name, "index", fmt.Sprint(i.Index), "type", "veth", "peer", "name", peer, "index", fmt.Sprint(peerIndex))
	}
	var err error
	if k.coll, err = ebpf.NewCollection(spec); err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(k.coll.Close)
	k.connect(t)
	outside := func(i *InterfaceConfig) string { return cmp.Or(cfg.peerOf(i.Name), "x-"+i.Name) }
	for at := range cfg.Interfaces {
		i := &cfg.Interfaces[at]
		if i.MAC != "" {
			ip(t, "link", "set", "dev", i.Name, "address", i.MAC)
		}
		if i.MTU != 0 {
			ip(t, "link", "set", "dev", i.Name, "mtu", fmt.Sprint(i.MTU))
		}
		ip(t, "link", "set", "dev", i.Name, "up")
		ip(t, "link", "set", "dev", outside(i), "up")
	}
	for at := range cfg.Interfaces {
		i := &cfg.Interfaces[at]
		k.ports[i.Name] = listen(t, outside(i))
	}
	return k
}

func (c *Config) find(name string) *InterfaceConfig {
	for at := range c.Interfaces {
		if c.Interfaces[at].Name == name {
			return &c.Interfaces[at]
		}
	}
	return nil
}

// peerOf is an interface's peer, whichever end says so.
func (c *Config) peerOf(name string) string {
	for _, i := range c.Interfaces {
		switch {
		case i.Name == name && i.Peer != "":
			return i.Peer
		case i.Peer == name:
			return i.Name
		}
	}
	return ""
}

func (*kernelNet) made(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// connect attaches the programs, and one that passes everything where there is
// none: a veth takes redirected frames only if its peer has one.
func (k *kernelNet) connect(t *testing.T) {
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	check(t, err)
	defer pass.Close()
	busy := map[string]bool{}
	attach := func(name string, hook Hook, p *ebpf.Program) {
		dev, err := net.InterfaceByName(name)
		check(t, err)
		var l link.Link
		switch hook {
		case XDP:
			busy[name] = true
			l, err = link.AttachXDP(link.XDPOptions{Program: p, Interface: dev.Index, Flags: link.XDPDriverMode})
		case TCXIngress:
			l, err = link.AttachTCX(link.TCXOptions{Program: p, Interface: dev.Index, Attach: ebpf.AttachTCXIngress})
		case TCXEgress:
			l, err = link.AttachTCX(link.TCXOptions{Program: p, Interface: dev.Index, Attach: ebpf.AttachTCXEgress})
		}
		check(t, err)
		t.Cleanup(func() { l.Close() })
	}
	for _, a := range k.cfg.Attach {
		attach(a.If, a.Hook, k.coll.Programs[a.Prog])
	}
	all, err := net.Interfaces()
	check(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && !busy[i.Name] {
			attach(i.Name, XDP, pass)
		}
	}
	for name, entries := range k.cfg.Maps {
		for _, e := range entries {
			value := [2]uint32{}
			key := e.Key
			if e.If != "" {
				value[0] = k.cfg.find(e.If).Index
			} else {
				key, value[0] = e.CPU, 192
			}
			if e.Prog != "" {
				value[1] = uint32(k.coll.Programs[e.Prog].FD())
			}
			check(t, k.coll.Maps[name].Put(*key, value[:k.coll.Maps[name].ValueSize()/4]))
		}
	}
}

const anyProtocol = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network byte order

// listen opens a socket that sees what an interface receives.
func listen(t *testing.T, name string) int {
	dev, err := net.InterfaceByName(name)
	check(t, err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, anyProtocol)
	check(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	check(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
	check(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: anyProtocol, Ifindex: dev.Index}))
	return fd
}

// run sends frames to the input interface, and gives what each transmitted. It
// waits for as many as are expected, as another CPU may take its time.
func (k *kernelNet) run(t *testing.T, frames [][]byte, expected map[string][][]byte) map[string][][]byte {
	got := make(map[string][][]byte)
	in := k.ports[k.cfg.Input]
	for _, f := range frames {
		_, err := unix.Write(in, f)
		check(t, err)
		time.Sleep(500 * time.Microsecond) // one after the other
		k.drain(t, got)
	}
	late := func() bool {
		for name, want := range expected {
			if len(got[name]) < len(want) {
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(2 * time.Second); late() && time.Now().Before(end); k.drain(t, got) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond) // for more than was expected
	k.drain(t, got)
	return got
}

func (k *kernelNet) drain(t *testing.T, got map[string][][]byte) {
	for name, fd := range k.ports {
		for {
			frame, err := readFrame(fd)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			check(t, err)
			if frame != nil {
				got[name] = append(got[name], frame)
			}
		}
	}
}

// readFrame reads one frame that came in, with the VLAN tag that Linux took out
// of it; nil for one that went out.
func readFrame(fd int) ([]byte, error) {
	buf, oob := make([]byte, 70000), make([]byte, 128)
	n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
	if err != nil {
		return nil, err
	}
	if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
		return nil, nil
	}
	frame := buf[:n]
	control, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for _, c := range control {
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(unsafe.SliceData(c.Data)))
		if c.Header.Level == unix.SOL_PACKET && c.Header.Type == unix.PACKET_AUXDATA && aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			tag := binary.BigEndian.AppendUint16(nil, aux.Vlan_tpid)
			tag = binary.BigEndian.AppendUint16(tag, aux.Vlan_tci)
			frame = bytes.Join([][]byte{frame[:12], tag, frame[12:]}, nil)
		}
	}
	return frame, nil
}

// virtual runs the same in a virtual network.
func virtual(t *testing.T, cfg *Config, spec *ebpf.CollectionSpec, frames [][]byte) (map[string][][]byte, *bench) {
	t.Helper()
	got := make(map[string][][]byte)
	b := build(t, cfg, spec, Options{Tap: func(i *Interface, d Direction, frame []byte) error {
		switch {
		case d == TX && i.peer == nil:
			got[i.Name] = append(got[i.Name], bytes.Clone(frame))
		case d == RX && i.peer != nil: // where the socket is, which sees redirects into it, too
			got[i.peer.Name] = append(got[i.peer.Name], bytes.Clone(frame))
		}
		return nil
	}})
	for _, f := range frames {
		check(t, b.net.Receive(context.Background(), b.net.ByName(cfg.Input), f))
	}
	return got, b
}

// TestExampleLikeTheKernel sends the example's capture through both networks.
func TestExampleLikeTheKernel(t *testing.T) {
	cfg, spec, frames := example(t)
	want := newKernelNet(t, cfg, spec)
	got, b := virtual(t, cfg, spec, frames)
	sent := want.run(t, frames, got)
	for _, name := range []string{"eth0", "link0", "link1"} {
		if diff := gocmp.Diff(sent[name], got[name]); diff != "" {
			t.Errorf("%s transmits %d frames in Linux, %d here (-Linux +here):\n%.2000s", name, len(sent[name]), len(got[name]), diff)
		}
	}
	for _, name := range []string{"sent", "passed"} {
		kernel, ours := map[uint32][]byte{}, map[uint32][]byte{}
		var key uint32
		for it, value := want.coll.Maps[name].Iterate(), []byte(nil); it.Next(&key, &value); {
			kernel[key] = bytes.Clone(value)
		}
		for it, value := b.coll.Maps[name].Iterate(), []byte(nil); it.Next(&key, &value); {
			ours[key] = bytes.Clone(value)
		}
		if diff := gocmp.Diff(kernel, ours); diff != "" || len(ours) == 0 {
			t.Errorf("map %s (-Linux +here):\n%s", name, diff)
		}
	}
	t.Logf("%d frames: %d and %d through the links", len(frames), len(got["link0"]), len(got["link1"]))
}
