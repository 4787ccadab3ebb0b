package kernel

import (
	"bufio"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// probedFile is a copy of the program that is made to be probed, which nobody else runs.
func probedFile(t *testing.T) string {
	t.Helper()
	testenv.Kernel(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64, for which testdata/probed is built")
	}
	code, err := os.ReadFile("testdata/probed")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "probed")
	if err := os.WriteFile(path, code, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// probedProcess is a process of that program.
type probedProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startProbed(t *testing.T, path string) *probedProcess {
	t.Helper()
	p := &probedProcess{t: t, cmd: exec.Command(path)}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *probedProcess) pid() string { return strconv.Itoa(p.cmd.Process.Pid) }

// do has it do what a letter stands for, and gives its answer.
func (p *probedProcess) do(letter string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.in, letter); err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// openObject reads an object.
func openObject(t *testing.T, path string) *program.Program {
	t.Helper()
	p, err := program.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// attachAt loads a program of an object for a point and attaches it there. All is closed when
// the test ends.
func attachAt(t *testing.T, p *program.Program, name, at string) (*Collection, *Link) {
	t.Helper()
	needs(t, at)
	point, err := hook.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	where := []hook.Attachment{{Program: name, Point: point}}
	c, err := Load(p, &Options{Programs: []string{name}, At: where})
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) {
		t.Skip("the running kernel takes no such programs (make vm runs kernels that do)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	links, err := c.Attach(where)
	if errors.Is(err, ebpf.ErrNotSupported) {
		t.Skipf("the running kernel attaches nothing at %s", point.Kind.Name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, links[0]
}

// TestUprobes attaches to functions of a program by all their names.
func TestUprobes(t *testing.T) {
	path := probedFile(t)
	for _, tc := range []struct {
		kind, name string
		want       uint64
	}{
		{"uprobe", "_ZN4bees5swarmEi", 1},
		{"uprobe", "_ZN4bees5swarmEi+0", 1},
		{"uprobe", "bees::swarm", 1},
		{"uprobe", "bees::Hive::fill(int)", 1},
		{"uprobe", "bees::Hive::fill(char const*)", 1},
		{"uprobe", "bees::Hive::fill", 2},
		{"uprobe", "bees::Hive::f?ll", 2},
		{"uprobe", "bees::*", 3},
		{"uretprobe", "bees::swarm(int)", 1},
		{"uretprobe", "*bees*", 3},
		{"uprobe.multi", "bees::*", 3},
		{"uretprobe.multi", "bees::*", 3},
		{"uprobe.session", "bees::*", 6},
	} {
		t.Run(tc.kind+"/probed:"+tc.name, func(t *testing.T) {
			p := startProbed(t, path)
			c, _ := attachAt(t, counting("uprobe", ebpf.Kprobe, 0, "", 0), "count", tc.kind+"/"+path+":"+tc.name)
			p.do("a")
			var n uint64
			if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil || n != tc.want {
				t.Errorf("the program ran %d times, %v, want %d", n, err, tc.want)
			}
		})
	}
}

// The functions of a Go program are found without its symbols, and where they are.
func TestGoFunctions(t *testing.T) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := make(map[string]uint64)
	if err := goFunctions(f, func(name string, address uint64) { found[name] = address }); err != nil {
		t.Fatal(err)
	}
	if f.Section(".init") != nil { // this test was built with cgo
		if len(found) != 0 {
			t.Errorf("of a program with C code there are %d functions", len(found))
		}
		return
	}
	const name = "github.com/skep-ebpf/skep/kernel.probed"
	if want := uint64(reflect.ValueOf(probed).Pointer()); found[name] != want {
		t.Errorf("%s is at %#x, want %#x", name, found[name], want)
	}
	// With C code before it, all of Go's is elsewhere than the table has it.
	f.Entry += 0x100
	clear(found)
	if err := goFunctions(f, func(name string, address uint64) { found[name] = address }); err != nil || len(found) != 0 {
		t.Errorf("a program that begins elsewhere has %d functions, %v", len(found), err)
	}
}

// C++ and Rust functions are found by what one writes.
func TestFindFunctions(t *testing.T) {
	table := functionTable{"f", map[string]uint64{
		"_ZN4bees4Hive4fillEi": 1, "_ZN4bees4Hive4fillEPKc": 2, "_ZN4bees4HiveC1Ev": 3, "_ZN4bees4HiveD1Ev": 4, "_ZN4beesplERKNS_4HiveES2_": 5,
		"_ZNSt6vectorIiSaIiEE9push_backERKi": 6, "_ZN4bees4sortIiEEvT_": 7, "_ZN5alloc3vec12Vec$LT$T$GT$4push17h0123456789abcdefE": 8, "main": 9,
	}}
	for name, want := range map[string][]uint64{
		"main":                          {9},
		"_ZN4bees4HiveC1Ev":             {3},
		"bees::Hive::fill":              {1, 2},
		"bees::Hive::fill(char const*)": {2},
		"bees::Hive::Hive":              {3},
		"bees::Hive::~Hive":             {4},
		"bees::operator+":               {5},
		"bees::sort<int>":               {7},
		"bees::*":                       {1, 2, 3, 4, 5, 7},
		"std::vector*push_back*":        {6},
		"alloc::vec::Vec<T>::push":      {8},
		"*Hive*":                        {1, 2, 3, 4, 5},
		"m??n":                          {9},
		"bees::Hive::fil":               nil,
		"hive*":                         nil,
	} {
		if diff := cmp.Diff(want, table.find(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Functions that do not exist are said before anything is attached.
func TestUnknownFunctionOfFile(t *testing.T) {
	path := probedFile(t)
	for at, want := range map[string]string{
		"uprobe/" + path + ":bees::Hive::fil":     "has no function bees::Hive::fil; did you mean bees::Hive::fill?",
		"uprobe/" + path + ":wasps*":              "has no function that matches wasps*; there is",
		"uprobe.multi/" + path + ":mane":          "has no function mane; did you mean main?",
		"uprobe/" + path + ":main+x":              `the offset "x" is no number`,
		"uprobe/" + path + ":0x0":                 `"0x0" is no address`,
		"uprobe/" + path + ":main,pid=0":          `"0" is not the number of a process`,
		"uretprobe/" + path + ":main+4":           "a function returns as a whole",
		"uprobe/" + path:                          "want a file and a function",
		"uprobe/there-is-no-such-program-99:main": "there is no program or library there-is-no-such-program-99",
	} {
		point, err := hook.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Load(counting("uprobe", ebpf.Kprobe, 0, "", 0), &Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attach([]hook.Attachment{{Program: "count", Point: point}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", at, err, want)
		}
		c.Close()
	}
}
