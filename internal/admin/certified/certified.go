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

	"fairway/internal/acme"
	"fairway/internal/acme/ca"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/condition"
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

// Diagnose adds to a diagnosis the first host of the service that has no certificate, where
// nothing is said of certificates yet.
func (c Certificates) Diagnose(v *show.View, d *api.Diagnosis) {
	if slices.ContainsFunc(d.Checks, func(one api.Check) bool { return one.Name == condition.CodeCertificate }) {
		return
	}
	for _, u := range c.List().Uncovered {
		if slices.ContainsFunc(v.RoutesOf(d.Service), func(of *route.Route) bool { return slices.Contains(u.Routes, of.ID) }) {
			d.Checks = append(d.Checks, api.Check{Name: condition.CodeCertificate, Outcome: api.CheckDoubt, Text: u.Text, Hint: u.Hint})
			return
		}
	}
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
		c.Authority = &automatic.Trouble{Error: v.Error, Since: v.Since.UTC(), NextOrder: v.Next.UTC()}
	}
	c.Automatic = show.All(v.Names, func(n acme.NameView) automatic.Certificate {
		return automatic.Certificate{
			Name: n.Name, State: n.State, Service: n.Service, Route: n.Route, Label: labelOf(t, n), Internal: n.Internal, Error: n.Error, Since: n.Since.UTC(),
			Failures: n.Failures, NextOrder: n.Next.UTC(), File: n.File, NotAfter: n.NotAfter.UTC(),
		}
	})
	for i := range c.Uncovered {
		u := &c.Uncovered[i]
		at, found := slices.BinarySearchFunc(c.Automatic, u.Host, func(a automatic.Certificate, host string) int { return strings.Compare(a.Name, host) })
		switch {
		case !found && strings.HasPrefix(u.Host, "*."):
			u.Hint = "for one by itself set acme.agree and acme.dns.provider (docs/https.md), or " + u.Hint
			continue
		case !found:
			continue
		}
		switch a := c.Automatic[at]; a.State {
		case automatic.Waiting, automatic.Ordering:
			u.Text, u.Hint = "its first certificate is being ordered", "wait a moment, or see: fairway certs show "+u.Host
		case automatic.Failed:
			u.Text, u.Hint = "its first certificate could not be had: "+a.Error, "the next order is "+a.Next(c.At)+"; to order at once: fairway certs renew "+u.Host
		}
	}
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
