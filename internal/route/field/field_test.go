package field

import (
	"net/http"
	"slices"
	"testing"
)

// TestList: names are compared in any case, and the order stays.
func TestList(t *testing.T) {
	l := List{{"A", "1"}, {"x-b", "2, x"}, {"a", "3"}, {"C", "4"}}
	if l.Get("a") != "1" || l.Count("A") != 2 || !l.Has("X-B") || l.Has("D") || !slices.Equal(l.Values("a"), []string{"1", "3"}) ||
		!l.Lists("X-b", "X") || l.Lists("X-b", "3") {
		t.Errorf("reading: %v", l)
	}
	l.Set("a", "5")
	l.Add("D", "6")
	if want := (List{{"A", "5"}, {"x-b", "2, x"}, {"C", "4"}, {"D", "6"}}); !slices.Equal(l, want) {
		t.Errorf("got %v, want %v", l, want)
	}
	clone := l.Clone()
	l.Del("X-B")
	l.Set("E", "7")
	if want := (List{{"A", "5"}, {"C", "4"}, {"D", "6"}, {"E", "7"}}); !slices.Equal(l, want) || len(clone) != 4 || clone[1].Name != "x-b" {
		t.Errorf("got %v, want %v; the clone is %v", l, want, clone)
	}
	h := http.Header{"B": {"1", "2"}, "A": {"3"}}
	if got := Of(h); !slices.Equal(got, List{{"A", "3"}, {"B", "1"}, {"B", "2"}}) || len(got.Header()["B"]) != 2 {
		t.Errorf("got %v", got)
	}
}
