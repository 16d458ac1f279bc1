package main

import (
	"context"

	"fairway/internal/api"
)

type certsCommand struct{}

// Run prints the certificates.
func (*certsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Certificates(ctx)
	return noIf(show(c, found, err, c.CertificatesInFull), found.Wrong())
}
