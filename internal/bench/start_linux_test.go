package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
)

const startObject = "testdata/start.bpf.o"

// starters are commands, and the arguments with which they show what a program of
// startObject sends.
var starters = []struct {
	name, pkg string
	args      func(prog string) []string
}{
	{"skep", "./cmd/skep", func(prog string) []string {
		return []string{"run", startObject, "--prog", prog, "--set", fmt.Sprintf("watched=%d", os.Getpid())}
	}},
	{"loader", "./internal/bench/testdata/loader", func(prog string) []string {
		return []string{startObject, prog, strconv.Itoa(os.Getpid())}
	}},
}

// BenchmarkStart is the time from exec to the first event, and the memory that the
// process has had by then.
func BenchmarkStart(b *testing.B) {
	binaries := buildStarters(b)
	for _, prog := range []string{"small", "typed"} {
		b.Run(prog, func(b *testing.B) {
			took, resident := make([]time.Duration, len(starters)), make([]int, len(starters))
			for b.Loop() {
				for i, s := range starters {
					t, r := firstEvent(b, binaries[i], s.args(prog))
					if took[i] == 0 || t < took[i] {
						took[i] = t
					}
					resident[i] = max(resident[i], r)
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, s := range starters {
				b.ReportMetric(float64(took[i]), s.name+"-ns/start")
				b.ReportMetric(float64(resident[i]), s.name+"-bytes/process")
			}
		})
	}
}

// TestResident: skep takes little memory, also for a program that is loaded by the
// kernel's types.
func TestResident(t *testing.T) {
	const most = 40 << 20
	skep := buildStarters(t)[0]
	for _, prog := range []string{"small", "typed"} {
		took, resident := firstEvent(t, skep, starters[0].args(prog))
		t.Logf("%s: %v, %d KiB", prog, took, resident>>10)
		if resident > most {
			t.Errorf("%s: skep took %d bytes, want at most %d", prog, resident, most)
		}
	}
}

// buildStarters builds the commands.
func buildStarters(t testing.TB) (binaries []string) {
	t.Helper()
	testenv.Kernel(t)
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the commands are built with go, which is not here")
	}
	dir := t.TempDir()
	for _, s := range starters {
		binary := filepath.Join(dir, s.name)
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, s.pkg)
		cmd.Dir, cmd.Env = testenv.Root(t), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", s.name, err, out)
		}
		binaries = append(binaries, binary)
	}
	return binaries
}

// firstEvent runs a command until its first line, and gives how long that took since
// exec, and the bytes of memory that the process had at most.
func firstEvent(t testing.TB, binary string, args []string) (took time.Duration, resident int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() { // system calls to see
		for pause := time.NewTicker(100 * time.Microsecond); ; {
			select {
			case <-stop:
				return
			case <-pause.C:
				_, _ = unix.Getpgid(0)
			}
		}
	}()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	took = time.Since(began)
	close(stop)
	status, statusErr := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if err != nil || statusErr != nil || !strings.Contains(line, strconv.Itoa(os.Getpid())) {
		t.Fatalf("no event of this process: %q, %v, %v\n%s", line, err, statusErr, complaints.String())
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	digits, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
	kib, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	return took, kib << 10
}
