package find

import (
	"fmt"
	"slices"
	"testing"

	"fairway/internal/api"
)

// What is meant most probably comes first, and what lacks a word does not come.
func TestBest(t *testing.T) {
	items := []Item{
		{Found: api.Found{Name: "workshop-db", ID: "1"}},
		{Found: api.Found{Name: "cart", ID: "2", Text: "of the shop"}},
		{Found: api.Found{Name: "my-shop", ID: "3"}},
		{Found: api.Found{Name: "SHOP", ID: "4"}, More: []string{"nginx:1.27"}},
		{Found: api.Found{Name: "shopping", ID: "5"}},
		{Found: api.Found{Name: "mail", ID: "6"}},
	}
	for query, want := range map[string]string{
		"shop": "[SHOP my-shop shopping workshop-db cart]", " ShOp ": "[SHOP my-shop shopping workshop-db cart]", "nginx": "[SHOP]",
		"shop nginx": "[SHOP]", "shop none": "[]", "": "[]", "  ": "[]", "6": "[mail]",
	} {
		got := []string{}
		for _, f := range Best(query, slices.Values(items), 10) {
			got = append(got, f.Name)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q finds %v, want %s", query, got, want)
		}
	}
	if got := Best("shop", slices.Values(items), 2); len(got) != 2 {
		t.Errorf("two are wanted, %d found", len(got))
	}
}
