package usercache

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// inFolder makes a folder the user's cache for a test.
func inFolder(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the folder is set by XDG_CACHE_HOME, which is Linux's")
	}
	t.Setenv("XDG_CACHE_HOME", dir)
}

func TestEnsureMakesOnce(t *testing.T) {
	inFolder(t, t.TempDir())
	made := 0
	write := func(w io.Writer) error {
		made++
		_, err := io.WriteString(w, "text")
		return err
	}
	for range 2 {
		path, err := Ensure(write, "folder", "file")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "text" {
			t.Errorf("file holds %q: %v", got, err)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}

func TestNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	inFolder(t, dir)
	broken := errors.New("broken")
	_, err := Ensure(func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		return broken
	}, "file")
	if !errors.Is(err, broken) {
		t.Errorf("got error %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "skep", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
}

func TestWriteWhereItCannot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := Write(file, nil); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(file, "below"), nil); err == nil {
		t.Error("written below a file")
	}
}
