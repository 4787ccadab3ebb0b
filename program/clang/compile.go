package clang

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Options say how sources are compiled.
type Options struct {
	// Arch is the processor whose registers sources ask for, as Go calls it.
	// Default: this one.
	Arch string
	// Include are folders that are searched for headers behind the user's own.
	Include []string
	// Flags are more arguments for clang, behind skep's, which they may overrule.
	Flags []string
}

// targets are the processors that bpf_tracing.h knows, as it calls them, and as
// Debian's folders of headers are called.
var targets = map[string]struct{ define, multiarch string }{
	"amd64":   {"x86", "x86_64-linux-gnu"},
	"arm64":   {"arm64", "aarch64-linux-gnu"},
	"riscv64": {"riscv", "riscv64-linux-gnu"},
}

// Archs are the processors that Options.Arch may name.
func Archs() []string { return []string{"amd64", "arm64", "riscv64"} }

// Object is what became of a source.
type Object struct {
	Bytes    []byte   // the ELF file
	Warnings string   // what clang said, with colours
	Depends  []string // the source and what it includes
}

// Error is clang's refusal of a source.
type Error struct {
	Source string
	Output string // what clang said, with colours
	cause  error
}

// Error is one sentence; what clang said is in Output.
func (e *Error) Error() string {
	text := Plain(e.Output)
	what := "clang fails: " + e.cause.Error()
	switch n := countErrors(text); {
	case n == 1:
		what = "clang finds an error"
	case n > 1:
		what = fmt.Sprintf("clang finds %d errors", n)
	}
	if hint := hint(text); hint != "" {
		what += "; " + hint
	}
	return e.Source + ": " + what
}

func (e *Error) Unwrap() error { return e.cause }

// countErrors counts the errors in what clang says.
func countErrors(text string) int {
	return len(regexp.MustCompile(`(?m)^(?:\S+: )?(?:fatal )?error: `).FindAllString(text, -1))
}

// Plain is a text without colours.
func Plain(text string) string {
	return regexp.MustCompile(`\x1b\[[0-9;]*[mK]`).ReplaceAllString(text, "")
}

// args are clang's arguments, but for the files.
func (o *Options) args() ([]string, error) {
	arch := o.Arch
	if arch == "" {
		arch = runtime.GOARCH
	}
	target, ok := targets[arch]
	if !ok {
		return nil, fmt.Errorf("processor %s is not known, there is %s", arch, strings.Join(Archs(), ", "))
	}
	args := []string{
		"-target", "bpfel", "-mcpu=v3", "-std=gnu17", "-O2", "-g", "-Wall", "-D__TARGET_ARCH_" + target.define,
		"-Werror=implicit-function-declaration", // as since clang 16: there is nothing to link with
		"-fdebug-compilation-dir=.", "-fcolor-diagnostics", "-fansi-escape-codes",
	}
	for _, dir := range o.Include {
		args = append(args, "-isystem", dir)
	}
	// Where Debian has asm/types.h, which linux/bpf.h includes, and which clang
	// looks for there only when it compiles for the processor itself.
	args = append(args, "-idirafter", "/usr/include/"+target.multiarch)
	return append(args, o.Flags...), nil
}

// Compile compiles a source. Where clang refuses it, the error is an *Error.
func Compile(ctx context.Context, source string, o *Options) (*Object, error) {
	args, err := o.args()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(source); err != nil {
		return nil, err
	}
	cc, err := Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "skep-clang-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	object, depends := filepath.Join(dir, "object.o"), filepath.Join(dir, "depends")
	args = append(slices.Clone(args), "-MD", "-MF", depends, "-MT", "object", "-c", source, "-o", object)

	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, cc.Path, args...)
	cmd.Stderr = &said
	cmd.Stdout = &said
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &exit):
			return nil, &Error{Source: source, Output: said.String(), cause: err}
		}
		return nil, fmt.Errorf("run clang: %w", err)
	}
	raw, err := os.ReadFile(object)
	if err != nil {
		return nil, err
	}
	stripped, err := strip(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: strip what clang made: %w", source, err)
	}
	rule, err := os.ReadFile(depends)
	if err != nil {
		return nil, err
	}
	return &Object{Bytes: stripped, Warnings: said.String(), Depends: prerequisites(string(rule))}, nil
}

// prerequisites are the files that a rule for make names behind its colon. Spaces
// in names have a backslash in front, and so have ends of lines.
func prerequisites(rule string) []string {
	_, rule, _ = strings.Cut(rule, ":")
	rule = strings.NewReplacer("\\\r\n", " ", "\\\n", " ", `\ `, "\x00", "$$", "$", `\#`, "#").Replace(rule)
	files := strings.Fields(rule)
	for i, f := range files {
		files[i] = strings.ReplaceAll(f, "\x00", " ")
	}
	return files
}
