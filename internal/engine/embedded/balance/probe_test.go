package balance

import (
	"context"
	"net"
	"testing"

	"fairway/internal/route"
)

// TestProbeTCP: of a backend for connections, an endpoint passes that can be
// connected to, whatever it speaks.
func TestProbeTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &route.Backend{Scheme: route.SchemeTCP, Health: &route.Health{}}
	if err := probe(context.Background(), b, l.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := probe(context.Background(), b, l.Addr().String()); err == nil {
		t.Error("an endpoint that nobody listens at passes")
	}
}
