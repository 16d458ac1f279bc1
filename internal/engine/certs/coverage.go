package certs

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/route"
)

// Coverage knows the names of the certificates of a table's listeners. Its methods may be
// called from any goroutine.
type Coverage struct {
	store   *Store
	looking sync.Mutex // held while files are read

	mu    sync.Mutex
	table *route.Table
	read  time.Time
	names map[string]bool // nil when they are not known
}

// NewCoverage makes one that has read nothing yet.
func NewCoverage(log *slog.Logger) *Coverage { return &Coverage{store: New(log)} }

// rereadNames is how often certificates are looked at again while the table stays.
const rereadNames = time.Minute

// Of returns what says whether a certificate covers a host, by its name or a wildcard of
// one label (RFC 6125, 6.4.3). It is nil when a certificate cannot be read, and where no
// listener ends TLS and a trusted proxy in front may.
func (c *Coverage) Of(t *route.Table, now time.Time) func(host string) bool {
	if t == nil {
		return nil
	}
	c.mu.Lock()
	names, isNew := c.names, c.table != t || now.Sub(c.read) >= rereadNames
	c.mu.Unlock()
	if isNew && c.looking.TryLock() { // others go on with what is known
		names = c.look(t)
		c.mu.Lock()
		c.table, c.read, c.names = t, now, names
		c.mu.Unlock()
		c.looking.Unlock()
	}
	if names == nil {
		return nil
	}
	return func(host string) bool {
		_, parent, _ := strings.Cut(host, ".")
		return names[host] || names["*."+parent]
	}
}

func (c *Coverage) look(t *route.Table) map[string]bool {
	c.store.Keep(t.Listeners)
	c.store.Reload()
	names := map[string]bool{}
	ends := slices.ContainsFunc(t.Listeners, func(l route.Listener) bool { return l.TLS })
	for _, l := range t.Listeners {
		pairs, err := c.store.Pairs(l.Certificates)
		if err != nil || !ends && len(l.TrustedProxies) > 0 {
			return nil
		}
		for _, p := range pairs {
			for _, name := range p.Names {
				names[name] = true
			}
		}
	}
	return names
}
