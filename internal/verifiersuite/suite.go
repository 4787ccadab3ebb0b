// Package verifiersuite reads Linux's own verifier tests, for tests that hold
// skep's verdicts and results against them. The data says of each case what a
// kernel was given and what it said.
package verifiersuite

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Suite is the cases made of one version of Linux.
type Suite struct {
	Version string // "7.2"
	Cases   []*Case
	// Types are that kernel's.
	Types *btf.Spec

	objects string // where the objects lie
	opened  map[string]*program.Program
}

// Case is one program, loaded in one way.
type Case struct {
	File, Func, Mode string
	Section          string `json:"sec"`
	Verdict          string // "accept", "reject", "none": undecided
	Msgs             messages
	Retval           *int32
	CapsUnpriv       uint64 `json:"caps_unpriv"`
	Kernels          map[string]struct {
		Verdict   string
		Says      []string // the log's last words
		Processed int
		Usec      int
		Errno     int
	}
	Load *load

	suite *Suite
}

// messages are what the test's author expects the log to say. {{..}} is a regular
// expression. What it must not say is left out.
type messages []string

func (m *messages) UnmarshalJSON(b []byte) error {
	var all []any
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for _, msg := range all {
		if s, ok := msg.(string); ok {
			*m = append(*m, s)
		}
	}
	return nil
}

// Name tells a case from the others.
func (c *Case) Name() string { return c.File + "/" + c.Func + "/" + c.Mode }

// Errno is what a kernel of the suite's version gave for a refusal; 0: it is not known.
func (c *Case) Errno() int {
	for _, kernel := range []string{"vm-" + c.suite.Version, "vm-" + c.suite.Version + "-testmod"} {
		if no := c.Kernels[kernel].Errno; no != 0 {
			return no
		}
	}
	return 0
}

// Lacks are the capabilities that the case is loaded without.
func (c *Case) Lacks() kernels.Caps {
	const netAdmin, bpf = 12, 39 // CAP_NET_ADMIN, CAP_BPF
	if c.Mode != "unpriv" {
		return 0
	}
	lacks := kernels.CapBPF | kernels.CapPerfmon | kernels.CapNetAdmin | kernels.CapSysAdmin
	if c.CapsUnpriv>>bpf&1 != 0 {
		lacks &^= kernels.CapBPF
	}
	if c.CapsUnpriv>>netAdmin&1 != 0 {
		lacks &^= kernels.CapNetAdmin
	}
	return lacks
}

// Read reads the cases of a version. The test is skipped where they are absent.
func Read(t testing.TB, version string) *Suite {
	t.Helper()
	dir := testenv.Data(t, "linux-verifier")
	s := &Suite{Version: version, objects: t.TempDir(), Types: KernelTypes(t, version)}
	tar := filepath.Join(dir, "objects-"+version+".tar.xz")
	if out, err := exec.Command("tar", "-C", s.objects, "-xJf", tar).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v: %s", tar, err, out)
	}
	eachLine(t, filepath.Join(dir, "cases-"+version+".jsonl.gz"), func(line []byte) {
		c := &Case{suite: s}
		if err := json.Unmarshal(line, c); err != nil {
			t.Fatal(err)
		}
		s.Cases = append(s.Cases, c)
	})
	return s
}

// KernelTypes are the types of a version of Linux.
func KernelTypes(t testing.TB, version string) *btf.Spec {
	t.Helper()
	packed := filepath.Join(testenv.Data(t, "btf"), version+".btf.xz")
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("the data is compressed, and there is no xz here")
	}
	plain := filepath.Join(t.TempDir(), "btf")
	f, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpack := exec.Command("xz", "-dc", packed)
	unpack.Stdout = f
	if err := unpack.Run(); err != nil {
		t.Fatalf("unpack %s: %v", packed, err)
	}
	types, err := btf.LoadSpec(plain)
	if err != nil {
		t.Fatal(err)
	}
	return types
}

// eachLine calls do with each line of a compressed file.
func eachLine(t testing.TB, path string, do func([]byte)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		do(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}
