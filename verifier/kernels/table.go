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

// search finds, among the spans in which versions have something, what a Kernel's
// methods answer: the first version that has it, v or before if v has it and else
// after it, and whether v has it.
type search struct {
	v            Version
	since, later Version
	ok           bool
}

func (q *search) add(s span) {
	switch {
	case s.has(q.v) && (!q.ok || s.since < q.since):
		q.since, q.ok = s.since, true
	case s.since > q.v && (q.later == 0 || s.since < q.later):
		q.later = s.since
	}
}

func (q *search) answer() (since Version, ok bool) {
	if q.ok {
		return q.since, true
	}
	return q.later, false
}

// answer is a search among one span.
func answer(v Version, s span) (since Version, ok bool) {
	q := search{v: v}
	q.add(s)
	return q.answer()
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
