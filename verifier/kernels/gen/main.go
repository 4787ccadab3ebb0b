// Command gen writes docs/kernels.md from the tables of what each Linux accepts.
package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

const file = "../../docs/kernels.md"

// tested begins the last part of the page, which is make vmtest's.
const tested = "\n## Hooks\n"

func main() {
	old, err := os.ReadFile(file)
	if err == nil {
		_, hooks, _ := bytes.Cut(old, []byte(tested))
		err = os.WriteFile(file, append(document(), tested+string(hooks)...), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const intro = `# Kernels

What each version of Linux accepts, and the version that brought it. The verifier goes by this for
the kernel that you name, and says from it which Linux a program needs. This page is generated
from the tables in [verifier/kernels](../verifier/kernels): run ` + "`go generate ./verifier/kernels`" + `. What tests have attached
in which kernel stands [at its end](#hooks).

The profiles are %s, each the newest release of its series; "late 6.1" is a release of
a long-term kernel that came with a feature of a newer one. Versions between the profiles follow from the tables.

Linux 5.10, 6.1, 6.12, 6.18 and 7.2 were asked for each helper and each kernel function in each kind of programs, and
for each flag of each type of maps, and the tests hold the tables against what they said. The others follow from the
kernel's sources and history. Where only bounds of a version are known, the table has the one where it was seen.

Names are those of linux/bpf.h, in lower case and without their prefixes. A version in brackets, or after "since", is
that of what it stands beside, where it is later than what that belongs to.

`

var newest = kernels.Any()

// document is the page, but for what was tested.
func document() []byte {
	var b bytes.Buffer
	var names []string
	for _, k := range kernels.All() {
		names = append(names, k.String())
	}
	fmt.Fprintf(&b, intro, strings.Join(names, ", "))
	writeFeatures(&b)
	writeLimits(&b, names)
	writeProgTypes(&b)
	writeMaps(&b)
	writeHelpers(&b)
	writeKfuncs(&b)
	return b.Bytes()
}

func writeFeatures(b *bytes.Buffer) {
	b.WriteString("## Language\n\n| feature | since | what it is |\n|---|---|---|\n")
	for _, f := range kernels.Features() {
		since := f.Since().String()
		for _, v := range f.Backported() {
			since += ", late " + v.String()
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", f, since, f.Means())
	}
}

func writeLimits(b *bytes.Buffer, names []string) {
	fmt.Fprintf(b, "\n## Limits\n\n| limit | what is counted | %s |\n|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---:|", len(names)))
	for _, l := range kernels.Limits() {
		fmt.Fprintf(b, "| %s | %s |", l, l.Means())
		for _, k := range kernels.All() {
			fmt.Fprintf(b, " %d |", k.Limit(l))
		}
		b.WriteByte('\n')
	}
}

func writeProgTypes(b *bytes.Buffer) {
	b.WriteString("\n## Programs\n\n| type | since | attached as | may sleep |\n|---|---|---|---|\n")
	for t := ebpf.SocketFilter; ; t++ {
		since, ok := newest.ProgType(t)
		if !ok {
			return
		}
		var attached, asleep []string
		for a := ebpf.AttachType(0); a < 1<<8; a++ {
			if s, ok := kernels.Attaches(t, a); ok {
				attached = append(attached, kernels.AttachName(a)+later(s, since))
			}
			if s, ok := newest.Sleepable(t, a); ok {
				asleep = append(asleep, kernels.AttachName(a)+later(s, since))
			}
		}
		if len(asleep) == 1<<8 {
			s, _ := newest.Sleepable(t, 0)
			asleep = []string{"yes" + later(s, since)}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", kernels.ProgName(t), since, strings.Join(attached, ", "), strings.Join(asleep, ", "))
	}
}

func writeMaps(b *bytes.Buffer) {
	b.WriteString("\n## Maps\n\n| type | since | flags | special fields |\n|---|---|---|---|\n")
	for t := ebpf.Hash; ; t++ {
		since, ok := newest.MapType(t)
		if !ok {
			return
		}
		var flags, fields []string
		for bit, name := range kernels.MapFlagNames() {
			if s, ok := newest.MapFlags(t, 1<<bit); ok {
				flags = append(flags, name+later(s, since))
			}
		}
		for _, f := range kernels.Fields() {
			if s, ok := newest.MapField(t, f); ok {
				fields = append(fields, f.String()+later(s, since))
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", kernels.MapName(t), since, strings.Join(flags, ", "), strings.Join(fields, ", "))
	}
}

func writeHelpers(b *bytes.Buffer) {
	b.WriteString("\n## Helpers\n\n| ID | helper | since | conditions | programs |\n|---|---|---|---|---|\n")
	for _, h := range kernels.Helpers() {
		var conditions []string
		if h.GPL {
			conditions = append(conditions, "GPL")
		}
		conditions = append(conditions, h.Caps.Names()...)
		fmt.Fprintf(b, "| %d | `%s` | %s | %s | %s |\n",
			h.ID, h.Name, h.Since, strings.Join(conditions, ", "), users(h.Users(), h.Since))
	}
}

func writeKfuncs(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## Kernel functions\n\nThose of %s, with their flags there beside trusted_args, which all have.\n\n", newest.Version())
	b.WriteString("| function | since | flags | programs |\n|---|---|---|---|\n")
	for _, f := range kernels.Kfuncs() {
		if flags, ok := f.Flags(newest.Version()); ok {
			flags &^= kernels.KfuncTrustedArgs
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n",
				f.Name, f.Since, strings.ReplaceAll(flags.String(), "|", ", "), users(f.Users(), f.Since))
		}
	}
}

// later is a version, in brackets, where it is later than what goes without saying.
func later(since, implied kernels.Version) string {
	if since <= implied {
		return ""
	}
	return " (" + since.String() + ")"
}

// users names who may use what came with a version: who may from then on, or from
// when there are such programs, and who may since later versions.
func users(all []kernels.User, since kernels.Version) string {
	groups := map[kernels.Version][]string{} // by what does not go without saying; 0: at once
	whole := map[ebpf.ProgramType]bool{}     // types all of whose programs may
	for _, u := range all {
		first, ok := u.In(newest.Version())
		if !ok || whole[u.Prog] {
			continue
		}
		implied, _ := newest.ProgType(u.Prog)
		name := kernels.ProgName(u.Prog)
		if u.Narrow {
			attached, _ := kernels.Attaches(u.Prog, u.Attach)
			implied, name = max(implied, attached), name+"/"+kernels.AttachName(u.Attach)
		}
		if first <= max(implied, since) {
			first = 0
		}
		whole[u.Prog] = !u.Narrow
		groups[first] = append(groups[first], name)
	}
	var lack []string
	for t := ebpf.SocketFilter; t <= ebpf.Netfilter; t++ {
		if t != ebpf.Extension && !whole[t] {
			lack = append(lack, kernels.ProgName(t))
		}
	}
	versions := slices.Sorted(maps.Keys(groups))
	var parts []string
	for i, v := range versions {
		part := strings.Join(groups[v], ", ")
		if i == len(versions)-1 && len(lack) <= 2 {
			part = rest(lack, i == 0)
		}
		if v != 0 {
			part = "since " + v.String() + ": " + part
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// rest names all types, or all that were not named yet, but those that lack
// something.
func rest(lack []string, alone bool) string {
	part := "all others"
	if alone {
		part = "all"
	}
	if len(lack) > 0 {
		part += " but " + strings.Join(lack, ", ")
	}
	return part
}
