package certified_test

import (
	"context"
	"testing"

	"fairway/internal/acme"
	"fairway/internal/admin/certified"
	"fairway/internal/engine/certs"
	"fairway/internal/route"
)

// automatic gets certificates for nothing.
type automatic struct{}

func (automatic) View() *acme.View                          { return &acme.View{} }
func (automatic) Renew(context.Context, string) error       { return acme.ErrUnknown }
func (automatic) Revoke(context.Context, string, int) error { return acme.ErrUnknown }

// TestWildcardHint: a host with a wildcard that nothing gets a certificate for says what would.
func TestWildcardHint(t *testing.T) {
	c := certified.Certificates{
		Inventory: func() *certs.Inventory {
			return &certs.Inventory{Uncovered: []certs.Uncovered{{Host: "*.a.example", Hint: "add one"}, {Host: "b.example", Hint: "add one"}}}
		},
		Automatic: automatic{}, Table: func() *route.Table { return nil },
	}
	got := c.List().Uncovered
	if want := "for one by itself set acme.agree and acme.dns.provider (docs/https.md), or add one"; len(got) != 2 || got[0].Hint != want || got[1].Hint != "add one" {
		t.Errorf("%+v", got)
	}
}
