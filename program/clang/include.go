package clang

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/skep-ebpf/skep/internal/usercache"
)

//go:embed include
var headers embed.FS

// Include gives the folder of the headers, written into the user's cache.
func Include() (string, error) {
	texts := make(map[string][]byte)
	sum := sha256.New()
	err := fs.WalkDir(headers, "include", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := headers.ReadFile(path)
		texts[path] = text
		sum.Write([]byte(path))
		sum.Write(text)
		return err
	})
	if err != nil {
		return "", err
	}
	root := []string{"headers", hex.EncodeToString(sum.Sum(nil)[:8])}
	for path, text := range texts {
		_, err := usercache.Ensure(func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		}, append(root, filepath.FromSlash(path))...)
		if err != nil {
			return "", err
		}
	}
	return usercache.Path(append(root, "include")...)
}
