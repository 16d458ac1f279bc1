package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/files"
)

// TLS says how the listener proves who it is, and whose client certificates it
// believes. The zero value is no TLS.
type TLS struct {
	// CertFile and KeyFile are PEM files. ClientCAFile is one with the authorities that
	// vouch for client certificates; empty asks for none. All are reread when they change.
	CertFile, KeyFile, ClientCAFile string
}

// certLook is how long a certificate is used before its files are looked at again.
const certLook = time.Second

// fromFiles is something that was read from files and follows them. What is broken
// now stays as it was.
type fromFiles[T any] struct {
	what  string // for errors
	paths []string
	read  func() (*T, error)
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamps []files.Stamp
	value  *T
}

// Config returns the configuration of the listener and the names in its
// certificate; nil without TLS.
func (o TLS) Config(log *slog.Logger) (*tls.Config, []string, error) {
	switch {
	case o == TLS{}:
		return nil, nil, nil
	case o.CertFile == "":
		return nil, nil, errors.New("TLS needs a certificate with its key")
	}
	cert := &fromFiles[tls.Certificate]{what: "certificate", paths: []string{o.CertFile, o.KeyFile}, log: log, read: func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		return &pair, err
	}}
	pair, err := cert.get(time.Now())
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.get(time.Now()) },
	}
	if o.ClientCAFile != "" {
		authorities := &fromFiles[x509.CertPool]{what: "authorities for clients", paths: []string{o.ClientCAFile}, log: log, read: func() (*x509.CertPool, error) {
			return readAuthorities(o.ClientCAFile)
		}}
		if config.ClientCAs, err = authorities.get(time.Now()); err != nil {
			return nil, nil, err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		base := config.Clone()
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := base.Clone()
			var err error
			c.ClientCAs, err = authorities.get(time.Now())
			return c, err // with the session ticket keys of config, as it has none of its own
		}
	}
	return config, namesIn(pair.Leaf), nil
}

// namesIn returns the names and addresses that a certificate is for, wildcards
// left out.
func namesIn(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		if !strings.Contains(name, "*") {
			names = append(names, strings.ToLower(name))
		}
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// get returns the newest value that is sound. It fails before there is one.
func (f *fromFiles[T]) get(now time.Time) (*T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.value != nil && now.Sub(f.looked) < certLook {
		return f.value, nil
	}
	f.looked = now
	var stamps []files.Stamp
	for _, path := range f.paths {
		stamps = append(stamps, files.StampOf(path))
	}
	if f.value != nil && slices.EqualFunc(stamps, f.stamps, files.Stamp.Same) {
		return f.value, nil
	}
	f.stamps = stamps
	value, err := f.read()
	switch {
	case err != nil && f.value == nil:
		return nil, fmt.Errorf("%s %s: %w", f.what, f.paths[0], err)
	case err != nil:
		f.log.Error(f.what+" of the admin API cannot be reloaded, the old one stays", "file", f.paths[0], "error", err)
	default:
		f.value = value
	}
	return f.value, nil
}

// readAuthorities reads the authorities of a PEM file.
func readAuthorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in PEM")
	}
	return pool, nil
}
