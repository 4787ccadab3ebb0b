package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/hook"
)

const intro = `
What tests of attached programs say in Debian's kernels %s. A kind of hooks has "yes" where a test has attached a program
there and seen it run, also where skep attaches it [in another way](kernel.md) because that Linux has none; another test has
it where it passes. A number is that of the reason, below, why it could not be run. ` + "`make vmtest`" + ` writes this part.

`

// row is what came of a kind of hooks, or of a test, in each kernel.
type row struct {
	name    string
	results []result
}

// table makes the text, and says what is missing or wrong in it.
func table(runs []*kernelRun) (text string, holes []string) {
	var versions []string
	for _, r := range runs {
		versions = append(versions, r.version)
	}
	hooks, others := rows(runs)
	var b strings.Builder
	fmt.Fprintf(&b, intro, strings.Join(versions, ", "))
	var notes []string
	notes = writeRows(&b, "hook", versions, hooks, notes)
	b.WriteByte('\n')
	notes = writeRows(&b, "test", versions, others, notes)
	b.WriteByte('\n')
	for i, note := range notes {
		fmt.Fprintf(&b, "%d. %s\n", i+1, note)
	}
	for _, r := range append(hooks, others...) {
		for i, got := range r.results {
			switch {
			case got.outcome == failed:
				holes = append(holes, fmt.Sprintf("%s fails in Linux %s", r.name, versions[i]))
			case got.outcome == skipped && got.why == "":
				holes = append(holes, fmt.Sprintf("%s says not why it is skipped in Linux %s", r.name, versions[i]))
			}
		}
	}
	for _, r := range hooks {
		if !slices.ContainsFunc(r.results, func(r result) bool { return r.outcome >= passed }) {
			holes = append(holes, "no program ran at "+r.name)
			continue
		}
		for i, got := range r.results {
			if got.outcome == absent {
				holes = append(holes, fmt.Sprintf("%s has no test in Linux %s", r.name, versions[i]))
			}
		}
	}
	return b.String(), holes
}

// rows gathers what came of each kind of hooks, in the order in which help shows them,
// and of each other test.
func rows(runs []*kernelRun) (hooks, others []*row) {
	byName := make(map[string]*row)
	for _, k := range hook.Kinds() {
		byName[k.Name] = &row{k.Name, make([]result, len(runs))}
		hooks = append(hooks, byName[k.Name])
	}
	for _, test := range leaves(runs) {
		name := test
		_, sub, _ := strings.Cut(test, "/")
		if at, err := hook.Parse(sub); err == nil {
			name = at.Kind.Name
		}
		r := byName[name]
		if r == nil {
			r = &row{name, make([]result, len(runs))}
			byName[name] = r
			others = append(others, r)
		}
		for i, run := range runs {
			r.results[i] = worse(r.results[i], run.came(test))
		}
	}
	return hooks, together(others)
}

// leaves are the tests that have subtests in no kernel.
func leaves(runs []*kernelRun) (tests []string) {
	for _, run := range runs {
		for _, test := range run.tests {
			if !slices.Contains(tests, test) && !slices.ContainsFunc(runs, func(r *kernelRun) bool { return r.parents[test] }) {
				tests = append(tests, test)
			}
		}
	}
	return tests
}

// together makes one row of a test's subtests where the same came of all, in the order
// of packages.
func together(all []*row) (short []*row) {
	group := func(r *row) string { name, _, _ := strings.Cut(r.name, "/"); return name }
	slices.SortStableFunc(all, func(a, b *row) int { return strings.Compare(group(a), group(b)) })
	for i := 0; i < len(all); {
		end := i
		same := true
		for ; end < len(all) && group(all[end]) == group(all[i]); end++ {
			same = same && slices.Equal(all[end].results, all[i].results)
		}
		if same {
			short = append(short, &row{group(all[i]), all[i].results})
		} else {
			short = append(short, all[i:end]...)
		}
		i = end
	}
	return short
}

// worse is what came of several tests of one thing: it fails where one does, and is there
// where one passes.
func worse(a, b result) result {
	if b.outcome > a.outcome {
		return b
	}
	return a
}

// writeRows writes rows, and adds the reasons in them to the notes.
func writeRows(b *strings.Builder, first string, versions []string, all []*row, notes []string) []string {
	fmt.Fprintf(b, "| %s | %s |\n|---|%s\n", first, strings.Join(versions, " | "), strings.Repeat(":-:|", len(versions)))
	for _, r := range all {
		fmt.Fprintf(b, "| `%s` |", r.name)
		for _, got := range r.results {
			cell := "no test"
			switch got.outcome {
			case passed:
				cell = "yes"
			case failed:
				cell = "**fails**"
			case skipped:
				n := slices.Index(notes, got.why)
				if n < 0 {
					n, notes = len(notes), append(notes, got.why)
				}
				cell = fmt.Sprint(n + 1)
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		b.WriteByte('\n')
	}
	return notes
}
