package skep_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reviewed is every module that the project depends on directly. A new one must
// earn its place (CONTRIBUTING.md) and is added here in the same change.
var reviewed = []string{
	"github.com/cilium/ebpf",             // specs, BTF, ELF
	"github.com/google/go-cmp",           // differences in tests
	"github.com/gopacket/gopacket",       // captures, packets for people
	"github.com/ianlancetaylor/demangle", // names of C++ and Rust functions
	"github.com/rogpeppe/go-internal",    // scripts that test the command line
	"github.com/spf13/cobra",             // verbs, help, completion
	"github.com/vishvananda/netlink",     // interfaces, filters, routes
	"github.com/vishvananda/netns",       // network namespaces, as netlink takes them
	"go.yaml.in/yaml/v3",                 // files that people write: networks, worlds, contexts
	"golang.org/x/arch",                  // disassemblers
	"golang.org/x/sys",                   // memory outside the heap
}

var reviewedTools = []string{
	"honnef.co/go/tools/cmd/staticcheck",
}

func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []struct{ Old struct{ Path string } }
		Tool    []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct, tools []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	for _, tool := range mod.Tool {
		tools = append(tools, tool.Path)
	}
	if diff := cmp.Diff(reviewed, direct); diff != "" {
		t.Errorf("direct dependencies are not the reviewed ones (-reviewed +go.mod):\n%s", diff)
	}
	if diff := cmp.Diff(reviewedTools, tools); diff != "" {
		t.Errorf("tools are not the reviewed ones (-reviewed +go.mod):\n%s", diff)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces %s: go install would not work for users", mod.Replace[0].Old.Path)
	}
}

// TestPackages looks at each package's source: a doc comment, and no cgo.
func TestPackages(t *testing.T) {
	documented := map[string]bool{} // by folder
	for _, path := range files(t, ".go") {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, i := range f.Imports {
			if i.Path.Value == strconv.Quote("C") {
				t.Errorf("%s uses cgo: skep is built without", path)
			}
		}
		if !strings.HasSuffix(path, "_test.go") {
			dir := filepath.Dir(path)
			documented[dir] = documented[dir] || isDoc(f)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment", dir)
		}
	}
}

// behind says, for each stage of a program's life, which folders lie behind it:
// data flows to them, so imports must not.
var behind = map[string][]string{
	"isa":     {"program", "vm", "hook", "machine", "report", "internal/cli"},
	"program": {"vm", "hook", "kernel", "machine", "report", "internal/cli"},
	"vm":      {"hook", "kernel", "machine", "report", "internal/cli"},
	"hook":    {"kernel", "machine", "report", "internal/cli"},
	"kernel":  {"vm", "machine", "report", "internal/cli"},
	"machine": {"report", "internal/cli"},
	"inspect": {"machine", "report", "internal/cli"},
	"report":  {"internal/cli"},
}

func TestDataFlowsOneWay(t *testing.T) {
	const module = "github.com/skep-ebpf/skep/"
	within := func(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
	for _, path := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue // tests may hold stages against one another
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		for stage, later := range behind {
			if !within(filepath.ToSlash(path), stage) {
				continue
			}
			for _, i := range f.Imports {
				imported, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
				for _, folder := range later {
					if ours && within(imported, folder) {
						t.Errorf("%s imports %s, which lies behind %s", path, imported, stage)
					}
				}
			}
		}
	}
}

func isDoc(f *ast.File) bool {
	if f.Name.Name == "main" {
		return f.Doc != nil // begins with the command's name, whatever it is
	}
	return strings.HasPrefix(f.Doc.Text(), "Package "+f.Name.Name+" ")
}

// TestBuildsEverywhere builds for what skep supports. It takes minutes the first
// time, so make cross and CI ask for it.
func TestBuildsEverywhere(t *testing.T) {
	if testing.Short() || os.Getenv("CI") == "" {
		t.Skip("builds for six systems: run make cross")
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			t.Run(system+"/"+arch, func(t *testing.T) {
				cmd := exec.Command("go", "build", "./...")
				cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// TestExamplesAreWhole wants an object beside each source and a README in each
// folder, and a capture where the folder is one example.
func TestExamplesAreWhole(t *testing.T) {
	sources, err := filepath.Glob("examples/*/*.bpf.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, source := range sources {
		dir := filepath.Dir(source)
		want := []string{strings.TrimSuffix(source, ".c") + ".o", filepath.Join(dir, "README.md")}
		if filepath.Base(source) == filepath.Base(dir)+".bpf.c" {
			want = append(want, filepath.Join(dir, "traffic.pcap"))
		}
		for _, path := range want {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s is not whole: %v", source, err)
			}
		}
	}
}

// TestNoMachinePaths keeps the directories of whoever built or wrote something
// out of it, objects included.
func TestNoMachinePaths(t *testing.T) {
	private := regexp.MustCompile(`(^|[^\w.])/(work|tmp|home|root|Users)/`)
	for _, path := range files(t, "") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if path == "guard_test.go" {
			continue
		}
		if at := private.FindIndex(text); at != nil {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			t.Errorf("%s:%d names a directory of some machine: %q", path, line, text[at[0]:min(len(text), at[1]+20)])
		}
	}
}

// TestDocumentedCommands holds commands in the documentation against the
// Makefile's targets and the command line's verbs, and relative links against
// the files.
func TestDocumentedCommands(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var verbs []byte
	for _, path := range files(t, ".go") {
		if filepath.Dir(path) == filepath.FromSlash("internal/cli") {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			verbs = append(verbs, text...)
		}
	}
	commands := regexp.MustCompile(`(?m)^(?:\$ )?(?:bin/)?(make|skep) ([a-z0-9]+)`)
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, path := range files(t, ".md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commands.FindAllSubmatch(code(text), -1) {
			known := false
			switch name := string(c[2]); string(c[1]) {
			case "make":
				known = bytes.Contains(makefile, []byte("\n"+name+":"))
			case "skep":
				known = regexp.MustCompile(`Use:\s+"` + name + `\b`).Match(verbs)
			}
			if !known {
				t.Errorf("%s shows %s %s, which does not exist", path, c[1], c[2])
			}
		}
		for _, l := range links.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), string(l[1]))); err != nil {
				t.Errorf("%s links to what does not exist: %v", path, err)
			}
		}
	}
}

// code gives what a Markdown text marks as code, a piece a line.
func code(text []byte) []byte {
	var all [][]byte
	span := regexp.MustCompile("`([^`]+)`")
	fenced := false
	for _, line := range bytes.Split(text, []byte("\n")) {
		switch {
		case bytes.HasPrefix(line, []byte("```")):
			fenced = !fenced
		case fenced, bytes.HasPrefix(line, []byte("    ")):
			all = append(all, bytes.TrimSpace(line))
		default:
			for _, s := range span.FindAllSubmatch(line, -1) {
				all = append(all, s[1])
			}
		}
	}
	return bytes.Join(all, []byte("\n"))
}

// files gives the project's files whose names end in ext, by path from the root.
func files(t *testing.T, ext string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == ".git" || path == "bin"):
			return filepath.SkipDir
		case d.Type().IsRegular() && strings.HasSuffix(path, ext):
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
