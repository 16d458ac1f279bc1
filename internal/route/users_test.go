package route

import (
	"slices"
	"testing"
)

func TestSplitUsers(t *testing.T) {
	for line, want := range map[string][]string{
		"a:b":         {"a:b"},
		"a:b,c:d":     {"a:b", "c:d"},
		"a:b, c:d":    {"a:b", "c:d"},
		"a:b,c":       {"a:b,c"},
		"a:b:c,d:e:f": {"a:b:c", "d:e:f"},
	} {
		if got := splitUsers(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
