package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"fairway/internal/api"
)

// hostile are names that somebody may give a container to do harm, by name of the
// golden file.
func hostile() map[string]string {
	return map[string]string{
		"html":    `"><img src=x onerror=alert(1)></textarea></title></script><script>alert(2)</script>'`,
		"link":    `javascript:alert(3)`,
		"control": "a\x00b\x1b[31mred\r\n\tc\x7f\u0085d\u2028e\ufeff",
		"bidi":    "user\u202Egpj.exe\u2066\u200F\u061C",
		"bytes":   "\xff\xfe<\xc0\xafscript>",
	}
}

// wired is a name as it comes over the wire.
func wired(name string) string {
	data, err := json.Marshal(name)
	if err == nil {
		err = json.Unmarshal(data, &name)
	}
	if err != nil {
		panic(err)
	}
	return name
}

// skeleton is the elements and attributes of a page without their values, and the
// values of those that lead somewhere or run something.
func skeleton(t *testing.T, page string) []string {
	t.Helper()
	var parts []string
	diff := false // within a diff, which has as many lines as the text
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return parts
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			token := z.Token()
			if token.Data == "pre" {
				diff = token.Type == html.StartTagToken
			}
			if diff && token.Data == "span" {
				continue
			}
			part := token.Type.String() + " " + token.Data
			for _, a := range token.Attr {
				part += " " + a.Key
				if token.Data == "script" {
					part += "=" + a.Val
				}
			}
			parts = append(parts, part)
		case html.CommentToken:
			t.Error("the page has a comment")
		}
	}
}

// values returns what is written in a page: texts and values of attributes, but for
// what is in a field: there everything is as it was written.
func values(page string) []string {
	var all []string
	field := false
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return all
		case html.EndTagToken:
			field = false
		case html.TextToken:
			if text := z.Token().Data; !field {
				all = append(all, text)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			field = token.Data == "textarea"
			for _, a := range token.Attr {
				if !strings.HasPrefix(a.Key, "data-") && a.Key != "value" {
					all = append(all, a.Val)
				}
				if a.Key == "href" || a.Key == "action" {
					all = append(all, "\x01"+a.Val)
				}
			}
		}
	}
}

// Whatever names are, a page has the same elements with the same attributes as
// with harmless ones, leads nowhere else, and shows nothing that one cannot see.
func TestHostileNames(t *testing.T) {
	p := newPages(t)
	calm := everything(func(field string) string { return "x" })
	for kind, name := range hostile() {
		a := everything(func(string) string { return name })
		// Named by the operator's own file.
		a["/v1/fleet/documents"].(*api.List[api.FleetDocument]).Items[0].Name = "x"
		a["/v1/fleet/hosts"].(*api.List[api.FleetHost]).Items[0].Document = "x"
		for path, v := range everything(func(string) string { return name }) {
			if rest, ok := strings.CutPrefix(path, "/v1/fleet/documents/"+name); ok {
				a["/v1/fleet/documents/x"+rest] = v
			}
		}
		if kind != "html" && kind != "link" { // of what cannot be seen the editor warns
			a["/v1/fleet/documents/x/revisions/newest"].(*api.FleetRevision).Content = []byte("x")
		}
		a["/v1/services"].(*api.List[api.Service]).Items[0].ID = wired(name)
		a["/v1/nodes"].(*api.List[api.Node]).Items[0].ID = wired(name)
		a["/v1/routes"].(*api.List[api.Route]).Items[0].ID = wired(name)
		in := &a["/v1/services"].(*api.List[api.Service]).Items[0].Instances[0]
		in.Name, in.Source = wired(name), wired(name)
		calmPaths := paths(calm)
		for page, path := range paths(a) {
			t.Run(kind+"/"+page, func(t *testing.T) {
				rec := get(t, p, a, path)
				body := rec.Body.String()
				want := skeleton(t, get(t, p, calm, calmPaths[page]).Body.String())
				if got := skeleton(t, body); strings.Join(got, "\n") != strings.Join(want, "\n") {
					for i := range got {
						if i >= len(want) || got[i] != want[i] {
							t.Fatalf("element %d is %q, with harmless names %q", i, got[i], want[min(i, len(want)-1)])
						}
					}
					t.Fatalf("%d elements, with harmless names %d", len(got), len(want))
				}
				for _, v := range values(body) {
					to, leads := strings.CutPrefix(v, "\x01")
					if leads && !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "#") {
						t.Errorf("it leads to %q", to)
					}
					if strings.HasPrefix(to, "//") {
						t.Errorf("it leads to %q", to)
					}
					for _, r := range to {
						if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
							t.Fatalf("%q can be seen in %.200q", r, to)
						}
					}
				}
				if kind == "html" { // for the browser; the others need no eye
					golden(t, "hostile/"+page+".html", steady(p, body))
				}
			})
		}
	}
}

// 64 KiB in every place: pages stay readable, and small.
func TestLongNames(t *testing.T) {
	p := newPages(t)
	long := strings.Repeat("long ", 64<<10/5)
	a := everything(func(string) string { return long })
	for page, path := range paths(a) {
		if strings.HasPrefix(page, "document") {
			continue // named by the operator's own file
		}
		rec := get(t, p, a, path)
		if page != "nothing" && rec.Code != 200 {
			t.Errorf("%s: %d", page, rec.Code)
		}
		for _, v := range values(rec.Body.String()) {
			if len(v) > 8<<10 && !strings.HasPrefix(v, "\x01") && page != "entry" && page != "compared" {
				t.Errorf("%s shows %d bytes at once: %.60q", page, len(v), v)
			}
			if strings.HasPrefix(v, "\x01") && len(v) > 4<<10 {
				t.Errorf("%s has a link of %d bytes", page, len(v))
			}
		}
	}
}

// A link to a thing with a hostile ID leads to that thing.
func TestHostileLinks(t *testing.T) {
	p := newPages(t)
	for _, id := range []string{"a/b@docker", "..", ".", "~x", "a b", "a%2fb", "a?b#c", strings.Repeat("x", 64<<10), "<b>", "ü@docker", "\x00", "a\\b", "a;b"} {
		a := everything(plainText)
		a["/v1/services"].(*api.List[api.Service]).Items[0].ID = id
		rec := get(t, p, a, link("services", id))
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), `data-page="service"`) {
			t.Errorf("%.40q by %.80q: %d", id, link("services", id), rec.Code)
		}
	}
}
