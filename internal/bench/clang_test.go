package bench

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// clangCode gives a program of the suite that clang -O2 built for this processor,
// from the C that the suite's program was built from, or from testdata/loops.c. It
// is nil, and the benchmark says why, where there is no clang.
func clangCode(b *testing.B, p *suiteProgram) Runner {
	b.Helper()
	source := filepath.Join("testdata", "loops.c")
	if p.c != "" {
		source = filepath.Join(testenv.Data(b, "bench"), p.c)
	}
	dir := b.TempDir()
	binary, data := filepath.Join(dir, p.name), filepath.Join(dir, "packet")
	out, err := exec.Command("clang", "-O2", "-Wno-unknown-attributes", "-DPROG="+p.function,
		filepath.Join("testdata", "harness.c"), source, "-o", binary).CombinedOutput()
	if err != nil {
		b.Logf("without clang -O2: %v %s", err, out)
		return nil
	}
	cmd := exec.Command(binary)
	if p.c != "" {
		if err := os.WriteFile(data, packet, 0o600); err != nil {
			b.Fatal(err)
		}
		cmd.Args = append(cmd.Args, data)
	}
	ask, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	answer, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ask.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("clang's code: %v", err)
		}
	})
	return func(n uint32) (Result, error) { return askClang(ask, answer, n) }
}

// askClang lets testdata/harness.c make n runs.
func askClang(ask io.Writer, answer io.Reader, n uint32) (r Result, err error) {
	if _, err := fmt.Fprintln(ask, n); err != nil {
		return r, err
	}
	var took int64
	_, err = fmt.Fscanln(answer, &r.Ret, &took)
	r.Took = time.Duration(took)
	return r, err
}
