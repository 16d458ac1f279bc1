package notify

import (
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/notify.md tells of every kind of event, and of every usual rate.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		if !strings.Contains(string(text), "`"+string(kind)+"`") {
			t.Errorf("docs/notify.md says nothing of %s", kind)
		}
	}
	for kind, rate := range rates {
		if !strings.Contains(string(text), "`"+rate+"`") {
			t.Errorf("docs/notify.md says nothing of the rate %s of %s", rate, kind)
		}
	}
}
