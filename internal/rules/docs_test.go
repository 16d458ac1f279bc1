package rules

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fairway/internal/series"
)

// TestDocs: docs/rules.md names every metric, and how large the files are.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range Metrics() {
		if !strings.Contains(string(text), "`"+string(m)+"`") {
			t.Errorf("docs/rules.md says nothing of %s", m)
		}
	}
	total := 0.0
	for _, g := range series.StandardGroups(500) {
		size := float64(series.FileSize(g)) / (1 << 20)
		total += size
		values := len(g.Fields)
		for _, f := range g.Fields {
			if f.Peak {
				values++
			}
		}
		if formula := int64(4096 + g.Subjects*(256+2160*(12+4*values+g.Buckets))); formula != series.FileSize(g) {
			t.Errorf("the file of %s has %d bytes, by docs/rules.md %d", g.Name, series.FileSize(g), formula)
		}
		if want := fmt.Sprintf("%.1f MiB", size); !strings.Contains(string(text), want) {
			t.Errorf("docs/rules.md does not say that the file of %s has %s", g.Name, want)
		}
	}
	if want := fmt.Sprintf("%.0f MiB in all", total); !strings.Contains(string(text), want) {
		t.Errorf("docs/rules.md does not say that it is %s", want)
	}
}
