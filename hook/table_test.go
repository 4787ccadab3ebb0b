package hook_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/hook"
)

var update = flag.Bool("update", false, "write the table into docs/hooks.md")

// The documentation has a table of all kinds of hooks.
func TestTable(t *testing.T) {
	const path, begin, end = "../docs/hooks.md", "-update -->\n", "<!-- end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	var table strings.Builder
	fmt.Fprint(&table, "\n| hook | programs | what the name goes on with | such as |\n|---|---|---|---|\n")
	for _, k := range hook.Kinds() {
		names := append([]string{k.Name}, k.Aliases...)
		wants := k.Wants
		if k.Optional && wants != "" {
			wants += " (may be left out)"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | `%s` |\n", strings.Join(names, "`, `"), k.Prog, wants, k.Example)
	}
	want := head + begin + table.String() + "\n" + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is not up to date (go test ./hook -run TestTable -update):\n%s", path, diff)
	}
}
