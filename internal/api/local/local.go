// Package local finds the admin API of a Fairway on this machine, and reads the files that
// reaching one takes.
package local

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"fairway/internal/api"
)

// Access is how a client reaches an admin API.
type Access struct {
	URL       string // where it listens; see [api.ClientOptions]
	TokenFile string // the file with a token; empty for none
	// CertFile has certificates in PEM to trust as well; empty for none. OwnCert: it is
	// the server's own, and its first may be for another name than is dialled.
	CertFile string
	OwnCert  bool
}

// Fairway is the access to a Fairway on this machine, by its address or socket and its
// certificate. An unspecified host becomes loopback. Without a token file it is the first
// token, where this user may read it.
func Fairway(listen, certFile, tokenFile, firstTokenFile string) Access {
	a := Access{URL: listen, TokenFile: tokenFile, CertFile: certFile, OwnCert: certFile != ""}
	if tokenFile == "" {
		if f, err := os.Open(firstTokenFile); err == nil {
			_ = f.Close()
			a.TokenFile = firstTokenFile
		}
	}
	if strings.HasPrefix(listen, "unix://") {
		return a
	}
	host, port, _ := net.SplitHostPort(listen) // an address that is wrong makes a URL that is
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if certFile != "" {
		scheme = "https://"
	}
	a.URL = scheme + net.JoinHostPort(host, port)
	return a
}

// Client returns a client with this access. It reads the files alone.
func (a Access) Client() (*api.Client, error) {
	o := api.ClientOptions{URL: a.URL}
	if a.TokenFile != "" {
		data, err := os.ReadFile(a.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token for the admin API: %w", err)
		}
		o.Token = strings.TrimSpace(string(data))
	}
	if a.CertFile != "" {
		var err error
		if o.TLS, err = pinned(a.CertFile, a.OwnCert); err != nil {
			return nil, fmt.Errorf("certificate of the admin API: %w", err)
		}
	}
	return api.NewClient(o)
}

// pinned trusts the certificates in a PEM file and the machine's authorities. With own, it
// expects a name of the first instead of the one dialled.
func pinned(path string, own bool) (*tls.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in PEM", path)
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	if !own {
		return config, nil
	}
	block, _ := pem.Decode(data) // there is one
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case len(leaf.DNSNames) > 0:
		config.ServerName = strings.Replace(leaf.DNSNames[0], "*", "fairway", 1)
	case len(leaf.IPAddresses) > 0:
		config.ServerName = leaf.IPAddresses[0].String()
	}
	return config, nil
}
