package certified

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/acme"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/engine/certs"
	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
	"fairway/internal/testkit"
)

// fixed is what is got by itself in a test.
type fixed struct{ view *acme.View }

func (f fixed) View() *acme.View                          { return f.view }
func (f fixed) Renew(context.Context, string) error       { return nil }
func (f fixed) Revoke(context.Context, string, int) error { return nil }

// lab is a table whose hosts have certificates from everywhere, and some none.
func lab(t *testing.T) (Certificates, *show.View) {
	t.Helper()
	dir, now := t.TempDir(), time.Now()
	write := func(name string) string {
		file := filepath.Join(dir, strings.ReplaceAll(name, "*", "_")+".pem")
		cert, key := testkit.KeyPair(t, name)
		if err := os.WriteFile(file, append(cert, key...), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	https := route.Listener{
		Name: "https", Address: ":443", TLS: true, TLSOptions: tlsoption.Options{Curves: []string{tlsoption.Hybrid}}, QUIC: route.QUIC{Address: ":443"},
		Hosts: []tlsoption.Host{{Host: "*.bank.example", MinVersion: tlsoption.Version13, ClientCAFile: "/ca.pem", Require: true}, {Host: "soft.example", ClientCAFile: "/ca.pem"}},
	}
	obtained, own, named, sent, bank := write("obtained.example"), write("own.localhost"), write("named.example"), write("*.sent.example"), write("*.bank.example")
	for _, file := range []string{write(certs.Placeholder), obtained, own, sent, bank} {
		https.Certificates = append(https.Certificates, route.Certificate{CertFile: file, KeyFile: file})
	}
	broken := filepath.Join(dir, "broken.pem")
	https.Certificates = append(https.Certificates, route.Certificate{CertFile: named, KeyFile: named, Host: "named.example"}, route.Certificate{CertFile: broken, KeyFile: broken, Host: "broken.example"})
	var routes []*route.Route
	services := &catalog.Snapshot{}
	for host, decided := range map[string]string{
		"obtained.example": "", "own.localhost": "", "failing.example": "", "ordering.example": "", "off.example": route.TLSOff,
		"named.example": named, "broken.example": broken, "x.sent.example": "", "x.bank.example": "", "renewing.sent.example": "", "soft.example": "",
	} {
		id, _, _ := strings.Cut(host, ".example")
		r := &route.Route{ID: id, Service: id, TLS: decided, Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: host}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}}
		r.Origin.Labels = map[string]string{"fairway.host": host}
		routes = append(routes, r)
		services.Services = append(services.Services, &catalog.Service{ID: id, Name: id})
	}
	table, err := route.New(1, []route.Listener{https}, routes, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	view := &acme.View{
		Names: []acme.NameView{
			{Name: "failing.example", Route: "failing", Service: "failing", State: acme.StateFailed, Error: "caa: forbids it", Failures: 2, Next: now.Add(3 * time.Minute)},
			{Name: "long.example", State: acme.StateFailed, Error: "the name has 231 characters"},
			{Name: "obtained.example", Route: "obtained", Service: "obtained", State: acme.StateValid, File: obtained, Next: now.Add(40 * 24 * time.Hour)},
			{Name: "ordering.example", Route: "ordering", Service: "ordering", State: acme.StateOrdering},
			{Name: "own.localhost", Route: "own.localhost", Service: "own.localhost", State: acme.StateValid, File: own, Internal: true, Next: now.Add(time.Hour)},
			{Name: "renewing.sent.example", Route: "renewing.sent", Service: "renewing.sent", State: acme.StateFailed, Error: "rateLimited: wait", Failures: 1, Next: now.Add(time.Hour)},
		},
		Error: "503 Service Unavailable", Since: now, Next: now.Add(time.Minute),
	}
	coverage := certs.NewCoverage(slog.New(slog.DiscardHandler), []string{dir})
	c := Certificates{
		Inventory: func() *certs.Inventory { return coverage.Of(table, now) }, Automatic: fixed{view}, Table: func() *route.Table { return table },
	}
	return c, show.New(services, table, nil)
}

// TestAnswering: of every host it is said which certificate is shown, where it is from, whose
// wish it was, and why there is no other.
func TestAnswering(t *testing.T) {
	c, _ := lab(t)
	for host, want := range map[string]string{
		"obtained.example":      "got from a certificate authority for the label fairway.host of obtained | valid | TLS 1.2",
		"own.localhost":         "issued by Fairway's own authority for the label fairway.host of own.localhost | valid | TLS 1.2",
		"named.example":         "from the file of the label fairway.tls: NAMED | none: the label fairway.tls of named names a file: NAMED | TLS 1.2",
		"x.sent.example":        "from the file SENT | none: it has a certificate | TLS 1.2",
		"renewing.sent.example": "from the file SENT | failed: rateLimited: wait | TLS 1.2",
		"failing.example":       "the first certificate for failing.example could not be had: caa: forbids it (the next order is in 3 min; to order at once: fairway certs renew failing.example) | self-signed, while there is no other | failed: caa: forbids it | TLS 1.2 | 503 Service Unavailable",
		"ordering.example":      "the first certificate for ordering.example is being ordered (wait a moment, or see: fairway certs show ordering.example) | self-signed, while there is no other | ordering | TLS 1.2 | 503 Service Unavailable",
		"long.example":          "no certificate for long.example can be had: the name has 231 characters (give the service a shorter host, or Fairway a certificate for it in tls.certificates) | self-signed, while there is no other | failed: the name has 231 characters | TLS 1.2 | 503 Service Unavailable",
		"off.example":           "no certificate covers off.example, and clients are warned (add a certificate for off.example to tls.certificates, as CERT.PEM,KEY.PEM) | self-signed, while there is no other | none: the label fairway.tls=off of off | TLS 1.2",
		"unknown.example":       "no certificate covers unknown.example, and clients are warned (add a certificate for unknown.example to tls.certificates, as CERT.PEM,KEY.PEM) | self-signed, while there is no other | none: no route has the host | TLS 1.2",
		"x.bank.example":        "from the file BANK | none: it has a certificate | TLS 1.3, clients must have a certificate of /ca.pem, TLS 1.3 at least, by *.bank.example",
		"soft.example":          "no certificate covers soft.example, and clients are warned (add a certificate for soft.example to tls.certificates, as CERT.PEM,KEY.PEM) | self-signed, while there is no other | TLS 1.2, clients may have a certificate of /ca.pem, by soft.example",
	} {
		a := c.answering(c.Table(), c.Table().Listeners[0], host)
		var parts []string
		if a.Text != "" {
			parts = append(parts, a.Text+" ("+a.Hint+")")
		}
		parts = append(parts, a.Origin())
		if a.Doing() != "" {
			parts = append(parts, a.Doing())
		}
		demands := "TLS " + a.Handshake.MinVersion
		if d := a.Handshake.Demands(); d != "" {
			demands += ", " + d + ", by " + a.Handshake.Record
		}
		parts = append(parts, demands)
		if a.Authority != nil && !a.Covers {
			parts = append(parts, a.Authority.Error)
		}
		for _, file := range c.Table().Listeners[0].Certificates {
			base := filepath.Base(file.CertFile)
			word, _, _ := strings.Cut(strings.TrimPrefix(base, "_."), ".")
			want = strings.ReplaceAll(want, strings.ToUpper(word), file.CertFile)
		}
		if got := strings.Join(parts, " | "); got != want {
			t.Errorf("%s:\n%s, want\n%s", host, got, want)
		}
		if got := strings.Join(a.Handshake.Protocols, " "); got != "h2 http/1.1 h3" || a.ServerName != host || a.Covers && (a.Issuer == "" || a.Ends == "") {
			t.Errorf("%s: %+v", host, a)
		}
	}
	if a := c.answering(c.Table(), c.Table().Listeners[0], "broken.example"); !strings.Contains(a.Text, "broken.pem") || a.Covers {
		t.Errorf("a file that cannot be read: %+v", a)
	}
	if a := c.answering(c.Table(), c.Table().Listeners[0], "192.0.2.1"); a.ServerName != "" || a.Covers {
		t.Errorf("an address: %+v", a)
	}
}

// TestDiagnoseHosts: a diagnosis says of a service which certificate answers, in the words of the
// authority where none can be had, and of an instance only what is wrong.
func TestDiagnoseHosts(t *testing.T) {
	c, v := lab(t)
	stale := api.Check{Name: "certificate", Outcome: api.CheckDoubt, Text: "it is served over HTTPS, and no certificate covers it"}
	for _, tt := range []struct {
		service, instance string
		said              []api.Check
		want              []string
	}{
		{"obtained", "", nil, []string{"ok obtained.example: "}},
		{"obtained", "obtained-1", nil, nil},
		{"failing", "", []api.Check{stale}, []string{"doubt the first certificate for failing.example could not be had: caa: forbids it"}},
		{"failing", "failing-1", nil, []string{"doubt the first certificate for failing.example"}},
		{"renewing.sent", "", nil, []string{"doubt renewing.sent.example: "}},
		{"x.bank", "", nil, []string{"ok x.bank.example: "}},
		{"off", "", []api.Check{stale}, []string{"doubt it is served over HTTPS, and no certificate covers off.example"}},
	} {
		d := api.Diagnosis{Service: tt.service, Instance: tt.instance, Checks: tt.said}
		c.Diagnose(v, &d)
		if len(d.Checks) != len(tt.want) {
			t.Errorf("%s %s: %+v", tt.service, tt.instance, d.Checks)
			continue
		}
		for i, check := range d.Checks {
			if got := check.Outcome + " " + check.Text; check.Name != "certificate" || !strings.HasPrefix(got, tt.want[i]) {
				t.Errorf("%s: %s, want %s…", tt.service, got, tt.want[i])
			}
		}
	}
}
