package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNetwork(t *testing.T) {
	var v Verdicts
	v.AddN("XDP_PASS", 3)
	v.AddN("XDP_REDIRECT", 12)
	all := []Interface{
		{Name: "eth0", Index: 2, RX: 15, Redirect: 12, Stack: 3, Hooks: []HookRuns{{"xdp", "spread", v}, {"tcx/ingress", "count", Verdicts{}}}},
		{Name: "veth\x1b", Index: 3, TX: 12, Drop: 1, Err: 1, Reasons: map[string]uint64{"time to live is over": 1}},
	}
	step := &Step{Packet: 7, Interface: "eth0", Hook: "xdp", Program: "spread", Verdict: "XDP_REDIRECT", Redirect: "links[1]"}
	for form, want := range map[Form]string{
		Text: `     7  eth0      xdp          spread        XDP_REDIRECT  to links[1]
interface  rx  tx  drop  redirect  stack  forward  err  loop
eth0       15   0     0        12      3        0    0     0
veth\x1b    0  12     1         0      0        0    1     0

interface  hook         program  verdict       packets
eth0       xdp          spread   XDP_REDIRECT       12
eth0       xdp          spread   XDP_PASS            3
eth0       tcx/ingress  count    -                   0
veth\x1b dropped 1 packet: time to live is over
`,
		JSON: `{"type":"step","packet":7,"interface":"eth0","hook":"xdp","program":"spread","verdict":"XDP_REDIRECT","redirect":"links[1]"}
{"type":"interface","name":"eth0","ifindex":2,"rx":15,"tx":0,"drop":0,"redirect":12,"stack":3,"forward":0,"err":0,"loop":0,` +
			`"hooks":[{"hook":"xdp","program":"spread","verdicts":[{"verdict":"XDP_REDIRECT","packets":12},{"verdict":"XDP_PASS","packets":3}]},` +
			`{"hook":"tcx/ingress","program":"count","verdicts":[]}]}
{"type":"interface","name":"veth\u001b","ifindex":3,"rx":0,"tx":12,"drop":1,"redirect":0,"stack":0,"forward":0,"err":1,"loop":0,"hooks":[],"reasons":{"time to live is over":1}}
`,
	} {
		var out strings.Builder
		w := NewWriter(&out, form)
		if err := w.Step(step); err != nil {
			t.Fatal(err)
		}
		if err := w.Network(all); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
