package haproxy

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // HAProxy names certificates by it
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/files"
	"fairway/internal/route"
)

// pairs holds the key pairs of the live table and rereads them when their files
// change. It is guarded by the engine's mutex.
type pairs struct {
	log   *slog.Logger
	known map[route.Certificate]*heldPair
}

type heldPair struct {
	pair  *plan.Pair
	stamp [2]files.Stamp // of the last try
}

// load returns the pairs of a configuration by path; those that are not known yet
// are read. Known ones stay as they were read last.
func (s *pairs) load(lists []render.CertList) (map[string]*plan.Pair, error) {
	byPath := map[string]*plan.Pair{}
	for _, l := range lists {
		for _, c := range l.Certificates {
			held := s.known[c.Pair]
			if held == nil {
				held = &heldPair{stamp: stampsOf(c.Pair)}
				var err error
				if held.pair, err = readPair(c.Pair); err != nil {
					return nil, fmt.Errorf("listener %s: %w", l.Listener, err)
				}
				s.known[c.Pair] = held
			}
			byPath[c.Path] = held.pair
		}
	}
	return byPath, nil
}

// reread looks at the files again and says whether a pair has changed. One that
// is broken now stays as it was.
func (s *pairs) reread() (changed bool) {
	for name, held := range s.known {
		was, now := held.stamp, stampsOf(name)
		if was[0].Holds(now[0]) && was[1].Holds(now[1]) {
			continue
		}
		held.stamp = now
		next, err := readPair(name)
		switch {
		case err != nil && (!was[0].Same(now[0]) || !was[1].Same(now[1])):
			s.log.Error("certificate cannot be reloaded, the old one stays", "file", name.CertFile, "error", err)
		case err == nil && !bytes.Equal(next.PEM, held.pair.PEM):
			s.log.Info("certificate reloaded", "file", name.CertFile)
			held.pair, changed = next, true
		}
	}
	return changed
}

// keep forgets the pairs that a configuration does not name.
func (s *pairs) keep(lists []render.CertList) {
	used := map[route.Certificate]bool{}
	for _, l := range lists {
		for _, c := range l.Certificates {
			used[c.Pair] = true
		}
	}
	maps.DeleteFunc(s.known, func(f route.Certificate, _ *heldPair) bool { return !used[f] })
}

// maxPair bounds the size of the files of a pair.
const maxPair = 4 << 20

// readPair reads and joins a pair; a certificate that its key does not fit, or has
// none, is an error.
func readPair(name route.Certificate) (*plan.Pair, error) {
	certPEM, err := files.Read(name.CertFile, maxPair)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	keyPEM := certPEM
	if name.KeyFile != name.CertFile {
		if keyPEM, err = files.Read(name.KeyFile, maxPair); err != nil {
			return nil, fmt.Errorf("certificate %s has no key: %w", name.CertFile, err)
		}
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name.CertFile, err)
	}
	joined := bytes.TrimRight(certPEM, "\n")
	if name.KeyFile != name.CertFile {
		joined = slices.Concat(joined, []byte("\n"), bytes.TrimRight(keyPEM, "\n"))
	}
	sum := sha1.Sum(cert.Certificate[0]) //nolint:gosec // see the import
	p := &plan.Pair{PEM: append(joined, '\n')}
	whole := sha256.Sum256(p.PEM)
	p.ID = strings.ToUpper(hex.EncodeToString(sum[:])) + "/" + hex.EncodeToString(whole[:8])
	names := cert.Leaf.DNSNames
	if len(names) == 0 && cert.Leaf.Subject.CommonName != "" {
		names = []string{cert.Leaf.Subject.CommonName}
	}
	for _, n := range names {
		p.Names = append(p.Names, strings.ToLower(n))
	}
	return p, nil
}

func stampsOf(pair route.Certificate) [2]files.Stamp {
	return [2]files.Stamp{files.StampOf(pair.CertFile), files.StampOf(pair.KeyFile)}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
