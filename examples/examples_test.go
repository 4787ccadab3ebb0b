package examples_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	kringbuf "github.com/cilium/ebpf/ringbuf"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

var update = flag.Bool("update", false, "rewrite results.json from what the running kernel says")

// result is what an example makes of its capture.
type result struct {
	Verdicts map[uint32]int // how often the program gave each return value
	Entries  map[string]int // how many elements its maps hold at the end, or records
}

// collection is an example, loaded: into the kernel or the user-space machine.
type collection struct {
	prog interface {
		Run(*ebpf.RunOptions) (uint32, error)
	}
	// counts gives, for each map, how many elements it holds, or records.
	counts map[string]func() (int, error)
	close  func()
}

// TestKernel runs each example over its capture in the running kernel and holds
// the results against results.json.
func TestKernel(t *testing.T) {
	testenv.Kernel(t)
	got := runAll(t, loadKernel)
	if *update {
		text, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("results.json", append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, got)
}

// TestMachine does the same in the user-space machine.
func TestMachine(t *testing.T) { compare(t, runAll(t, loadMachine)) }

func compare(t *testing.T, got map[string]result) {
	t.Helper()
	want := map[string]result{}
	text, err := os.ReadFile("results.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results differ from results.json (-want +got; in the kernel, -update rewrites it):\n%s", diff)
	}
}

type loader func(t *testing.T, spec *ebpf.CollectionSpec, prog string) collection

func runAll(t *testing.T, load loader) map[string]result {
	t.Helper()
	all := map[string]result{}
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) { all[name] = run(t, name, load) })
	}
	return all
}

// names gives the examples: the folders that hold a program called as they are.
func names(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, source := range sources(t) {
		if name := filepath.Dir(source); filepath.Base(source) == name+".bpf.c" {
			all = append(all, name)
		}
	}
	return all
}

func sources(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*/*.bpf.c")
	if err != nil || len(all) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	return all
}

// object is the object of a source.
func object(source string) string { return strings.TrimSuffix(source, ".c") + ".o" }

// run loads an example and gives it each packet of its capture.
func run(t *testing.T, name string, load loader) result {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(filepath.Join(name, name+".bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	coll := load(t, spec, name) // the program is called as its folder is
	defer coll.close()
	r := result{Verdicts: map[uint32]int{}, Entries: map[string]int{}}
	for i, pkt := range packets(t, filepath.Join(name, "traffic.pcap")) {
		verdict, err := coll.prog.Run(&ebpf.RunOptions{Data: pkt})
		if err != nil {
			t.Fatalf("packet %d: %v", i+1, err)
		}
		r.Verdicts[verdict]++
	}
	for name, count := range coll.counts {
		if r.Entries[name], err = count(); err != nil {
			t.Fatalf("map %s: %v", name, err)
		}
	}
	return r
}

func loadKernel(t *testing.T, spec *ebpf.CollectionSpec, prog string) collection {
	t.Helper()
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	c := collection{prog: coll.Programs[prog], counts: map[string]func() (int, error){}, close: coll.Close}
	for name, m := range coll.Maps {
		c.counts[name] = func() (int, error) { return countKeys(m.NextKeyBytes) }
		if m.Type() != ebpf.RingBuf {
			continue
		}
		c.counts[name] = func() (int, error) {
			r, err := kringbuf.NewReader(m)
			if err != nil {
				return 0, err
			}
			defer r.Close()
			r.SetDeadline(time.Now())
			return countRecords(func() error { _, err := r.Read(); return err })
		}
	}
	return c
}

func loadMachine(t *testing.T, spec *ebpf.CollectionSpec, prog string) collection {
	t.Helper()
	coll, err := vm.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := collection{prog: coll.Programs[prog], counts: map[string]func() (int, error){}, close: coll.Close}
	for name, m := range coll.Maps {
		c.counts[name] = func() (int, error) { return countKeys(m.NextKeyBytes) }
		if m.Type() != ebpf.RingBuf {
			continue
		}
		c.counts[name] = func() (int, error) {
			r, err := ringbuf.NewReader(m)
			if err != nil {
				return 0, err
			}
			defer r.Close()
			r.SetDeadline(time.Now())
			return countRecords(func() error { _, err := r.Read(); return err })
		}
	}
	return c
}

// countKeys counts a map's elements by cilium/ebpf's NextKeyBytes.
func countKeys(next func(key any) ([]byte, error)) (n int, err error) {
	key, err := next(nil)
	for ; key != nil && err == nil; n++ {
		key, err = next(key)
	}
	return n, err
}

// countRecords counts what can be read before a deadline that has passed.
func countRecords(read func() error) (n int, err error) {
	for err = read(); err == nil; n++ {
		err = read()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
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
			t.Fatalf("packet %d of %s: %v", len(all)+1, path, err)
		}
		all = append(all, data)
	}
}
