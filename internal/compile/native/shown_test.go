package native

import (
	"strings"
	"testing"

	"fairway/internal/compile/draft"
)

// TestEveryKeyIsShownOnPurpose: a key that repeats a value it cannot read is open,
// and one with a rule of its own exists.
func TestEveryKeyIsShownOnPurpose(t *testing.T) {
	index := New(nil, nil, nil, nil).index
	for name := range shownKeys {
		if index[name] == nil {
			t.Errorf("there is no key %s", name)
		}
	}
	const canary = "hunter2?x=hunter2@hunter2"
	for _, k := range keys {
		if shownKeys[k.Name] == nil {
			continue
		}
		if err := k.read(&reading{Draft: draft.New("")}, &label{header: "X-Token", value: canary}); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s repeats its value, which is not shown: %v", k.Name, err)
		}
	}
}
