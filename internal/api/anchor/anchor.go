// Package anchor is what the admin API says of the root of Fairway's own authority.
package anchor

import (
	"context"
	"time"

	"fairway/internal/acme/authority"
	"fairway/internal/api"
)

// Authority is the certificate authority of Fairway's own, for names for which no public one
// issues.
type Authority struct {
	// Certificate is its root in PEM, which clients have to trust, and Name what that says
	// of itself.
	Certificate string `json:"certificate"`
	Name        string `json:"name"`
	// Fingerprint is the SHA-256 of the root, in lower-case hexadecimal.
	Fingerprint string    `json:"fingerprint"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
}

// Of puts a root into the words of the API, or passes the error on.
func Of(root authority.Root, err error) (Authority, error) {
	return Authority{
		Certificate: string(root.PEM), Name: root.Name, Fingerprint: root.Fingerprint,
		NotBefore: root.NotBefore.UTC(), NotAfter: root.NotAfter.UTC(),
	}, err
}

// Get asks for the root.
func Get(ctx context.Context, c *api.Client) (Authority, error) {
	return api.Get[Authority](ctx, c, "/v1/authority", nil)
}
