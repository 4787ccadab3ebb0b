package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// What came of a test.
type outcome int

const (
	absent outcome = iota // it was not run
	skipped
	passed
	failed
)

// result is what came of a test, and why it was skipped.
type result struct {
	outcome outcome
	why     string
}

// kernelRun is what the tests said in one kernel.
type kernelRun struct {
	version string
	tests   []string // as package.Test/subtest, in the order in which they ended, without those that have subtests
	results map[string]result
	parents map[string]bool // those that have subtests
}

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// outcomes are those of the actions that end a test.
var outcomes = map[string]outcome{"skip": skipped, "pass": passed, "fail": failed}

// said is a line that a test logged.
var said = regexp.MustCompile(`^ +\w+_test\.go:\d+: (.+)`)

// readRun reads what go test -json wrote.
func readRun(version string, in io.Reader) (*kernelRun, error) {
	r := &kernelRun{version: version, results: make(map[string]result), parents: make(map[string]bool)}
	last := make(map[string]string) // what each test said last
	running := make(map[string]bool)
	for lines := json.NewDecoder(in); ; {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return r, nil
		} else if err != nil {
			return nil, fmt.Errorf("it is not what go test -json writes: %w", err)
		}
		name := path.Base(e.Package) + "." + e.Test
		if m := said.FindStringSubmatch(strings.TrimRight(e.Output, "\n")); m != nil {
			last[name] = m[1]
		}
		came, ended := outcomes[e.Action]
		switch {
		case e.Action == "run":
			running[name] = true
			for i := strings.LastIndexByte(name, '/'); i >= 0; i = strings.LastIndexByte(name[:i], '/') {
				// Names of subtests have slashes of their own.
				r.parents[name[:i]] = r.parents[name[:i]] || running[name[:i]]
			}
		case !ended:
		case e.Test == "" && came == failed && !r.anyFailed(name):
			r.add(name+"*", result{outcome: failed}) // it was not built, or ended too early
		case e.Test != "" && !r.parents[name]:
			got := result{outcome: came}
			if came == skipped {
				got.why = last[name]
			}
			r.add(name, got)
		}
		running[name] = running[name] && !ended
	}
}

func (r *kernelRun) add(test string, came result) {
	r.tests = append(r.tests, test)
	r.results[test] = came
}

// came is what came of a test, or of one that it is a part of and that ended before.
func (r *kernelRun) came(test string) result {
	for {
		if got, ok := r.results[test]; ok {
			return got
		}
		i := strings.LastIndexByte(test, '/')
		if i < 0 {
			return result{}
		}
		test = test[:i]
	}
}

// anyFailed reports whether a test failed whose name begins so.
func (r *kernelRun) anyFailed(begin string) bool {
	for _, test := range r.tests {
		if strings.HasPrefix(test, begin) && r.results[test].outcome == failed {
			return true
		}
	}
	return false
}
