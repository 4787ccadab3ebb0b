package program

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxSentence bounds an error's length in bytes.
const maxSentence = 600

// sentence makes one printable line of an error that may quote a hostile
// object's names or spread over lines. A clean one stays itself.
func sentence(err error) error {
	text := err.Error()
	if where, _, ok := strings.Cut(text, ": unsupported value type {UNRECOGNIZED"); ok {
		return fmt.Errorf("%s: its values are neither of a map's struct type nor functions: name the struct itself, not a typedef of it", where)
	}
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
