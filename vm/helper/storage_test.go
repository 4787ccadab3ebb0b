package helper

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// oneSocket is a world with one socket.
type oneSocket struct{ k *exec.Socket }

func (o oneSocket) Lookup(*exec.SocketQuery) *exec.Socket { return nil }
func (o oneSocket) Current() *exec.Socket                 { return o.k }

func (o oneSocket) At(addr uint64) *exec.Socket {
	if addr == o.k.SockAddr() {
		return o.k
	}
	return nil
}

func (o oneSocket) Socket(number uint32) *exec.Socket {
	if number == o.k.Number {
		return o.k
	}
	return nil
}

func mapFor(t *testing.T, spec *ebpf.MapSpec) (maps.Map, uint64) {
	t.Helper()
	m, err := maps.New(spec, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, uint64(m.Info().Handle)
}

func TestSocketStorage(t *testing.T) {
	s := newState(t)
	sockets, err := exec.NewSockets(1)
	if err != nil {
		t.Fatal(err)
	}
	k := sockets[0]
	s.Env.Sockets = oneSocket{k}
	m, handle := mapFor(t, &ebpf.MapSpec{Type: ebpf.SkStorage, KeySize: 4, ValueSize: 8, Flags: maps.FlagNoPrealloc,
		Key: &btf.Int{Name: "int", Size: 4}, Value: &btf.Int{Name: "long", Size: 8}})
	get, drop := storageGet(socketOwner), storageDelete(socketOwner)

	if at := get(s, handle, k.SockAddr(), 0, 0, 0); at != 0 {
		t.Error("there is a value before anybody created one")
	}
	first := lend(t, s, []byte{7, 0, 0, 0, 0, 0, 0, 0})
	at := get(s, handle, k.SockAddr(), first, storageCreate, 0)
	if at == 0 || *at8(at) != 7 {
		t.Fatalf("created at %#x", at)
	}
	if again := get(s, handle, k.SockAddr(), 0, storageCreate, 0); again != at {
		t.Errorf("the value moved from %#x to %#x", at, again)
	}
	value := make([]byte, 8)
	if err := m.UserLookup([]byte{byte(k.Number), 0, 0, 0}, value, 0); err != nil || value[0] != 7 {
		t.Errorf("user space has %x: %v", value, err)
	}
	if get(s, handle, k.SockAddr(), 0, 2, 0) != 0 || get(s, handle, 0, 0, 1, 0) != 0 {
		t.Error("a value for wrong flags or no socket")
	}
	for _, want := range []uint64{0, errno.ENOENT.Ret()} {
		if got := drop(s, handle, k.SockAddr(), 0, 0, 0); got != want {
			t.Errorf("delete gives %d, want %d", int64(got), int64(want))
		}
	}
}

func at8(addr uint64) *uint64 { return at[uint64](addr) }

func TestMapOfSockets(t *testing.T) {
	s := newState(t)
	sockets, err := exec.NewSockets(1)
	if err != nil {
		t.Fatal(err)
	}
	sockets[0].Protocol = exec.ProtoTCP
	s.Env.Sockets = oneSocket{sockets[0]}
	_, handle := mapFor(t, &ebpf.MapSpec{Type: ebpf.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 2})
	key := lend(t, s, []byte{1, 0, 0, 0})
	redirect := redirectIndex("sk_redirect_map")
	if v := redirect(s, 0, handle, 1, 0, 0); v != skDrop {
		t.Error("redirected to an empty slot")
	}
	if v := sockMapUpdate(s, 0, handle, key, 0, 0); v != 0 {
		t.Errorf("update gives %d", int64(v))
	}
	if v := redirect(s, 0, handle, 1, 0, 0); v != skPass || len(s.Effects) != 1 || s.Effects[0].Args[0] != 1 {
		t.Errorf("redirect gives %d, and did %v", v, s.Effects)
	}
	if v := mapLookup(s, handle, key, 0, 0, 0); v != sockets[0].SockAddr() {
		t.Errorf("lookup gives %#x", v)
	}
}
