package match

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"fairway/internal/route"
	"fairway/internal/route/diff"
)

func TestEncodeDecodeRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, err := route.New(1, nil, genRoutes().Draw(t, "routes"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := route.Encode(&b, table); err != nil {
			t.Fatal(err)
		}
		got, err := route.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		if diff.Tables(table, got).String() != "" || got.Hash != table.Hash {
			t.Fatalf("%v", diff.Tables(table, got))
		}
	})
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	table, err := route.New(1, nil, manyHosts(5), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := route.Encode(&b, table); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"routes":[{"id":"a","matches":[{"host":{"kind":"any"},"path":{"kind":"prefix","value":"/"}}]}],"backends":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := route.Decode(bytes.NewReader(data))
		if err != nil {
			if table != nil {
				t.Fatal("an error and a table")
			}
			// The hash keeps most inputs from getting further: what they hold is
			// put into a table without it.
			var raw route.Table
			if json.Unmarshal(data, &raw) != nil {
				return
			}
			if table, err = route.New(1, raw.Listeners, raw.Routes, raw.Backends, raw.Problems); err != nil {
				return
			}
		}
		m, err := New(table.Routes)
		if err != nil {
			t.Fatalf("a table without a matcher: %v", err)
		}
		r := &route.Request{Method: "GET", Host: "shop.example.com", Path: "/api/a", Query: "q=a"}
		if found, x := m.Find(r), m.Explain(r); (found == nil) != (x.Winner == "") || found != nil && found.ID != x.Winner {
			t.Fatalf("found %v, explained %v", found, x)
		}
		var b bytes.Buffer
		if err := route.Encode(&b, table); err != nil {
			t.Fatal(err)
		}
		again, err := route.Decode(&b)
		if err != nil || again.Text() != table.Text() {
			t.Fatalf("the table does not come back: %v", err)
		}
	})
}
