package haproxy

import (
	"strings"
	"testing"

	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// TestPreviewOfNothing: a plan that changes nothing shows no line of HAProxy's, and one
// that changes something none that differs by itself.
func TestPreviewOfNothing(t *testing.T) {
	s := newSite(t, Options{})
	s.serve("a.example", "127.0.0.1:1")
	s.route("b.example", "b.example", func(r *route.Route) {
		r.Filters = []route.Filter{{BasicAuth: &route.BasicAuth{Realm: "x", Users: []route.User{{Name: "ann", Hash: "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE="}}}}}
	})
	s.backend("b.example", nil, "127.0.0.1:1")
	before := s.table()
	was, then, err := s.engine.Preview(before, s.table())
	if err != nil || was != then || was == "" {
		t.Fatalf("%v: of two equal tables it shows\n%s\nand\n%s", err, was, then)
	}
	s.serve("c.example", "127.0.0.1:1")
	was, then, err = s.engine.Preview(before, s.table())
	if err != nil || was == then || strings.Contains(was+then, socket.MarkerVariable) {
		t.Errorf("%v: the marker is shown, or no change is", err)
	}
}
