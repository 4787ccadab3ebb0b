package verifier_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// outcome is what became of one case.
type outcome int

const (
	agrees      outcome = iota
	undecided           // skep does not know
	falseRefuse         // Linux accepts it
	falseAccept         // Linux refuses it
)

// suiteCase is a case of either form.
type suiteCase interface {
	Name() string
	Lacks() kernels.Caps
	Image() (*program.Image, map[string]*ebpf.MapSpec, error)
	Means(words string) bool
	// Errno is what the kernel gave for a refusal; 0: it is not known.
	Errno() int
}

// TestSuite holds verdicts against Linux's own verifier tests, and the words of
// refusals against what the tests expect.
func TestSuite(t *testing.T) {
	known := exceptions(t)
	for _, version := range []string{"7.2", "6.12"} {
		t.Run(version, func(t *testing.T) {
			suite := verifiersuite.Read(t, version)
			tally := &tally{version: version, types: suite.Types, known: known}
			byFile := map[string][]*verifiersuite.Case{}
			var files []string
			for _, c := range suite.Cases {
				if c.Verdict == "none" || c.Load == nil {
					continue
				}
				if byFile[c.File] == nil {
					files = append(files, c.File)
				}
				byFile[c.File] = append(byFile[c.File], c)
			}
			for _, file := range files {
				t.Run(file, func(t *testing.T) {
					for _, c := range byFile[file] {
						tally.judge(t, c, c.Verdict == "accept", c.Msgs)
					}
				})
			}
			tally.log(t)
		})
	}
}

// TestArrays does the same with the older table tests.
func TestArrays(t *testing.T) {
	known := exceptions(t)
	for _, version := range []string{"7.2", "6.12"} {
		t.Run(version, func(t *testing.T) {
			tally := &tally{version: version, types: verifiersuite.KernelTypes(t, version), known: known}
			for _, c := range verifiersuite.ReadArrays(t, version) {
				tally.judge(t, c, c.Verdict == "accept", []string{c.ErrStr})
			}
			tally.log(t)
		})
	}
}

// exception is a row of the table of exceptions in docs/verifier.md.
var exception = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (accepts|refuses) \\| (does not know|refuses) \\|")

// exceptions are the cases that docs/verifier.md lists, and what skep makes of them.
func exceptions(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "verifier.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for _, row := range exception.FindAllStringSubmatch(string(doc), -1) {
		known[row[1]] = row[3]
	}
	return known
}

// tally counts outcomes under one version's rules.
type tally struct {
	version string
	types   *btf.Spec
	known   map[string]string // exceptions
	count   [4]int
	// refusals are those that agree, meant those in Linux's words; numbered those of
	// known error numbers, sameErrno those with the same.
	refusals, meant, numbered, sameErrno int
}

func (y *tally) judge(t *testing.T, c suiteCase, accept bool, msgs []string) {
	o, err := y.outcome(c, accept)
	y.count[o]++
	expected := y.known[y.version+" "+c.Name()]
	switch {
	case o == agrees && expected != "":
		t.Errorf("%s agrees: take it out of docs/verifier.md", c.Name())
	case o == undecided && expected == "does not know", o == falseRefuse && expected == "refuses":
	case o != agrees:
		t.Errorf("%s: Linux accepts: %v %q; skep: %v", c.Name(), accept, msgs, err)
	case err != nil:
		y.refusals++
		y.number(c, err)
		if c.Means(words(err)) {
			y.meant++
		} else {
			t.Logf("%s: words: %q, not %q", c.Name(), words(err), msgs)
		}
	}
}

func (y *tally) outcome(c suiteCase, accept bool) (outcome, error) {
	img, maps, err := c.Image()
	if err != nil {
		return undecided, err
	}
	_, err = verifier.CheckImage(img, maps, &verifier.Options{Kernel: y.version, KernelTypes: y.types, Lacks: c.Lacks(), Kfuncs: verifiersuite.Kfuncs(img)})
	var refusal *verifier.Error
	switch {
	case err == nil && accept:
		return agrees, nil
	case err == nil:
		return falseAccept, nil
	case !errors.As(err, &refusal) || refusal.Cause == verifier.CauseUnsupported:
		return undecided, err
	case accept:
		return falseRefuse, err
	}
	return agrees, err
}

// number compares a refusal's error number.
func (y *tally) number(c suiteCase, err error) {
	var refusal *verifier.Error
	if c.Errno() == 0 || !errors.As(err, &refusal) {
		return
	}
	y.numbered++
	if int(refusal.Errno()) == c.Errno() {
		y.sameErrno++
	}
}

func (y *tally) log(t *testing.T) {
	t.Logf("%d of %d refusals have Linux's error number", y.sameErrno, y.numbered)
	if y.sameErrno*100 < 95*y.numbered {
		t.Errorf("%d of %d refusals have Linux's error number, and should be 95 of 100", y.sameErrno, y.numbered)
	}
	t.Logf("%d agree, %d undecided, %d falsely refused, %d falsely accepted; %d of %d refusals in Linux's words",
		y.count[agrees], y.count[undecided], y.count[falseRefuse], y.count[falseAccept], y.meant, y.refusals)
	if few := 100; y.refusals > few && y.meant*100 < 95*y.refusals {
		t.Errorf("%d of %d refusals are in Linux's words, and should be 95 of 100", y.meant, y.refusals)
	}
}

// words are what Linux's log would say of a refusal.
func words(err error) string {
	var refusal *verifier.Error
	if errors.As(err, &refusal) {
		return refusal.Kernel
	}
	return err.Error()
}
