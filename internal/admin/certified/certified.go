// Package certified answers about the certificates of listeners, and has those renewed and
// revoked that Fairway itself gets.
package certified

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairway/internal/acme"
	"fairway/internal/acme/ca"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/engine/certs"
	"fairway/internal/route"
)

// Automatic gets certificates for hosts.
type Automatic interface {
	View() *acme.View
	// Renew and Revoke fail with acme.ErrUnknown for a host that it gets none for.
	Renew(ctx context.Context, host string) error
	Revoke(ctx context.Context, host string, reason int) error
}

// Certificates are what is asked about. Inventory is required; Automatic may be nil.
type Certificates struct {
	Inventory func() *certs.Inventory
	Automatic Automatic
	// Table is the live table; it may be nil before the first.
	Table func() *route.Table
}

// List is all that is known.
func (c Certificates) List() api.Certificates {
	found := show.Certificates(c.Inventory())
	if c.Automatic != nil {
		add(&found, c.Automatic.View(), c.Table())
	}
	return found
}

// Renew has the certificate for a host ordered again.
func (c Certificates) Renew(ctx context.Context, host string) error {
	return refused(c.Automatic.Renew(ctx, host))
}

// Revoke has it revoked; compromised says that others may know its key.
func (c Certificates) Revoke(ctx context.Context, host string, compromised bool) error {
	reason := ca.ReasonSuperseded
	if compromised {
		reason = ca.ReasonKeyCompromise
	}
	return refused(c.Automatic.Revoke(ctx, host, reason))
}

func refused(err error) error {
	switch {
	case errors.Is(err, acme.ErrUnknown):
		return api.Errorf(http.StatusNotFound, "%v", err)
	case err != nil:
		return api.Errorf(http.StatusConflict, "%v", err)
	}
	return nil
}

// add adds the hosts that Fairway gets certificates for to certificates: a host that
// has none yet says why, in place of what to do about those that no one gets. t may be nil.
func add(c *api.Certificates, v *acme.View, t *route.Table) {
	if v.Error != "" {
		c.Authority = trouble(v)
	}
	c.Automatic = show.All(v.Names, func(n acme.NameView) automatic.Managed { return wire(t, n) })
	for i := range c.Uncovered {
		u := &c.Uncovered[i]
		switch n := wish(v, u.Host); {
		case n != nil:
			u.Text, u.Hint = instead(wire(t, *n), c.At, u.Text, u.Hint)
		case strings.HasPrefix(u.Host, "*."):
			u.Hint = "for one by itself set acme.agree and acme.dns.provider (docs/https.md), or " + u.Hint
		}
	}
}

func trouble(v *acme.View) *automatic.Trouble {
	return &automatic.Trouble{Error: v.Error, Since: v.Since.UTC(), NextOrder: v.Next.UTC()}
}

func wire(t *route.Table, n acme.NameView) automatic.Managed {
	return automatic.Managed{
		Name: n.Name, State: n.State, Service: n.Service, Route: n.Route, Label: labelOf(t, n), OnDemand: n.Demanded, Internal: n.Internal, Error: n.Error, Since: n.Since.UTC(),
		Failures: n.Failures, NextOrder: n.Next.UTC(), File: n.File, NotAfter: n.NotAfter.UTC(),
	}
}

// instead is what to say of a host that no certificate covers and that one is to come for, in
// the place of what to do about those that no one gets.
func instead(a automatic.Managed, at time.Time, text, hint string) (string, string) {
	switch a.State {
	case automatic.Waiting, automatic.Ordering:
		return "the first certificate for " + a.Name + " is being ordered", "wait a moment, or see: fairway certs show " + a.Name
	case automatic.Failed:
		if a.NextOrder.IsZero() {
			return "no certificate for " + a.Name + " can be had: " + a.Error, "give the service a shorter host, or Fairway a certificate for it in tls.certificates"
		}
		return "the first certificate for " + a.Name + " could not be had: " + a.Error, "the next order is " + a.Next(at) + "; to order at once: fairway certs renew " + a.Name
	}
	return text, hint
}

// labelOf is the label that has the host of a wish word for word; empty for none.
func labelOf(t *route.Table, n acme.NameView) string {
	if t == nil || n.Route == "" {
		return ""
	}
	r := t.Route(n.Route)
	if r == nil {
		return ""
	}
	for _, key := range slices.Sorted(maps.Keys(r.Origin.Labels)) {
		if strings.Contains(strings.ToLower(r.Origin.Labels[key]), n.Name) {
			return key
		}
	}
	return ""
}
