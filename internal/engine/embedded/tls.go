package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"fairway/internal/files"
	"fairway/internal/route"
)

// certStore holds the key pairs of the live listeners and rereads them when their
// files change. Connections that are open go on with what they began with.
type certStore struct {
	log  *slog.Logger
	read pairReader

	mu    sync.Mutex
	pairs map[route.Certificate]*keyPair
}

func newCertStore(log *slog.Logger) *certStore {
	return &certStore{log: log, read: readPair, pairs: map[route.Certificate]*keyPair{}}
}

// keyPair is one certificate with its key.
type keyPair struct {
	files route.Certificate
	stamp [2]files.Stamp // of the last try
	cert  *tls.Certificate
}

// index returns the certificates of a listener by server name. Those that are not
// known yet are loaded. It is called by one goroutine at a time.
func (s *certStore) index(names []route.Certificate) (*certIndex, error) {
	if len(names) == 0 {
		return nil, errors.New("no certificate for TLS")
	}
	s.mu.Lock()
	fresh := map[route.Certificate]*keyPair{}
	for _, f := range names {
		if s.pairs[f] == nil {
			fresh[f] = &keyPair{files: f}
		}
	}
	s.mu.Unlock()
	for _, f := range names {
		if p := fresh[f]; p != nil && p.cert == nil {
			if err := p.load(s.read); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.pairs, fresh)
	x := &certIndex{files: names}
	x.fill(s.pairs)
	return x, nil
}

// load reads the pair. On an error the pair stays as it was.
func (p *keyPair) load(read pairReader) error {
	p.stamp = p.stamps()
	cert, err := read(p.files)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", p.files.CertFile, err)
	}
	p.cert = &cert
	return nil
}

// maxPair bounds the size of the files of a pair.
const maxPair = 4 << 20

// pairReader reads a certificate and its key.
type pairReader func(route.Certificate) (tls.Certificate, error)

func readPair(name route.Certificate) (tls.Certificate, error) {
	cert, err := files.Read(name.CertFile, maxPair)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := files.Read(name.KeyFile, maxPair)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

func (p *keyPair) stamps() [2]files.Stamp {
	return [2]files.Stamp{files.StampOf(p.files.CertFile), files.StampOf(p.files.KeyFile)}
}

// reload loads the pairs whose files changed and reports whether any did. A pair
// that is broken now stays as it was. Files are read without the mutex, for which a
// table waits that goes live. It is called by one goroutine.
func (s *certStore) reload() (changed bool) {
	s.mu.Lock()
	pairs := slices.Collect(maps.Values(s.pairs))
	s.mu.Unlock()
	for _, p := range pairs {
		changed = s.reloadPair(p) || changed
	}
	return changed
}

func (s *certStore) reloadPair(p *keyPair) (changed bool) {
	s.mu.Lock()
	was, old := p.stamp, p.cert
	s.mu.Unlock()
	now := p.stamps()
	if was[0].Holds(now[0]) && was[1].Holds(now[1]) {
		return false
	}
	cert, err := s.read(p.files)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.stamp = now
	if err != nil {
		if !was[0].Same(now[0]) || !was[1].Same(now[1]) {
			s.log.Error("certificate cannot be reloaded, the old one stays", "file", p.files.CertFile,
				"error", fmt.Errorf("certificate %s: %w", p.files.CertFile, err))
		}
		return false
	}
	p.cert = &cert
	if cert.Leaf.Equal(old.Leaf) {
		return false
	}
	s.log.Info("certificate reloaded", "file", p.files.CertFile)
	return true
}

// keep forgets the pairs that no listener of t names.
func (s *certStore) keep(t *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[route.Certificate]bool{}
	for _, l := range t.Listeners {
		for _, c := range l.Certificates {
			used[c] = used[c] || l.TLS
		}
	}
	for f := range s.pairs {
		if !used[f] {
			delete(s.pairs, f)
		}
	}
}

// reindex makes reloaded pairs known to the listeners of the live table. live is called
// with the mutex held: the pairs of the table that it returns stay until keep gets it.
func (s *certStore) reindex(live func() *liveTable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := live()
	if t == nil {
		return
	}
	for _, conf := range t.listeners {
		if conf.certs != nil {
			conf.certs.fill(s.pairs)
		}
	}
}

// certIndex finds the certificate for a server name: the exact name first, then
// the wildcard, else the first certificate of the listener. Which certificate a
// client sees grants nothing: routes are chosen by the host of the request alone,
// also where it differs from the server name.
type certIndex struct {
	files  []route.Certificate
	byName atomic.Pointer[namedCerts]
}

// isOf reports whether the index, which may be nil, is of these files.
func (x *certIndex) isOf(names []route.Certificate) bool {
	return x != nil && slices.Equal(x.files, names)
}

// namedCerts is the content of an index.
type namedCerts struct {
	first *tls.Certificate
	names map[string]*tls.Certificate // lower case; wildcards with their "*."
}

// fill takes the certificates from pairs.
func (x *certIndex) fill(pairs map[route.Certificate]*keyPair) {
	n := &namedCerts{names: map[string]*tls.Certificate{}}
	for _, f := range x.files {
		cert := pairs[f].cert
		if n.first == nil {
			n.first = cert
		}
		names := cert.Leaf.DNSNames
		if len(names) == 0 && cert.Leaf.Subject.CommonName != "" {
			names = []string{cert.Leaf.Subject.CommonName}
		}
		for _, name := range names {
			name = strings.ToLower(name)
			if n.names[name] == nil {
				n.names[name] = cert
			}
		}
	}
	x.byName.Store(n)
}

// find is tls.Config's GetCertificate.
func (x *certIndex) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	n := x.byName.Load()
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

// config returns the TLS settings of a listener.
func (x *certIndex) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: x.find,
	}
}
