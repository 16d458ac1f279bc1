// Package certs holds the key pairs and the client authorities that listeners name, for
// engines that end TLS. A file that is broken later leaves in use what was read before.
package certs

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"fairway/internal/files"
	"fairway/internal/human"
	"fairway/internal/route"
)

const maxFile = 4 << 20

// Placeholder is the name of certificates that stand in where a listener has no other. They
// are no part of an inventory.
const Placeholder = "fairway placeholder"

// Pair is a certificate with its key. It is never written to.
type Pair struct {
	// CertPEM and KeyPEM are the contents of the files, which may be the same file.
	CertPEM, KeyPEM []byte
	// Certificate is what they hold.
	Certificate *tls.Certificate
	// Names are the DNS names of the leaf, or its common name where it has none, in
	// lower case.
	Names []string
}

// Equal says whether both, of which either may be nil, hold the same files.
func (p *Pair) Equal(other *Pair) bool {
	if p == nil || other == nil {
		return p == other
	}
	return bytes.Equal(p.CertPEM, other.CertPEM) && bytes.Equal(p.KeyPEM, other.KeyPEM)
}

// use is what people want to know of it.
func (p *Pair) use() *Use {
	leaf := p.Certificate.Leaf
	u := &Use{Names: slices.Clone(p.Names), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}
	for _, ip := range leaf.IPAddresses {
		u.Names = append(u.Names, ip.String())
	}
	u.Issuer = cmp.Or(leaf.Issuer.CommonName, strings.Join(leaf.Issuer.Organization, ", "), "unnamed")
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		u.Issuer = "self-signed"
	}
	switch key := leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		u.Key = "ECDSA " + key.Params().Name
	case *rsa.PublicKey:
		u.Key = fmt.Sprintf("RSA %d", key.N.BitLen())
	default:
		u.Key = leaf.PublicKeyAlgorithm.String()
	}
	return u
}

// Authorities issue the certificates of clients. They are never written to.
type Authorities struct {
	// PEM is the content of the file, and Pool what it holds.
	PEM  []byte
	Pool *x509.CertPool
}

// Equal says whether both hold the same file.
func (a *Authorities) Equal(other *Authorities) bool { return bytes.Equal(a.PEM, other.PEM) }

// Store holds what the files contain. All methods may be called from any goroutine,
// and none holds a lock while a file is read.
type Store struct {
	pairs       *set[*Pair]
	authorities *set[*Authorities]
}

// New returns an empty store. Certificates with a host, which labels have named, are read
// below dirs alone.
func New(log *slog.Logger, dirs ...string) *Store {
	read := func(name route.Certificate) (*Pair, error) { return readPair(name, dirs) }
	return &Store{
		pairs:       &set[*Pair]{log: log, what: "certificate", read: read, held: map[route.Certificate]*held[*Pair]{}},
		authorities: &set[*Authorities]{log: log, what: "client authorities", read: readAuthorities, held: map[route.Certificate]*held[*Authorities]{}},
	}
}

// Pairs returns key pairs in this order; those that are not known yet are read. One with a
// host that was never read is nil.
func (s *Store) Pairs(names []route.Certificate) ([]*Pair, error) {
	pairs := make([]*Pair, len(names))
	for i, name := range names {
		var err error
		if pairs[i], err = s.pairs.get(name); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// Authorities returns those of a file, which is read when it is not known yet.
func (s *Store) Authorities(path string) (*Authorities, error) {
	return s.authorities.get(route.Certificate{CertFile: path})
}

// Reload rereads the files that changed, and reports whether any of them holds
// something else than before. It is called by one goroutine at a time.
func (s *Store) Reload() (changed bool) {
	changed = s.pairs.reload()
	return s.authorities.reload() || changed
}

// Keep forgets the files that none of the listeners names.
func (s *Store) Keep(listeners []route.Listener) {
	pairs, authorities := map[route.Certificate]bool{}, map[route.Certificate]bool{}
	for i := range listeners {
		if l := &listeners[i]; l.TLS {
			authorities[route.Certificate{CertFile: l.ClientCAFile}] = true
			for _, h := range l.Hosts {
				authorities[route.Certificate{CertFile: h.ClientCAFile}] = true
			}
			for _, c := range l.Certificates {
				pairs[c] = true
			}
		}
	}
	s.pairs.keep(pairs)
	s.authorities.keep(authorities)
}

// set is what was read of files of one kind, by their names.
type set[T interface{ Equal(T) bool }] struct {
	log  *slog.Logger
	what string
	read func(route.Certificate) (T, error)

	mu   sync.Mutex
	held map[route.Certificate]*held[T]
}

// held is guarded by the mutex of its set.
type held[T any] struct {
	value  T
	stamps [2]files.Stamp // of the last try
	fault  error          // of the last try
}

func (s *set[T]) get(name route.Certificate) (T, error) {
	s.mu.Lock()
	h := s.held[name]
	if h != nil {
		defer s.mu.Unlock()
		return h.value, nil
	}
	s.mu.Unlock()
	h = &held[T]{stamps: stampsOf(name)}
	if h.value, h.fault = s.read(name); h.fault != nil {
		if name.Host == "" {
			return h.value, h.fault
		}
		s.log.Warn(s.what+" of a label cannot be used", "file", name.CertFile, "host", name.Host, "error", h.fault)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name] = h
	return h.value, nil
}

func (s *set[T]) reload() (changed bool) {
	s.mu.Lock()
	all := maps.Clone(s.held)
	s.mu.Unlock()
	for name, h := range all {
		was, now := h.stamps, stampsOf(name) // written by this goroutine alone
		if was[0].Holds(now[0]) && was[1].Holds(now[1]) {
			continue
		}
		value, err := s.read(name)
		s.mu.Lock()
		h.stamps, h.fault = now, err
		renewed := err == nil && !h.value.Equal(value)
		if renewed {
			h.value = value
		}
		s.mu.Unlock()
		switch {
		case renewed:
			changed = true
			s.log.Info(s.what+" reloaded", "file", name.CertFile)
		case err != nil && !(was[0].Same(now[0]) && was[1].Same(now[1])):
			s.log.Error(s.what+" cannot be reloaded, the old content stays in use", "file", name.CertFile, "error", err)
		}
	}
	return changed
}

// fault is why what was read last of a file is not in use; nil when it is.
func (s *set[T]) fault(name route.Certificate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[name]; h != nil {
		return h.fault
	}
	return nil
}

func (s *set[T]) keep(names map[route.Certificate]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.held, func(name route.Certificate, _ *held[T]) bool { return !names[name] })
}

func stampsOf(c route.Certificate) [2]files.Stamp {
	return [2]files.Stamp{files.StampOf(c.CertFile), files.StampOf(c.KeyFile)}
}

// readPair reads a certificate with the key that fits, and the host if there is one. One with
// a host is below dirs.
func readPair(name route.Certificate, dirs []string) (*Pair, error) {
	read := files.Read
	if name.Host != "" {
		read = func(path string, most int64) ([]byte, error) { return files.ReadBelow(dirs, path, most) }
	}
	cert, err := read(name.CertFile, maxFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key := cert
	if name.KeyFile != name.CertFile {
		if key, err = files.Read(name.KeyFile, maxFile); err != nil {
			return nil, fmt.Errorf("certificate %s has no key: %w", name.CertFile, err)
		}
	}
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name.CertFile, err)
	}
	names := slices.Clone(both.Leaf.DNSNames)
	if len(names) == 0 && both.Leaf.Subject.CommonName != "" {
		names = []string{both.Leaf.Subject.CommonName}
	}
	for i, n := range names {
		names[i] = strings.ToLower(n)
	}
	if h := name.Host; h != "" {
		if _, parent, _ := strings.Cut(h, "."); !slices.Contains(names, h) && !slices.Contains(names, "*."+parent) {
			return nil, fmt.Errorf("certificate %s is not for %s, but for %s", name.CertFile, h, human.Quote(strings.Join(names, ", "), 200))
		}
		names = []string{h}
	}
	return &Pair{CertPEM: cert, KeyPEM: key, Certificate: &both, Names: names}, nil
}

// readAuthorities reads a file of authorities. One without a certificate is an error.
func readAuthorities(name route.Certificate) (*Authorities, error) {
	data, err := files.Read(name.CertFile, maxFile)
	if err != nil {
		return nil, fmt.Errorf("client authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("client authorities %s: %w", name.CertFile, errors.New("there is no certificate in it"))
	}
	return &Authorities{PEM: data, Pool: pool}, nil
}
