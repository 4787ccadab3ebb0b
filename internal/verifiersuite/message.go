package verifiersuite

import (
	"regexp"
	"slices"
	"strings"
)

// Means reports whether words are the case's: those that its author expects in
// the log, or the last that the kernel said.
func (c *Case) Means(words string) bool {
	if slices.ContainsFunc(c.Msgs, func(msg string) bool { return matches(msg, words) }) {
		return true
	}
	for _, k := range c.Kernels {
		if slices.ContainsFunc(k.Says, func(said string) bool { return strings.TrimSpace(said) == words }) {
			return true
		}
	}
	return false
}

var pattern = regexp.MustCompile(`\{\{.*?\}\}`)

// matches reports whether an expected message occurs in words. What stands in
// double braces is a regular expression.
func matches(msg, words string) bool {
	if !strings.Contains(msg, "{{") {
		return strings.Contains(words, msg)
	}
	var expr strings.Builder
	rest := msg
	for _, at := range pattern.FindAllStringIndex(msg, -1) {
		expr.WriteString(regexp.QuoteMeta(msg[len(msg)-len(rest) : at[0]]))
		expr.WriteString("(?:" + msg[at[0]+2:at[1]-2] + ")")
		rest = msg[at[1]:]
	}
	expr.WriteString(regexp.QuoteMeta(rest))
	re, err := regexp.Compile(expr.String())
	return err == nil && re.MatchString(words)
}
