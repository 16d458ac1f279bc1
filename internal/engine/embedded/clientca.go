package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"fairway/internal/files"
	"fairway/internal/route"
)

// authorityStore holds the authorities that issue the certificates of clients, by
// file, and rereads them when their files change.
type authorityStore struct {
	log *slog.Logger

	mu    sync.Mutex
	files map[string]*clientAuthority
}

func newAuthorityStore(log *slog.Logger) *authorityStore {
	return &authorityStore{log: log, files: map[string]*clientAuthority{}}
}

// clientAuthority is the content of one file. Connections that are open go on with
// what they began with.
type clientAuthority struct {
	path  string
	stamp files.Stamp // of the last try; guarded by the store's mutex
	pool  atomic.Pointer[x509.CertPool]
}

// file returns the authorities in a file, which is read when it is not known yet;
// nil for no file.
func (s *authorityStore) file(path string) (*clientAuthority, error) {
	if path == "" {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.files[path]
	if a == nil {
		a = &clientAuthority{path: path}
		if err := a.load(); err != nil {
			return nil, err
		}
		s.files[path] = a
	}
	return a, nil
}

// maxAuthorities bounds the size of a file.
const maxAuthorities = 4 << 20

// load reads the file. On an error the authorities stay as they were.
func (a *clientAuthority) load() error {
	a.stamp = files.StampOf(a.path)
	data, err := files.Read(a.path, maxAuthorities)
	if err != nil {
		return fmt.Errorf("client authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return fmt.Errorf("client authorities %s: %w", a.path, errors.New("no certificate in it"))
	}
	if old := a.pool.Load(); old == nil || !old.Equal(pool) {
		a.pool.Store(pool)
	}
	return nil
}

// reload loads the files that changed. One that is broken now stays as it was.
func (s *authorityStore) reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.files {
		was, now := a.stamp, files.StampOf(a.path)
		if was.Holds(now) {
			continue
		}
		if err := a.load(); err != nil && !was.Same(now) {
			s.log.Error("client authorities cannot be reloaded, the old ones stay", "file", a.path, "error", err)
		}
	}
}

// keep forgets the files that no listener of t names.
func (s *authorityStore) keep(t *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[string]bool{}
	for i := range t.Listeners {
		used[t.Listeners[i].ClientCAFile] = true
	}
	for path := range s.files {
		if !used[path] {
			delete(s.files, path)
		}
	}
}

// want makes a listener with these settings ask for certificates and verify those
// that are given. A nil authority changes nothing.
func (a *clientAuthority) want(base *tls.Config) *tls.Config {
	if a == nil {
		return base
	}
	base.ClientAuth = tls.VerifyClientCertIfGiven
	base.ClientCAs = a.pool.Load()
	var current atomic.Pointer[tls.Config]
	current.Store(base.Clone())
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c, pool := current.Load(), a.pool.Load()
		if c.ClientCAs != pool {
			c = c.Clone()
			c.ClientCAs = pool
			current.Store(c)
		}
		return c, nil // with the session ticket keys of base, which it has none of itself
	}
	return base
}
