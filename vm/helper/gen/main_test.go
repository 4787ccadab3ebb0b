package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/vm/helper"
)

func TestGenerated(t *testing.T) {
	got, err := os.ReadFile("../../../docs/helpers.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(document()), string(got)); diff != "" {
		t.Errorf("docs/helpers.md is out of date: run go generate in vm/helper (-want +got)\n%s", diff)
	}
}

// TestComplete wants each helper of Linux.
func TestComplete(t *testing.T) {
	for _, e := range helper.Linux() {
		if helper.ByID(e.ID) == nil {
			t.Errorf("the machine has no %s", e.Name)
		}
	}
}
