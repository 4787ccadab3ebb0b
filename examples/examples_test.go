package examples_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/skep-ebpf/skep/internal/testenv"
)

var update = flag.Bool("update", false, "rewrite results.json from what the running kernel says")

// result is what an example makes of its capture.
type result struct {
	Verdicts map[uint32]int // how often the program gave each return value
	Entries  map[string]int // how many elements its maps hold at the end, or records
}

// TestKernel runs each example over its capture in the running kernel and holds
// the results against results.json.
func TestKernel(t *testing.T) {
	testenv.Kernel(t)
	got := map[string]result{}
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) { got[name] = run(t, name) })
	}
	if t.Failed() {
		return
	}
	if *update {
		text, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("results.json", append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]result{}
	text, err := os.ReadFile("results.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results differ from results.json (-want +got; -update rewrites it):\n%s", diff)
	}
}

// names gives the examples: the folders that hold a program.
func names(t *testing.T) []string {
	t.Helper()
	sources, err := filepath.Glob("*/*.bpf.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	var all []string
	for _, s := range sources {
		all = append(all, filepath.Dir(s))
	}
	return all
}

// run loads an example into the running kernel and gives it each packet.
func run(t *testing.T, name string) result {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(filepath.Join(name, name+".bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer coll.Close()
	prog := coll.Programs[name]
	if prog == nil {
		t.Fatalf("no program is called %s, as its folder is", name)
	}
	r := result{Verdicts: map[uint32]int{}, Entries: map[string]int{}}
	for i, pkt := range packets(t, filepath.Join(name, "traffic.pcap")) {
		verdict, err := prog.Run(&ebpf.RunOptions{Data: pkt})
		if err != nil {
			t.Fatalf("packet %d: %v", i+1, err)
		}
		r.Verdicts[verdict]++
	}
	for name, m := range coll.Maps {
		count := entries
		if m.Type() == ebpf.RingBuf {
			count = records
		}
		n, err := count(m)
		if err != nil {
			t.Fatalf("map %s: %v", name, err)
		}
		r.Entries[name] = n
	}
	return r
}

func entries(m *ebpf.Map) (n int, err error) {
	key, err := m.NextKeyBytes(nil)
	for ; key != nil && err == nil; n++ {
		key, err = m.NextKeyBytes(key)
	}
	return n, err
}

// records counts what lies in a ring buffer.
func records(m *ebpf.Map) (n int, err error) {
	r, err := ringbuf.NewReader(m)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	r.SetDeadline(time.Now())
	for ; err == nil; n++ {
		_, err = r.Read()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n - 1, err
}

func packets(t *testing.T, path string) [][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(fmt.Errorf("packet %d of %s: %w", len(all)+1, path, err))
		}
		all = append(all, data)
	}
}
