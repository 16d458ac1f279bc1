package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Certificates of the snapshot come behind those that are configured, and a
// listener with TLS is there as long as it has one.
func TestCertificatesOfTheSnapshot(t *testing.T) {
	own := route.Certificate{CertFile: "own.pem", KeyFile: "own.key"}
	settings := Settings{Listeners: []route.Listener{
		{Name: "bare", Address: ":8443", TLS: true},
		{Name: "http", Address: ":80"},
		{Name: "https", Address: ":443", TLS: true, Certificates: []route.Certificate{own}},
	}}
	pair := func(file string) route.Certificate { return route.Certificate{CertFile: file, KeyFile: file} }
	c := New(settings)
	for _, tt := range []struct {
		files []string
		want  map[string][]route.Certificate
	}{
		{nil, map[string][]route.Certificate{"http": nil, "https": {own}}},
		{[]string{"b.pem", "a.pem"}, map[string][]route.Certificate{
			"bare": {pair("b.pem"), pair("a.pem")}, "http": nil, "https": {own, pair("b.pem"), pair("a.pem")},
		}},
		{nil, map[string][]route.Certificate{"http": nil, "https": {own}}},
	} {
		s := &catalog.Snapshot{Revision: 1}
		for _, file := range tt.files {
			s.Certificates = append(s.Certificates, catalog.Certificate{File: file})
		}
		got := map[string][]route.Certificate{}
		for _, l := range c.Compile(s, nil).Listeners {
			got[l.Name] = l.Certificates
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.files, diff)
		}
	}
}
