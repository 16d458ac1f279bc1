// Package command is the commands on certificates.
package command

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/console"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/printer"
)

// no is the exit code when something is wrong with certificates.
const no console.Exit = 1

// Commands are the commands, as Kong reads them.
type Commands struct {
	List   listCommand   `cmd:"" default:"1" help:"List the certificates, the hosts without one, and when they expire."`
	Show   showCommand   `cmd:"" help:"Show what is known of the certificates for a host."`
	Renew  renewCommand  `cmd:"" help:"Order the certificate for a host again, as soon as the limits allow."`
	Revoke revokeCommand `cmd:"" help:"Revoke the certificate for a host, and order another one."`
}

type listCommand struct{}

// Run prints the certificates.
func (listCommand) Run(ctx context.Context, h *command.Host, a *api.Client) error {
	found, err := a.Certificates(ctx)
	if err != nil {
		return err
	}
	return end(h.Print(found, func() { printed(h).CertificatesInFull(found) }), found)
}

func printed(h *command.Host) *printer.Printer { return &printer.Printer{Console: h.Console} }

// end ends a command that has printed certificates.
func end(err error, found api.Certificates) error {
	if err == nil && found.Wrong() {
		return no
	}
	return err
}

type showCommand struct {
	Host string `arg:"" help:"Host, or *. and a host."`
}

// Run prints the certificates that have the name.
func (f *showCommand) Run(ctx context.Context, h *command.Host, a *api.Client) error {
	found, err := a.Certificates(ctx)
	if err != nil {
		return err
	}
	host := strings.ToLower(f.Host)
	_, parent, _ := strings.Cut(host, ".")
	is := func(name string) bool { return name == host || name == "*."+parent }
	found.Certificates = slices.DeleteFunc(found.Certificates, func(c api.Certificate) bool { return !slices.ContainsFunc(c.Names, is) })
	found.Uncovered = slices.DeleteFunc(found.Uncovered, func(u api.UncoveredHost) bool { return u.Host != host })
	found.Automatic = slices.DeleteFunc(found.Automatic, func(c automatic.Managed) bool { return !is(c.Name) })
	if !slices.ContainsFunc(found.Automatic, func(c automatic.Managed) bool { return !c.Internal }) {
		found.Authority = nil // nothing for this host comes from it
	}
	if len(found.Certificates)+len(found.Uncovered)+len(found.Automatic) == 0 {
		return api.Errorf(http.StatusNotFound, "no certificate has the name %s, and no route wants one", host)
	}
	return end(h.Print(found, func() { printed(h).CertificatesOf(found) }), found)
}

type renewCommand struct {
	Host string `arg:"" help:"Host, or *. and a host."`
}

// Run has the certificate ordered.
func (f *renewCommand) Run(ctx context.Context, h *command.Host, a *api.Client) error {
	return call(ctx, h, a, f.Host, "renew", nil)
}

type revokeCommand struct {
	Host        string `arg:"" help:"Host, or *. and a host."`
	Compromised bool   `name:"compromised" help:"Others may know the key: browsers are to refuse the certificate at once."`
}

// Run has the certificate revoked.
func (f *revokeCommand) Run(ctx context.Context, h *command.Host, a *api.Client) error {
	query := url.Values{}
	if f.Compromised {
		query.Set("compromised", "true")
	}
	return call(ctx, h, a, f.Host, "revoke", query)
}

func call(ctx context.Context, h *command.Host, a *api.Client, host, what string, query url.Values) error {
	done, err := api.Post[api.Done](ctx, a, "/v1/certificates/"+url.PathEscape(strings.ToLower(host))+"/"+what, query)
	if err != nil {
		return err
	}
	return h.Print(done, func() { h.Printf("%s\n", done.Text) })
}
