package compile

import (
	"slices"
	"strings"
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// TestNamedCertificates: a file that a label names answers for the hosts of its route, unless
// another service had them first; it comes behind the certificate for all others.
func TestNamedCertificates(t *testing.T) {
	own := route.Certificate{CertFile: "own.pem", KeyFile: "own.key"}
	c := New(Settings{Listeners: []route.Listener{
		{Name: "bare", Address: ":8443", TLS: true},
		{Name: "https", Address: ":443", TLS: true, Certificates: []route.Certificate{own}},
	}})
	snapshot := func(text string) *catalog.Snapshot {
		s := parseCatalog(t, []byte(text))
		s.Revision, s.Certificates = 1, []catalog.Certificate{{File: "/late.pem"}}
		return s
	}
	first := c.Compile(snapshot(`
- id: old@docker
  one: {fairway.host: "shared.example", fairway.path: /old}
`), nil)
	const others = `
- id: old@docker
  one: {fairway.host: "shared.example", fairway.path: /old}
- id: new@docker
  one: {fairway.host: "shared.example, *.new.example, 192.0.2.7", fairway.tls: "file:/run/secrets/new.pem", fairway.headers.response.set.a-tls: "file:/run/secrets/new.pem", fairway.request.tls: "off"}
- id: off@docker
  one: {fairway.host: off.example, fairway.tls: "off"}
- id: regexp@docker
  one: {fairway.rule: "HostRegexp(` + "`.*`" + `)", fairway.tls: "file:/run/secrets/any.pem"}
`
	named := func(table *route.Table, listener string) string {
		for _, l := range table.Listeners {
			if l.Name == listener {
				var words []string
				for _, c := range l.Certificates {
					words = append(words, strings.TrimSuffix(c.CertFile+" for "+c.Host, " for "))
				}
				return strings.Join(words, ", ")
			}
		}
		return "none"
	}
	table := c.Compile(snapshot(others), first)
	if got, want := named(table, "https"), "own.pem, /run/secrets/new.pem for *.new.example, /late.pem"; got != want {
		t.Errorf("https has %s, want %s", got, want)
	}
	if got, want := named(table, "bare"), "/late.pem, /run/secrets/new.pem for *.new.example"; got != want {
		t.Errorf("bare has %s, want %s", got, want)
	}
	if !slices.ContainsFunc(table.Problems, func(p route.Problem) bool {
		return p.Code == route.CodeConflict && p.Service == "new@docker" && p.Label == "fairway.tls" && strings.Contains(p.Text, "shared.example") && strings.Contains(p.Text, "old@docker")
	}) {
		t.Errorf("problems: %v", table.Problems)
	}
	table = c.Compile(snapshot(strings.ReplaceAll(others, "fairway.path: /old", "fairway.path: /old, fairway.tls: 'file:/run/secrets/old.pem'")), table)
	if got, want := named(table, "https"), "own.pem, /run/secrets/new.pem for *.new.example, /run/secrets/old.pem for shared.example, /late.pem"; got != want {
		t.Errorf("https has %s, want %s", got, want)
	}
}
