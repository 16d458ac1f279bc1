package embedded

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"fairway/internal/engine/certs"
	"fairway/internal/route"
)

// listenerTLS is what a listener with TLS shows to its clients, and asks of them. It
// stays the same for as long as the table names the same files, and with it the keys
// of session tickets. Connections that are open go on with what they began with.
type listenerTLS struct {
	pairs     []route.Certificate
	authority string // the file of those that issue the certificates of clients; empty: none
	config    *tls.Config

	filling sync.Mutex                 // the newest content is stored last
	current atomic.Pointer[tls.Config] // config with what the files hold
}

// namedCerts finds the certificate for a server name.
type namedCerts struct {
	first *tls.Certificate
	names map[string]*tls.Certificate // lower case; wildcards with their "*."
}

// newListenerTLS reads the files that a listener names, as far as they are not known.
func newListenerTLS(store *certs.Store, def route.Listener) (*listenerTLS, error) {
	if len(def.Certificates) == 0 {
		return nil, errors.New("no certificate for TLS")
	}
	l := &listenerTLS{pairs: def.Certificates, authority: def.ClientCAFile}
	l.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// It has the session ticket keys of config, as it has none of its own.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.current.Load(), nil },
	}
	if l.authority != "" {
		l.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return l, l.fill(store)
}

// isOf reports whether l, which may be nil, is what the listener names.
func (l *listenerTLS) isOf(def route.Listener) bool {
	return l != nil && slices.Equal(l.pairs, def.Certificates) && l.authority == def.ClientCAFile
}

func (l *listenerTLS) fill(store *certs.Store) error {
	l.filling.Lock()
	defer l.filling.Unlock()
	pairs, err := store.Pairs(l.pairs)
	if err != nil {
		return err
	}
	n := &namedCerts{first: pairs[0].Certificate, names: map[string]*tls.Certificate{}}
	for _, p := range pairs {
		for _, name := range p.Names {
			if n.names[name] == nil {
				n.names[name] = p.Certificate
			}
		}
	}
	next := l.config.Clone()
	next.GetConfigForClient, next.GetCertificate = nil, n.find
	if l.authority != "" {
		issuers, err := store.Authorities(l.authority)
		if err != nil {
			return err
		}
		next.ClientCAs = issuers.Pool
	}
	l.current.Store(next)
	return nil
}

// find is tls.Config's GetCertificate: the exact name first, then the wildcard, else
// the first certificate. It grants nothing: the host of the request alone chooses routes.
func (n *namedCerts) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if cert := n.names[name]; cert != nil {
		return cert, nil
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		if cert := n.names["*."+parent]; cert != nil {
			return cert, nil
		}
	}
	return n.first, nil
}

// refreshCerts makes reloaded files known to the listeners of the live table.
func (e *Engine) refreshCerts() {
	for _, conf := range e.live.Load().listeners {
		if conf.tls != nil {
			_ = conf.tls.fill(e.certs) // on an error it stays as it was: a file has left the table
		}
	}
}
