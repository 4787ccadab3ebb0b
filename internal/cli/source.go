package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/internal/usercache"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/program/clang"
	"github.com/skep-ebpf/skep/program/vmlinux"
)

// hostTypes is where Linux shows its types.
const hostTypes = "/sys/kernel/btf/vmlinux"

// isSource reports whether a file is C, and not an object.
func isSource(path string) bool { return strings.HasSuffix(path, ".c") }

// beforeDash divides arguments where two dashes stood: what comes behind is for
// clang.
func beforeDash(cmd *cobra.Command, args []string) (ours, clangs []string) {
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		return args[:n], args[n:]
	}
	return args, nil
}

// openSource compiles a source, unless that was done before, and reads what became
// of it. types is what --btf says, for vmlinux.h.
func openSource(cmd *cobra.Command, path, types string) (*program.Program, error) {
	_, flags := beforeDash(cmd, cmd.Flags().Args())
	done := waiting(cmd.ErrOrStderr(), "compiling "+path)
	o, err := compileOptions(types, flags)
	var object *clang.Object
	if err == nil {
		object, err = clang.Cached(cmd.Context(), path, o)
	}
	done()
	if err := showDiagnostics(cmd.ErrOrStderr(), object, err); err != nil {
		return nil, err
	}
	return program.Read(filepath.Base(path), bytes.NewReader(object.Bytes))
}

// compileOptions are the options of a source that includes skep's headers, and
// vmlinux.h where types are at hand.
func compileOptions(types string, flags []string) (*clang.Options, error) {
	headers, err := clang.Include()
	if err != nil {
		return nil, err
	}
	o := &clang.Options{Include: []string{headers}, Flags: flags}
	raw, err := readTypes(types)
	if err != nil || raw == nil {
		return o, err
	}
	sum := sha256.Sum256(raw)
	path, err := usercache.Ensure(func(w io.Writer) error { return writeHeader(w, raw) },
		"vmlinux", hex.EncodeToString(sum[:16]), "vmlinux.h")
	if err != nil {
		return nil, err
	}
	o.Include = append(o.Include, filepath.Dir(path))
	return o, nil
}

// readTypes reads the BTF that --btf says; nil, if there is none.
func readTypes(types string) ([]byte, error) {
	switch types {
	case "none":
		return nil, nil
	case "":
		raw, err := os.ReadFile(hostTypes)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return raw, err
	}
	raw, err := os.ReadFile(types)
	if err != nil {
		return nil, fmt.Errorf("--btf: %w", err)
	}
	return raw, nil
}

func writeHeader(w io.Writer, raw []byte) error {
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("read kernel types: %w", err)
	}
	return vmlinux.Write(w, spec)
}

// showDiagnostics shows what clang said, in colours where a person reads along.
func showDiagnostics(w io.Writer, object *clang.Object, err error) error {
	var said string
	var refused *clang.Error
	if errors.As(err, &refused) {
		said = refused.Output
	} else if err == nil {
		said = object.Warnings
	}
	if !isTerminal(w) {
		said = clang.Plain(said)
	}
	fmt.Fprint(w, said)
	return err
}
