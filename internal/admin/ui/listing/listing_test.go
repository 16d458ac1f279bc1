package listing

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

type thing struct {
	name  string
	worst int
}

func columns() []Column[thing] {
	return []Column[thing]{Text("name", func(t thing) string { return t.name }), Most("state", func(t thing) int { return t.worst })}
}

// A list is sorted by the address, what is equal as it was.
func TestSort(t *testing.T) {
	all := []thing{{"b", 1}, {"C", 3}, {"a", 3}}
	for order, want := range map[string]string{"": "bCa", "name": "abC", "-name": "Cba", "state": "bCa", "-state": "Cab", "-": "bCa", "other": "bCa", "--name": "bCa"} {
		sorted, _ := Sort("/x", url.Values{"sort": {order}}, all, columns()...)
		got := ""
		for _, one := range sorted {
			got += one.name
		}
		if got != want {
			t.Errorf("sort=%s gives %s, want %s", order, got, want)
		}
	}
	if all[0].name != "b" {
		t.Error("the things themselves were sorted")
	}
}

// A heading says how the list is sorted and leads to another order, without losing what
// was searched for.
func TestHead(t *testing.T) {
	for order, want := range map[string][2]Head{
		"":       {{"/x?q=a&sort=name", "none"}, {"/x?q=a&sort=-state", "none"}},
		"name":   {{"/x?q=a&sort=-name", "ascending"}, {"/x?q=a&sort=-state", "none"}},
		"-name":  {{"/x?q=a&sort=name", "descending"}, {"/x?q=a&sort=-state", "none"}},
		"-state": {{"/x?q=a&sort=name", "none"}, {"/x?q=a&sort=state", "descending"}},
	} {
		_, o := Sort("/x", url.Values{"sort": {order}, "q": {"a"}, "page": {"3"}, "empty": {""}}, nil, columns()...)
		if got := [2]Head{o.Head("name"), o.Head("state")}; got != want {
			t.Errorf("sort=%s: %+v, want %+v", order, got, want)
		}
		if order == "name" && !reflect.DeepEqual(o.Kept(), map[string]string{"sort": "name"}) {
			t.Errorf("a search keeps %v", o.Kept())
		}
	}
}

// A list is searched, filtered, sorted and then cut into pages.
func TestNew(t *testing.T) {
	var all []thing
	for i := range 250 {
		all = append(all, thing{fmt.Sprintf("n%03d", i), i % 2})
	}
	matches := func(one thing, words []string, filter string) bool {
		return (filter != "odd" || one.worst == 1) && Has(words, one.name)
	}
	l := New("/x", url.Values{"only": {"odd"}, "q": {"N"}, "sort": {"-name"}, "page": {"2"}, "kind": {"k"}}, all, matches, columns()...)
	if l.Items[0].name != "n049" || l.From != 101 || l.To != 125 || l.Matching != 125 || l.Total != 250 || l.Next != "" {
		t.Errorf("%+v", l)
	}
	if want := "/x?kind=k&only=odd&q=N&sort=-name"; l.Previous != want || l.Only("") != strings.Replace(want, "only=odd&", "", 1) {
		t.Errorf("before is %s, without filter %s", l.Previous, l.Only(""))
	}
	if l := New("/x", url.Values{"q": {"none"}}, all, matches); l.Matching != 0 || len(l.Items) != 0 || l.Total != 250 {
		t.Errorf("of what is not there: %+v", l)
	}
}
