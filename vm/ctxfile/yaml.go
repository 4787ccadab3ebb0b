package ctxfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skep-ebpf/skep/vm/memory"
)

// entry is one name of a file with its value.
type entry struct {
	name  string
	line  int
	value any // as package memory takes it
}

func (e *entry) errorf(format string, args ...any) error {
	err, line := fmt.Errorf(format, args...), e.line
	var inner *memory.LineError // in the value of the entry
	if errors.As(err, &inner) {
		err, line = inner.Err, inner.Line
	}
	return fmt.Errorf("line %d: %s: %w", line, e.name, err)
}

// entries are those of the file's first level that nobody has taken yet.
type entries struct{ all []entry }

// parseTop reads a document.
func parseTop(text []byte) (*entries, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: "))
	}
	top := &entries{}
	if len(doc.Content) == 0 {
		return top, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: a context is names with values, as in arg1: 5", root.Line)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i]
		if _, ok := top.find(key.Value); ok {
			return nil, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
		}
		v, err := convert(root.Content[i+1], 0)
		if err != nil {
			return nil, err
		}
		top.all = append(top.all, entry{key.Value, key.Line, v})
	}
	return top, nil
}

func (t *entries) find(name string) (int, bool) {
	for i := range t.all {
		if t.all[i].name == name {
			return i, true
		}
	}
	return 0, false
}

// take gives an entry and takes it away.
func (t *entries) take(name string) (entry, bool) {
	i, ok := t.find(name)
	if !ok {
		return entry{}, false
	}
	e := t.all[i]
	t.all = append(t.all[:i:i], t.all[i+1:]...)
	return e, true
}

// takeEntries takes all that is left.
func (t *entries) takeEntries() []entry {
	all := t.all
	t.all = nil
	return all
}

// takeAll is takeEntries as a structure's fields.
func (t *entries) takeAll() map[string]any {
	fields := make(map[string]any)
	for _, e := range t.takeEntries() {
		fields[e.name] = memory.At{Line: e.line, Value: e.value}
	}
	return fields
}

// unused refuses what nobody took.
func (t *entries) unused() error {
	if len(t.all) > 0 {
		return t.all[0].errorf("a context given as bytes has no fields besides")
	}
	return nil
}

// maxDepth bounds how deep values lie in each other.
const maxDepth = 100

// convert makes of a node what package memory takes. Values in structures and
// lists have their lines.
func convert(n *yaml.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: values are nested more than %d deep", n.Line, maxDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return convert(n.Alias, depth+1)
	case yaml.MappingNode:
		fields := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if _, ok := fields[key.Value]; ok {
				return nil, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
			}
			v, err := convert(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			fields[key.Value] = memory.At{Line: key.Line, Value: v}
		}
		return fields, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, e := range n.Content {
			v, err := convert(e, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, memory.At{Line: e.Line, Value: v})
		}
		return list, nil
	}
	return scalar(n)
}

// scalar is a number, a text, a reference, or nothing.
func scalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		if n.Anchor != "" { // &name without quotes, which YAML takes for an anchor
			return memory.Ref(n.Anchor), nil
		}
		return nil, nil
	case "!!bool":
		return strconv.ParseBool(strings.ToLower(n.Value))
	case "!!int":
		text := strings.ReplaceAll(n.Value, "_", "")
		if v, err := strconv.ParseInt(text, 0, 64); err == nil {
			return v, nil
		}
		v, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s is no number of 64 bits", n.Line, n.Value)
		}
		return v, nil
	case "!!float":
		return nil, fmt.Errorf("line %d: %s is no whole number", n.Line, n.Value)
	}
	if name, ok := strings.CutPrefix(n.Value, "&"); ok {
		return memory.Ref(name), nil
	}
	return n.Value, nil
}
