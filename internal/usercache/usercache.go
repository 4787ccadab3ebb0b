// Package usercache keeps what can be made again in the user's cache folder:
// $XDG_CACHE_HOME/skep or ~/.cache/skep on Linux.
//
// Files appear whole: others never see one that is half-written.
package usercache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Path is where a file belongs; nothing says that it is there.
func Path(elem ...string) (string, error) {
	root, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w; set XDG_CACHE_HOME to a folder to write to", err)
	}
	return filepath.Join(append([]string{root, "skep"}, elem...)...), nil
}

// Ensure gives the path of a file, which is made if it is not there.
func Ensure(make func(io.Writer) error, elem ...string) (string, error) {
	path, err := Path(elem...)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	var data bytes.Buffer
	if err := make(&data); err != nil {
		return "", err
	}
	return path, Write(path, data.Bytes())
}

// Write puts a file into its place at once, with the folders above it.
func Write(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep %s: %w; set XDG_CACHE_HOME to a folder to write to", filepath.Base(path), err)
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
