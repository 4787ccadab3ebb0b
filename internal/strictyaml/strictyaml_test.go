package strictyaml

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

type item struct {
	Name string `yaml:"name"`
	Size int    `yaml:"size"`
}

type file struct {
	Items  []item          `yaml:"items"`
	ByName map[string]item `yaml:"by_name"`
	Boxes  []box           `yaml:"boxes"`
}

type box struct {
	item  `yaml:",inline"`
	Depth int `yaml:"depth"`
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       file
		err        string
	}{
		{"yaml", "items:\n  - {name: a, size: 3}\n", file{Items: []item{{"a", 3}}}, ""},
		{"json", `{"by_name": {"x": {"name": "b"}}}`, file{ByName: map[string]item{"x": {Name: "b"}}}, ""},
		{"unknown field", "items:\n  - name: a\n    sise: 3\n", file{}, "f.yaml:3: unknown field sise; did you mean size?"},
		{"taken in", "boxes: [{name: a, depth: 2}]", file{Boxes: []box{{item{Name: "a"}, 2}}}, ""},
		{"unknown field behind what is taken in", "boxes: [{name: a, deep: 2}]", file{}, "f.yaml:1: unknown field deep; there is depth, name, size"},
		{"unknown field in a map", "by_name:\n  x: {colour: red}\n", file{}, "f.yaml:2: unknown field colour; there is name, size"},
		{"wrong type", "items:\n  - size: many\n", file{}, "read f.yaml: line 2: cannot unmarshal !!str `many` into int"},
		{"no YAML", "items: [", file{}, "read f.yaml: line 1: did not find expected node content"},
		{"an alias of itself", "items: &x [*x]\n", file{}, "read f.yaml: line 1: cannot unmarshal !!seq into strictyaml.item"},
		{"empty", "", file{}, "f.yaml is empty"},
		{"two documents", "items: []\n---\nitems: []\n", file{}, "read f.yaml: it holds more than one document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got file
			err := Decode("f.yaml", []byte(tt.text), &got)
			msg := ""
			if err != nil {
				msg = err.Error()
			}
			if msg != tt.err {
				t.Errorf("got error %q, want %q", msg, tt.err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(box{})); err == nil && diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// FuzzDecode: whatever the text, there is a result or an error.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("items:\n  - {name: a, size: 3}\n"))
	f.Add([]byte("by_name: {x: &a {name: b}, y: *a}"))
	f.Add([]byte("items: &x [*x]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got file
		if err := Decode("f.yaml", text, &got); err != nil && err.Error() == "" {
			t.Error("an error without a sentence")
		}
	})
}
