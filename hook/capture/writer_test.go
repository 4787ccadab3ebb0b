package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRoundTrip writes captures and reads them back.
func TestRoundTrip(t *testing.T) {
	packets := []Packet{
		{Data: frame("one"), Time: someTime, OrigLen: 17, LinkType: 1, Interface: 0, IfName: "eth0"},
		{Data: frame("cut"), Time: someTime.Add(time.Nanosecond), OrigLen: 1500, LinkType: 1, Interface: 1, IfName: "eth1"},
		{Data: frame("again"), Time: someTime.Add(time.Hour), OrigLen: 19, LinkType: 1, Interface: 0, IfName: "eth0"},
		{Data: bytes.Repeat([]byte{7}, MaxPacket), Time: someTime, OrigLen: MaxPacket, LinkType: 1, Interface: 1, IfName: "eth1"},
	}
	for _, ext := range []string{".pcap", ".pcapng"} {
		t.Run(ext, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out"+ext)
			write(t, path, packets)
			want := packets
			if ext == ".pcap" { // which knows no interfaces
				want = nil
				for _, p := range packets {
					p.Interface, p.IfName = 0, ""
					want = append(want, p)
				}
			}
			got := readFile(t, path)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("packets (-want +got):\n%s", diff)
			}

			again := filepath.Join(t.TempDir(), "again"+ext)
			write(t, again, got)
			a, b := contents(t, path), contents(t, again)
			if !bytes.Equal(a, b) {
				t.Error("a capture that was read and written again differs")
			}
		})
	}
}

func write(t *testing.T, path string, packets []Packet) {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, p := range packets {
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the capture is visible before Close")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	checkAlone(t, path)
}

// checkAlone checks that nothing lies beside the capture.
func checkAlone(t *testing.T, path string) {
	t.Helper()
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() != filepath.Base(path) {
			t.Errorf("left over: %s", n.Name())
		}
	}
}

func readFile(t *testing.T, path string) []Packet {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	packets, _, err := readAll(t, contents(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEmptyCapture(t *testing.T) {
	for _, ext := range []string{".pcap", ".pcapng"} {
		path := filepath.Join(t.TempDir(), "out"+ext)
		write(t, path, nil)
		if got := readFile(t, path); len(got) != 0 {
			t.Errorf("%s: %d packets", ext, len(got))
		}
	}
}

func TestGrownPacket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.pcap")
	write(t, path, []Packet{{Data: frame("grown"), OrigLen: 3}})
	got := readFile(t, path)
	if len(got) != 1 || got[0].OrigLen != len(frame("grown")) {
		t.Errorf("got %+v", got)
	}
	if !got[0].Time.Equal(time.Unix(0, 0)) {
		t.Errorf("a packet without time was given %v", got[0].Time)
	}
}

func TestAbort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.pcap")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Packet{Data: frame("x")}); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close after Abort: %v", err)
	}
	if got := contents(t, path); string(got) != "before" {
		t.Errorf("the file there was changed to %q", got)
	}
	checkAlone(t, path)
}

func TestCreateErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dir.pcap"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"out.txt":                           "must end in .pcap or .pcapng",
		filepath.Join(dir, "no", "x.pcap"):  "create capture",
		filepath.Join(dir, "dir.pcap"):      "no regular file",
		filepath.Join(dir, "x.pcap", "..."): "must end in",
	} {
		_, err := Create(path)
		checkError(t, err, want)
	}
}

func TestWriteErrors(t *testing.T) {
	tests := []struct {
		ext    string
		packet Packet
		want   string
	}{
		{".pcap", Packet{Data: make([]byte, MaxPacket+1)}, "over the limit"},
		{".pcap", Packet{Time: time.Unix(1<<32, 0)}, "outside of what pcap can hold"},
		{".pcapng", Packet{Time: time.Unix(1<<34, 0)}, "outside of what nanoseconds"},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "out"+tt.ext)
		w, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		checkError(t, w.Write(tt.packet), tt.want)
		w.Abort()
	}
}

// TestDevice checks that a device in the way survives.
func TestDevice(t *testing.T) {
	link := filepath.Join(t.TempDir(), "null.pcap")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	_, err := Create(link)
	checkError(t, err, "no regular file")
}

// TestBinaryResolution checks that times that cannot be kept are said.
func TestBinaryResolution(t *testing.T) {
	b := &builder{order: binary.LittleEndian}
	b.section()
	b.ifc("", 1, 0, 0x80|20)
	b.enhanced(0, 5<<20, frame("x"), 15, 15)
	got, stats, err := readAll(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !got[0].Time.Equal(time.Unix(5, 0)) || len(stats.Notes) != 1 {
		t.Errorf("time %v, notes %q", got[0].Time, stats.Notes)
	}
}
