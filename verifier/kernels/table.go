package kernels

import (
	"cmp"
	"embed"
	"fmt"
	"strings"
)

//go:embed data/*.txt
var data embed.FS

// rows reads a table: a text file of rows, columns separated by spaces. "#"
// begins a comment, and a line that begins with a space continues the row above.
func rows(file string) [][]string {
	text, err := data.ReadFile("data/" + file)
	if err != nil {
		panic("unreachable: " + err.Error())
	}
	var all [][]string
	for line := range strings.Lines(string(text)) {
		indented := line[0] == ' '
		line, _, _ = strings.Cut(line, "#")
		columns := strings.Fields(line)
		switch {
		case len(columns) == 0:
		case indented && len(all) > 0:
			all[len(all)-1] = append(all[len(all)-1], columns...)
		default:
			all = append(all, columns)
		}
	}
	return all
}

// span is the versions that have something: from since on, and before until if
// that is not zero.
type span struct{ since, until Version }

func (s span) has(v Version) bool { return s.since <= v && (s.until == 0 || v < s.until) }

// answer is what a Kernel's methods give for a thing that comes and goes: the
// first version that has it, v or before if v has it and else after it, and
// whether v has it.
func answer(v Version, spans ...span) (since Version, ok bool) {
	var later Version
	for _, s := range spans {
		switch {
		case s.has(v) && (!ok || s.since < since):
			since, ok = s.since, true
		case s.since > v && (later == 0 || s.since < later):
			later = s.since
		}
	}
	if !ok {
		since = later
	}
	return since, ok
}

// parseEntry reads a column "name", "name@since" or "name@since-until"; a name
// alone has the span that its row has.
func parseEntry(column string, row span) (name string, s span, err error) {
	name, versions, ok := strings.Cut(column, "@")
	if !ok {
		return name, row, nil
	}
	s, err = parseSpan(versions)
	if err != nil {
		return "", span{}, fmt.Errorf("%s: %w", column, err)
	}
	return name, s, nil
}

// parseSpan reads "since" or "since-until".
func parseSpan(text string) (span, error) {
	from, to, gone := strings.Cut(text, "-")
	since, err := ParseVersion(from)
	until := Version(0)
	if gone && err == nil {
		until, err = ParseVersion(to)
	}
	return span{since, until}, err
}

// within is the versions that lie in both.
func (s span) within(outer span) span {
	return span{max(s.since, outer.since), cmp.Or(min(s.until, outer.until), s.until, outer.until)}
}
