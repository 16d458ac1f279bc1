package handshake

import (
	"strings"
	"testing"

	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
)

// TestList: each name stands with what its host demands, for every pair that may answer for
// it, so that no kind of key leads past that.
func TestList(t *testing.T) {
	hosts := []tlsoption.Host{
		{Host: "*.bank.example", ClientCAFile: "ca", Require: true},
		{Host: "vip.bank.example", MinVersion: "1.3", ClientCAFile: "vip"},
		{Host: "new.example", MinVersion: "1.3"},
	}
	open := Pair{Path: "/open.pem", Names: []string{"open.example", "x.bank.example", "a b\n/x [verify none] vip.bank.example", "!vip.bank.example", "#", ""}}
	pairs := []Pair{open, {Path: "/rsa.pem", Names: []string{"*.bank.example"}}, {Path: "/ecdsa.pem", Names: []string{"*.bank.example", "vip.bank.example"}}}
	got := string(List(&route.Listener{Hosts: hosts}, pairs, map[string]string{"ca": "/ca.pem", "vip": "/vip.pem"}))
	want := strings.Join([]string{
		"/open.pem !*",
		"/open.pem open.example",
		"/open.pem [verify required ca-file /ca.pem] x.bank.example",
		"/rsa.pem [verify required ca-file /ca.pem] *.bank.example",
		"/ecdsa.pem [verify required ca-file /ca.pem] *.bank.example",
		"/ecdsa.pem [ssl-min-ver TLSv1.3 verify optional ca-file /vip.pem] vip.bank.example",
		"/rsa.pem [ssl-min-ver TLSv1.3 verify optional ca-file /vip.pem] vip.bank.example",
		"/open.pem [ssl-min-ver TLSv1.3] new.example",
	}, "\n") + "\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// One that is bound to a host answers for it alone, and before others.
	bound := Pair{Path: "/bound.pem", Host: "open.example", Names: []string{"open.example", "other.example"}}
	got = string(List(&route.Listener{Hosts: hosts[2:]}, []Pair{open, bound}, nil))
	want = "/open.pem !*\n/bound.pem open.example\n/open.pem open.example x.bank.example\n/open.pem [ssl-min-ver TLSv1.3] new.example\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := string(List(&route.Listener{Hosts: hosts[2:]}, []Pair{bound}, nil)); got != "/bound.pem open.example\n" {
		t.Errorf("only for its host: %s", got)
	}
}

// TestBind: what is usual needs no words, and a listener's version goes before an older one
// of a host.
func TestBind(t *testing.T) {
	for want, l := range map[string]route.Listener{
		` ssl crt-list "/l" alpn h2,http/1.1`: {},
		` ssl crt-list "/l" alpn http/1.1 ssl-min-ver TLSv1.3 curves X25519:P-256 ca-file "/copy" verify optional`: {
			ClientCAFile: "ca", TLSOptions: tlsoption.Options{MinVersion: "1.3", Curves: []string{"X25519", "P-256"}, ALPN: []string{"http/1.1"}},
		},
		` ssl crt-list "/l" alpn h2,http/1.1 no-tls-tickets`: {Hosts: []tlsoption.Host{{Host: "a.example", ClientCAFile: "ca"}}},
	} {
		l.Certificates = []route.Certificate{{CertFile: "c"}}
		if got := Bind(&l, "/l", map[string]string{"ca": "/copy"}); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := options(tlsoption.Host{MinVersion: "1.2"}, tlsoption.Host{MinVersion: "1.3"}, nil); got != " [ssl-min-ver TLSv1.3]" {
		t.Errorf("an older version of a host: %q", got)
	}
}
