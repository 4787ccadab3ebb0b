package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
)

func newMap() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Show and change maps of what stays attached in the kernel",
		Long: `Show and change the maps of what 'skep run --pin' has left attached in the kernel. A map
is named by NAME/MAP, as in firewall/blocked_ipv4.

Keys and values are written as --set of 'skep run' takes them, by their types: numbers,
names of enums, addresses. A struct's fields are written one at a time, as in
value.port=80, or all as 'skep map dump' shows them: 'value={addr = 10.0.0.1, port = 80}'. The
key of an LPM trie may be a prefix, 10.0.0.0/8. Where a map has no types they are hex digits.`,
		Example: `  sudo skep map ls
  sudo skep map dump firewall/blocked_ipv4
  sudo skep map set firewall/blocked_ipv4 key=192.0.2.0/24
  sudo skep map delete firewall/blocked_ipv4 key=192.0.2.0/24
  sudo skep map watch firewall/verdicts`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMapLs(), newMapDump(), newMapSet(), newMapDelete(), newMapWatch())
	return cmd
}

func newMapLs() *cobra.Command {
	var out outputFlag
	cmd := &cobra.Command{
		Use:               "ls [NAME]",
		Short:             "List maps and their types",
		Example:           `  sudo skep map ls`,
		Args:              wantArgs(0, 1, "at most one name, as skep ps shows them"),
		ValidArgsFunction: completePinned,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				all, err := pins().List()
				if err != nil {
					return err
				}
				for _, p := range all {
					names = append(names, p.Name)
				}
			}
			w := report.NewWriter(cmd.OutOrStdout(), out.form)
			for _, name := range names {
				if err := listMaps(w, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	out.register(cmd)
	return cmd
}

func listMaps(w *report.Writer, name string) error {
	all, err := pins().Maps(name)
	if err != nil {
		return err
	}
	l := &report.Listing{Name: name}
	for _, m := range all {
		defer m.Close()
		l.Maps = append(l.Maps, &ebpf.MapSpec{
			Name: m.Name, Type: m.Type(), Key: m.Key, Value: m.Value, KeySize: m.KeySize(), ValueSize: m.ValueSize(),
			MaxEntries: m.MaxEntries(), Flags: m.Flags(),
		})
	}
	return w.Listing(l)
}

func newMapDump() *cobra.Command {
	var out outputFlag
	cmd := &cobra.Command{
		Use:               "dump NAME/MAP",
		Short:             "Show what a map holds",
		Example:           `  sudo skep map dump firewall/blocked_ipv4 -o json`,
		Args:              wantArgs(1, 1, "one map, as NAME/MAP"),
		ValidArgsFunction: completePinnedMap,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withMap(args[0], func(m *kernel.PinnedMap) error {
				shown, err := look(m)
				if err != nil {
					return err
				}
				return report.NewWriter(cmd.OutOrStdout(), out.form).Map(shown)
			})
		},
	}
	out.register(cmd)
	return cmd
}

func newMapSet() *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME/MAP key=... value=...",
		Short: "Change an entry of a map, or add one",
		Long: `Change an entry of a map, or add one. Fields of a struct that are not named stay as they
are, or are zero in a new entry. In a map with values for each CPU all are set alike.
Programs and maps in values are meant by their numbers, as 'skep map dump' shows them.`,
		Example: `  sudo skep map set balancer/backends key=0 value.addr=10.0.0.1 value.port=80`,
		Args:    wantArgs(2, 64, "a map, as NAME/MAP, key=... and value=..."),

		ValidArgsFunction: completePinnedMap,
		RunE: func(_ *cobra.Command, args []string) error {
			return withMap(args[0], func(m *kernel.PinnedMap) error { return setEntry(m, args[1:]) })
		},
	}
}

func newMapDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME/MAP key=...",
		Short:   "Remove an entry from a map",
		Example: `  sudo skep map delete sessions/by_port key=80`,
		Args:    wantArgs(2, 64, "a map, as NAME/MAP, and key=..."),

		ValidArgsFunction: completePinnedMap,
		RunE: func(_ *cobra.Command, args []string) error {
			return withMap(args[0], func(m *kernel.PinnedMap) error {
				key := make([]byte, m.KeySize())
				if rest, err := putParts(key, keyType(m), "key", args[1:]); err != nil || len(rest) > 0 {
					return errors.Join(err, unknownPart(rest))
				}
				err := m.Delete(key)
				if errors.Is(err, ebpf.ErrKeyNotExist) {
					return errors.New("it has no entry of this key")
				}
				return err
			})
		},
	}
}

// wantArgs takes a number of arguments; what says which.
func wantArgs(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usagef("want %s; %d arguments were given", what, len(args))
		}
		return nil
	}
}

// withMap opens the map that NAME/MAP names, and does something with it.
func withMap(arg string, do func(m *kernel.PinnedMap) error) error {
	name, mapName, ok := strings.Cut(arg, "/")
	if !ok {
		return usagef("map %s: want NAME/MAP, as in firewall/blocked_ipv4; 'skep map ls' lists them", arg)
	}
	m, err := pins().Map(name, mapName)
	if err != nil {
		return err
	}
	if err := errors.Join(do(m), m.Close()); err != nil {
		return fmt.Errorf("map %s: %w", arg, err)
	}
	return nil
}

// setEntry changes or adds an entry; parts are key=..., value=... and their fields.
func setEntry(m *kernel.PinnedMap, parts []string) error {
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	parts, err := putParts(key, keyType(m), "key", parts)
	if err != nil {
		return err
	}
	old, err := m.LookupBytes(key)
	if err != nil {
		return err
	}
	copy(value, old) // of the first CPU, where there are several
	rest, err := putParts(value, valueType(m), "value", parts)
	if err := errors.Join(err, unknownPart(rest)); err != nil {
		return err
	}
	switch m.Type() {
	case ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		cpus, err := ebpf.PossibleCPU()
		if err != nil {
			return err
		}
		return m.Put(key, slices.Repeat([][]byte{value}, cpus))
	}
	return m.Set(key, value)
}

// keyType is the type of a map's keys. Where the kernel kept none, an array's are numbers (it
// keeps none if they are an enum's), and an LPM trie's that have room for an address are
// prefixes.
func keyType(m *kernel.PinnedMap) btf.Type {
	u32 := &btf.Int{Name: "__u32", Size: 4}
	if _, void := m.Key.(*btf.Void); !void {
		return m.Key
	}
	switch {
	case m.Type() == ebpf.Array, m.Type() == ebpf.PerCPUArray, redirects(m.Type()):
		return u32
	case m.Type() == ebpf.LPMTrie && m.KeySize() == 4+4:
		return prefixType(u32, &btf.Struct{Name: "in_addr", Size: 4})
	case m.Type() == ebpf.LPMTrie && m.KeySize() == 4+16:
		return prefixType(u32, &btf.Struct{Name: "in6_addr", Size: 16})
	}
	return m.Key
}

// redirects reports whether the entries of maps of a type say where packets go. The kernel
// keeps no types of these.
func redirects(typ ebpf.MapType) bool {
	return typ == ebpf.DevMap || typ == ebpf.DevMapHash || typ == ebpf.CPUMap
}

// valueType is the type of a map's values: in maps that redirect, an interface or the length
// of a queue, and the program that runs for what goes there.
func valueType(m *kernel.PinnedMap) btf.Type {
	if _, void := m.Value.(*btf.Void); !void || !redirects(m.Type()) {
		return m.Value
	}
	to := "ifindex"
	if m.Type() == ebpf.CPUMap {
		to = "qsize"
	}
	u32 := &btf.Int{Name: "__u32", Size: 4}
	if m.ValueSize() == 4 {
		return u32
	}
	return &btf.Struct{Size: 8, Members: []btf.Member{
		{Name: to, Type: u32}, {Name: "bpf_prog", Type: u32, Offset: 32},
	}}
}

// prefixType is a key of an LPM trie: how many bits of an address count, and the address.
func prefixType(u32 *btf.Int, addr *btf.Struct) btf.Type {
	return &btf.Struct{Size: u32.Size + addr.Size, Members: []btf.Member{
		{Name: "prefixlen", Type: u32}, {Name: "addr", Type: addr, Offset: btf.Bits(8 * u32.Size)},
	}}
}

// putParts writes a key or a value from those parts that are of it, and gives the others.
func putParts(dst []byte, typ btf.Type, what string, parts []string) (rest []string, err error) {
	found := false
	for _, part := range parts {
		path, text, ok := strings.Cut(part, "=")
		path, of := strings.CutPrefix(path, what)
		if !ok || !of || path != "" && path[0] != '.' && path[0] != '[' {
			rest = append(rest, part)
			continue
		}
		found = true
		if err := putPart(dst, typ, path, text); err != nil {
			return nil, usagef("%s: %w", part, err)
		}
	}
	if !found && len(dst) > 0 {
		return nil, usagef("want %s=... or %s.field=...", what, what)
	}
	return rest, nil
}

// putPart writes one part by its type, or bytes in hex where there is none.
func putPart(dst []byte, typ btf.Type, path, text string) error {
	if _, void := typ.(*btf.Void); !void {
		return program.PutValue(dst, typ, path, text)
	}
	b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil || len(b) != len(dst) || path != "" {
		return fmt.Errorf("the map has no types: want %d bytes as hex digits", len(dst))
	}
	copy(dst, b)
	return nil
}

func unknownPart(rest []string) error {
	if len(rest) == 0 {
		return nil
	}
	return usagef("%s: want key=..., value=... or a field of theirs, as key.addr=192.0.2.0", rest[0])
}

// completePinnedMap offers the maps of what is pinned for the first argument.
func completePinnedMap(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		all, _ := pins().List() // none to offer where there is an error
		for _, p := range all {
			for _, name := range p.Maps {
				names = append(names, p.Name+"/"+name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
