package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"fairway/internal/admin"
)

// Access is how programs on the same machine reach the admin API of a Fairway.
type Access struct {
	// URL is where it listens.
	URL string
	// TokenFile is the file with a token; empty when there is none that this
	// user may read.
	TokenFile string
	// CertFile is the file with the certificate that the API has; empty without
	// TLS.
	CertFile string
}

// AdminAccess returns the access to a Fairway with the configuration of o. It
// does not fail: whatever cannot be read counts as not given.
func AdminAccess(o LoadOptions) Access {
	c := Defaults()
	env := environment(o.Environ)
	var file map[string]given
	if path, data, err := readConfig(o.Path, env["FAIRWAY_CONFIG"]); err == nil && path != "" {
		file, _ = parseConfig(path, data)
	}
	for _, f := range Fields(&c) {
		if value, ok := f.newest(file, env, o.Flags); ok && (strings.HasPrefix(f.Name, "admin.") || f.Name == "state-dir") {
			_ = f.set(value.texts) // What does not fit counts as not given.
		}
	}
	access := Access{TokenFile: c.Admin.TokenFile, CertFile: c.Admin.TLSCert}
	if access.TokenFile == "" {
		if c.StateDir == "" {
			c.StateDir = stateDir(func(name string) string { return env[name] }, os.Geteuid() == 0)
		}
		access.TokenFile = readableOrNone(filepath.Join(c.StateDir, admin.FirstTokenFile))
	}
	if strings.HasPrefix(c.Admin.Listen, "unix://") {
		access.URL = c.Admin.Listen
		return access
	}
	host, port, err := net.SplitHostPort(c.Admin.Listen)
	if err != nil {
		host, port, _ = net.SplitHostPort(Defaults().Admin.Listen)
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if access.CertFile != "" {
		scheme = "https://"
	}
	access.URL = scheme + net.JoinHostPort(host, port)
	return access
}

// readableOrNone returns path when this user may read the file.
func readableOrNone(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	_ = f.Close()
	return path
}

// Pinned returns a client's TLS configuration that believes the certificate in a
// PEM file and those that it vouches for, in addition to the machine's
// authorities. With named, whoever answers may have a name of the first
// certificate in the file instead of the one that was dialled: that is for the
// file that the server itself uses.
func Pinned(path string, named bool) (*tls.Config, error) {
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
	if !named {
		return config, nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New(path + ": no certificate in PEM")
	}
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
