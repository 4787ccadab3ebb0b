package kernel

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// verdictOf runs an XDP program over a packet of a length.
func verdictOf(t *testing.T, prog *ebpf.Program, length int) uint32 {
	t.Helper()
	verdict, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, length)})
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

// freplaced attaches the replacement at a point; asked says how often policies were asked.
func freplaced(t *testing.T, at string) (c *Collection, link *Link, asked func() uint64) {
	t.Helper()
	c, link = attachAt(t, openObject(t, "testdata/freplace.bpf.o"), "strict", at)
	return c, link, func() (n uint64) {
		if err := c.Maps["asked"].Lookup(uint32(0), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

const (
	xdpDrop = 1
	xdpPass = 2
)

// TestFreplace has a program take the place of a function of another one of its object,
// with which it shares its maps.
func TestFreplace(t *testing.T) {
	testenv.Kernel(t)
	t.Run("freplace/firewall:policy", func(t *testing.T) {
		c, link, asked := freplaced(t, "freplace/firewall:policy")
		firewall := c.Programs["firewall"]
		if got := verdictOf(t, firewall, 200); got != xdpDrop {
			t.Errorf("replaced, the verdict is %d, want %d", got, xdpDrop)
		}
		if n := asked(); n != 2 {
			t.Errorf("both programs counted %d, want 2", n)
		}
		if err := link.Close(); err != nil {
			t.Fatal(err)
		}
		if got := verdictOf(t, firewall, 200); got != xdpPass {
			t.Errorf("as before, the verdict is %d, want %d", got, xdpPass)
		}
	})
}

// TestFreplacePinned has it take the place of a function of what is pinned.
func TestFreplacePinned(t *testing.T) {
	ownNetwork(t)
	ownMounts(t)
	if err := unix.Mount("bpf", BPFFS, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	point, err := hook.Parse("xdp/left")
	if err != nil {
		t.Fatal(err)
	}
	at := []hook.Attachment{{Program: "firewall", Point: point}}
	fw, err := Load(openObject(t, "testdata/freplace.bpf.o"), &Options{Programs: []string{"firewall"}, At: at})
	if err != nil {
		t.Fatal(err)
	}
	defer fw.Close()
	if _, err := fw.Attach(at); err != nil {
		t.Fatal(err)
	}
	if err := PinsIn(BPFFS).Pin("fw", fw); err != nil {
		t.Fatal(err)
	}
	_, link, _ := freplaced(t, "freplace/fw/firewall:policy")
	if got := verdictOf(t, fw.Programs["firewall"], 200); got != xdpDrop {
		t.Errorf("replaced, the verdict is %d, want %d", got, xdpDrop)
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
	wantLoadErrors(t, map[string]string{
		"freplace/fw/firewall:polic": "it has no global function polic; did you mean policy?",
		"freplace/fw/fire:policy":    "program fire of what is pinned as fw:",
	})
}

// wantLoadErrors loads the replacement for points that there are not.
func wantLoadErrors(t *testing.T, points map[string]string) {
	t.Helper()
	for point, want := range points {
		at, err := hook.Parse(point)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Load(openObject(t, "testdata/freplace.bpf.o"), &Options{Programs: []string{"strict"}, At: []hook.Attachment{{Program: "strict", Point: at}}})
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", point, err, want)
		}
	}
}

func TestFreplaceUnknown(t *testing.T) {
	testenv.Kernel(t)
	wantLoadErrors(t, map[string]string{
		"freplace/polic":           "no program of the object has a global function polic; did you mean policy?",
		"freplace":                 "program strict: freplace needs a global function of another program",
		"freplace/firewall:police": "program firewall has no global function police",
		"freplace/firewal:policy":  "the object has no program firewal; did you mean firewall?",
		"freplace/policy":          "function policy is in programs firewall and other: say in which it is replaced, such as freplace/firewall:policy",
	})
}
