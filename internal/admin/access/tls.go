package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"fairway/internal/engine/certs"
	"fairway/internal/route"
)

// TLS says how the listener proves who it is; zero is no TLS.
type TLS struct {
	// CertFile and KeyFile are PEM files. ClientCAFile is one with the authorities that
	// vouch for client certificates; empty asks for none. All are reread when they change.
	CertFile, KeyFile, ClientCAFile string
}

// certLook is how long a certificate is used before its files are looked at again.
const certLook = time.Second

// Config returns the listener's configuration and its names; nil without TLS.
func (o TLS) Config(log *slog.Logger) (*tls.Config, []string, error) {
	switch {
	case o == TLS{}:
		return nil, nil, nil
	case o.CertFile == "":
		return nil, nil, errors.New("TLS needs a certificate with its key")
	}
	store := certs.New(log.With("of", "the admin API"))
	own := []route.Certificate{{CertFile: o.CertFile, KeyFile: o.KeyFile}}
	pairs, err := store.Pairs(own)
	if err != nil {
		return nil, nil, err
	}
	var looking sync.Mutex
	looked := time.Now()
	reload := func() {
		if !looking.TryLock() {
			return // for another handshake; what is there serves this one
		}
		defer looking.Unlock()
		if time.Since(looked) >= certLook {
			store.Reload()
			looked = time.Now()
		}
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			reload()
			pairs, err := store.Pairs(own)
			if err != nil {
				return nil, err
			}
			return pairs[0].Certificate, nil
		},
	}
	if o.ClientCAFile != "" {
		if _, err := store.Authorities(o.ClientCAFile); err != nil {
			return nil, nil, err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		base := config.Clone()
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			reload()
			authorities, err := store.Authorities(o.ClientCAFile)
			if err != nil {
				return nil, err
			}
			c := base.Clone()
			c.ClientCAs = authorities.Pool
			return c, nil // with the session ticket keys of config, as it has none of its own
		}
	}
	return config, namesIn(pairs[0].Certificate.Leaf), nil
}

// namesIn returns the names and addresses of a certificate, without wildcards.
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
