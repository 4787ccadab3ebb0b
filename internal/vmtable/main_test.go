package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// report is what go test -json writes of lines "action test said".
func report(lines ...string) string {
	var b strings.Builder
	begin := func(test string) { b.WriteString(`{"Action":"run","Package":"a/kernel","Test":"` + test + `"}` + "\n") }
	for _, line := range lines {
		test := strings.Fields(line)[1]
		if top, _, sub := strings.Cut(test, "/"); sub {
			begin(top)
		}
		begin(test)
	}
	for _, line := range lines {
		action, rest, _ := strings.Cut(line, " ")
		test, text, _ := strings.Cut(rest, " ")
		if text != "" {
			b.WriteString(`{"Action":"output","Package":"a/kernel","Test":"` + test + `","Output":"    a_test.go:7: ` + text + `\n"}` + "\n")
		}
		b.WriteString(`{"Action":"` + action + `","Package":"a/kernel","Test":"` + test + `"}` + "\n")
	}
	return b.String()
}

func TestTable(t *testing.T) {
	var runs []*kernelRun
	for version, text := range map[string]string{
		"5.10": report("pass TestNet/xdp/left", "skip TestNet/xdp/left@native needs a driver", "skip TestNet/netfilter/ipv4/local_in needs Linux 6.4",
			"pass TestNet", "skip TestPins/one needs Linux 6.4", "pass TestPins/two", "pass TestPins", "pass TestSame/a", "pass TestSame/b", "skip TestWhole needs Linux 6.4", "skip TestStream needs Linux 6.4"),
		"7.2": report("pass TestNet/xdp/left a remark", "fail TestNet/netfilter/ipv4/local_in what", "pass TestNet/tcx/ingress/left",
			"pass TestNet", "pass TestPins/one", "pass TestPins/two", "pass TestPins", "pass TestSame/a a remark", "pass TestSame/b", "skip TestMute",
			"pass TestWhole/a", "pass TestWhole/b", "pass TestWhole", "pass TestStream/lsm/file_open", "pass TestStream"),
	} {
		r, err := readRun(version, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b *kernelRun) int { return strings.Compare(a.version, b.version) })
	text, holes := table(runs)
	for _, want := range []string{
		"| hook | 5.10 | 7.2 |\n|---|:-:|:-:|\n",
		"| `xdp` | yes | yes |\n", "| `netfilter` | 1 | **fails** |\n", "| `tcx/ingress` | no test | yes |\n", "| `fentry` | no test | no test |\n", "| `lsm` | 1 | yes |\n",
		"| test | 5.10 | 7.2 |\n|---|:-:|:-:|\n| `kernel.TestMute` | no test | 2 |\n| `kernel.TestPins/one` | 1 | yes |\n| `kernel.TestPins/two` | yes | yes |\n| `kernel.TestSame` | yes | yes |\n| `kernel.TestWhole` | 1 | yes |\n\n1. needs Linux 6.4\n2. \n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, want := range []string{"netfilter fails in Linux 7.2", "tcx/ingress has no test in Linux 5.10", "no program ran at fentry", "kernel.TestMute says not why it is skipped in Linux 7.2"} {
		if !slices.Contains(holes, want) {
			t.Errorf("no %q in %q", want, holes)
		}
	}
	if slices.ContainsFunc(holes, func(s string) bool { return strings.HasPrefix(s, "xdp") }) {
		t.Errorf("xdp is no hole: %q", holes)
	}
	broken, err := readRun("6.1", strings.NewReader(`{"Action":"fail","Package":"a/kernel"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, holes := table([]*kernelRun{broken}); !slices.Contains(holes, "kernel.* fails in Linux 6.1") {
		t.Errorf("a package that does not build is no hole: %q", holes)
	}
	if _, err := readRun("6.1", strings.NewReader("panic: no JSON")); err == nil {
		t.Error("reading what is no JSON gives no error")
	}
}

// TestPage: the table in the documentation knows each kind of hooks, and a program ran at
// each, or it says why not.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "kernels.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), heading)
	if !found {
		t.Fatalf("docs/kernels.md has no part %q: run make vmtest", strings.TrimSpace(heading))
	}
	for _, k := range hook.Kinds() {
		_, row, _ := strings.Cut(text, "\n| `"+k.Name+"` |")
		row, _, _ = strings.Cut(row, "\n")
		if !strings.Contains(row, "yes") || strings.Contains(row, "no test") || strings.Contains(row, "fails") {
			t.Errorf("%s:%s: run make vmtest, and add a test in which a program runs there", k.Name, row)
		}
	}
}
