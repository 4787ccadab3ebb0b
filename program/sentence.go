package program

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
)

// maxSentence bounds an error's length in bytes.
const maxSentence = 600

// sentence makes one printable line of an error that may quote a hostile
// object's names or spread over lines. A clean one stays itself.
func sentence(err error) error {
	text := err.Error()
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(clean) > maxSentence {
		clean = strings.ToValidUTF8(clean[:maxSentence], "") + "..."
	}
	if clean == text {
		return err
	}
	return errors.New(strings.Join(strings.Fields(clean), " "))
}

// explanations turns cilium/ebpf's shorter errors into what to do about them.
var explanations = []struct {
	cilium *regexp.Regexp
	advice string
}{
	{
		regexp.MustCompile(`map (\S+): unsupported value type \{UNRECOGNIZED.*`),
		"map $1: the values are neither of a map's struct type nor functions: name the struct itself, not a typedef of it",
	},
	{
		regexp.MustCompile(`data section \.ksyms: expected (\S+) to be \*Void.*`),
		"kernel variable $1 is declared with a type, which is not supported: declare it as extern void $1 __ksym",
	},
	{
		regexp.MustCompile(`section "\.struct_ops": got.*`),
		"section .struct_ops is not supported: use .struct_ops.link",
	},
}

// explain puts an error of cilium/ebpf's reader into words for a person.
func explain(err error) error {
	for _, e := range explanations {
		if text := err.Error(); e.cilium.MatchString(text) {
			return errors.New(e.cilium.ReplaceAllString(text, e.advice))
		}
	}
	return err
}
