package attached

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	skepexec "github.com/skep-ebpf/skep/vm/exec"
)

// A hive is a process of a program that is made to be probed, a file of which nobody
// else has.
type hive struct {
	path string
	pid  int
	does func() // calls the three functions, once each
}

func newHive(t *testing.T) *hive {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64, for which the program is built")
	}
	code, err := os.ReadFile("../../kernel/testdata/probed")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "probed")
	if err := os.WriteFile(path, code, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewReader(out)
	return &hive{path, cmd.Process.Pid, func() {
		t.Helper()
		if _, err := io.WriteString(in, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := answers.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}}
}

// address is where a function of the program is, which is not moved.
func (h *hive) address(t *testing.T, symbol string) uint64 {
	t.Helper()
	f, err := elf.Open(h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == symbol {
			return s.Value
		}
	}
	t.Fatalf("no function %s", symbol)
	return 0
}

// TestFunctionsOfProcesses attaches to the entry and the return of functions of a
// process, one by one and many at once.
func TestFunctionsOfProcesses(t *testing.T) {
	const cookie = 0x1234_5678_9abc
	for _, prog := range []string{"entered_user", "left_user", "entered_multi", "left_multi"} {
		for _, f := range []struct {
			symbol string
			text   string // that the second argument points to
			number int64  // that it is else
			result int64
		}{
			{"_ZN4bees4Hive4fillEi", "", 1, 1},
			{"_ZN4bees4Hive4fillEPKc", "wax", 0, 1 + 'w'},
			{"_ZN4bees5swarmEi", "", 0, 3},
		} {
			t.Run(prog+"/"+f.symbol, func(t *testing.T) {
				spec := open(t, "userprobe", prog, "")
				linux := inKernel(t, spec.Copy())
				h := newHive(t)
				ex, err := link.OpenExecutable(h.path)
				if err != nil {
					t.Fatal(err)
				}
				p := linux.Programs[prog]
				l, err := map[string]func() (link.Link, error){
					"entered_user": func() (link.Link, error) { return ex.Uprobe(f.symbol, p, &link.UprobeOptions{Cookie: cookie}) },
					"left_user":    func() (link.Link, error) { return ex.Uretprobe(f.symbol, p, &link.UprobeOptions{Cookie: cookie}) },
					"entered_multi": func() (link.Link, error) {
						return ex.UprobeMulti([]string{f.symbol}, p, &link.UprobeMultiOptions{Cookies: []uint64{cookie}})
					},
					"left_multi": func() (link.Link, error) {
						return ex.UretprobeMulti([]string{f.symbol}, p, &link.UprobeMultiOptions{Cookies: []uint64{cookie}})
					},
				}[prog]()
				attach(t, l, err)
				h.does()
				want := find(t, linux.Variables)
				if want.Out[63] != 1 {
					t.Fatalf("the program ran %d times", want.Out[63])
				}
				ip := h.address(t, f.symbol)
				text := fmt.Sprintf("ret: %d\ncurrent: {pid: %d, tgid: %[2]d}\n", f.result, h.pid)
				if prog[:4] != "left" {
					this, arg := uint64(want.Out[2]), uint64(want.Out[3])
					text += fmt.Sprintf("arg1: %#x\narg2: %#x\nmemory: [", this, arg)
					if want.Out[4] == 0 { // what it has stored so far
						text += fmt.Sprintf("{at: %#x, user: true, bytes: \"%02x 00 00 00\"},", this, byte(want.Out[5]))
					}
					if n := want.Out[6]; n > 0 { // also what the argument of the call before points to
						text += fmt.Sprintf("{at: %#x, user: true, string: %q}", arg, want.Text[0][:n-1])
					}
					text += "]\n"
					if got := want.Text[0][:len(f.text)]; f.text != "" && (string(got) != f.text || want.Out[6] != int64(len(f.text)+1)) {
						t.Errorf("Linux reads %q, %d bytes", got, want.Out[6])
					}
					if f.text == "" && f.number != 0 && int32(want.Out[3]) != int32(f.number) {
						t.Errorf("Linux sees the argument %d, want %d", want.Out[3], f.number)
					}
				} else if want.Out[2] != f.result {
					t.Errorf("Linux sees %d returned, want %d", want.Out[2], f.result)
				}
				_, got := runOn(t, spec.Copy(), prog, text, skepexec.Trace{IP: ip, Cookie: cookie})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("kernel - / machine +\n%s", diff)
				}
			})
		}
	}
}
