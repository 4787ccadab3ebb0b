package verifier_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// work is one program to verify, here and in the running kernel.
type work struct {
	name string
	spec *ebpf.CollectionSpec
	img  *program.Image
}

// BenchmarkSamples verifies all real programs that Linux 6.18 accepts.
func BenchmarkSamples(b *testing.B) {
	dir := testenv.Data(b, "ebpf-samples")
	types := verifiersuite.KernelTypes(b, "6.18")
	var all []work
	for _, s := range readSamples(b) {
		if !s.OK {
			continue
		}
		if p, err := program.Open(filepath.Join(dir, s.Project, s.Obj)); err == nil && s.in(p.Spec) {
			all = append(all, newWork(b, p.Spec, s.Fn, &program.LinkOptions{KernelTypes: types}))
		}
	}
	benchTotal(b, all)
}

// BenchmarkLarge verifies large programs: profilers, load balancers.
func BenchmarkLarge(b *testing.B) {
	for _, w := range largeWorks(b) {
		b.Run(w.name, func(b *testing.B) { benchTotal(b, []work{w}) })
	}
}

// largeWorks are the programs of $SKEP_DATA/verifier-perf.
func largeWorks(t testing.TB) []work {
	dir := testenv.Data(t, "verifier-perf")
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("the data is compressed, and there is no xz here")
	}
	types := verifiersuite.KernelTypes(t, "6.18")
	packed, err := filepath.Glob(filepath.Join(dir, "*.o.xz"))
	if err != nil {
		t.Fatal(err)
	}
	var all []work
	for _, path := range packed {
		plain := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(path), ".xz"))
		out, err := exec.Command("xz", "-dc", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(plain, out, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := program.Open(plain)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range p.Spec.Programs {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			all = append(all, newWork(t, p.Spec, name, &program.LinkOptions{KernelTypes: types}))
			all[len(all)-1].name = strings.TrimSuffix(filepath.Base(plain), ".bpf.o") + "." + name
		}
	}
	return all
}

func newWork(t testing.TB, spec *ebpf.CollectionSpec, name string, link *program.LinkOptions) work {
	img, err := program.Link(spec, name, link)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return work{name: name, spec: spec, img: img}
}

// TestLarge demands that the large programs are accepted, as Linux 6.18 does.
func TestLarge(t *testing.T) {
	for _, w := range largeWorks(t) {
		t.Run(w.name, func(t *testing.T) {
			res, err := w.check()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d instructions processed", res.Processed)
		})
	}
}

func (w *work) check() (*verifier.Result, error) {
	return verifier.CheckImage(w.img, w.spec.Maps, &verifier.Options{Kernel: "6.18", KernelTypes: w.img.KernelTypes})
}

// benchTotal measures the time that verifying all programs takes, and beside it
// what the running kernel says that its verifier took.
func benchTotal(b *testing.B, all []work) {
	b.Run("skep", func(b *testing.B) {
		for b.Loop() {
			for i := range all {
				if _, err := all[i].check(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("linux", func(b *testing.B) {
		testenv.Kernel(b)
		var total float64
		runs := 0
		for b.Loop() {
			runs++
			for i := range all {
				usec, err := all[i].kernelTime()
				if err != nil {
					b.Skipf("%s: %v", all[i].name, err)
				}
				total += usec * 1000
			}
		}
		b.ReportMetric(total/float64(runs), "ns/op")
	})
}

var verificationTime = regexp.MustCompile(`verification time (\d+) usec`)

// kernelTime is how long the running kernel's verifier takes, in microseconds. It is
// given the instructions that skep verifies.
func (w *work) kernelTime() (usec float64, err error) {
	sub, err := program.Subset(w.spec, w.img.Name)
	if err != nil {
		return 0, err
	}
	sub = sub.Copy()
	for _, m := range sub.Maps {
		m.Pinning, m.Extra = ebpf.PinNone, nil
	}
	coll, err := ebpf.NewCollectionWithOptions(sub, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		return 0, err
	}
	defer coll.Close()
	found := verificationTime.FindStringSubmatch(coll.Programs[w.img.Name].VerifierLog)
	if found == nil {
		return 0, errors.New("the log does not tell the time")
	}
	return strconv.ParseFloat(found[1], 64)
}
