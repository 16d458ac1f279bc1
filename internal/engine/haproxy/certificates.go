package haproxy

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // HAProxy names certificates by it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"fairway/internal/engine/certs"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

// pairsOf returns the pairs of lists by path. Those that were joined before stay the same.
func (e *Engine) pairsOf(lists []render.CertList) (map[string]*plan.Pair, error) {
	byPath, joined := map[string]*plan.Pair{}, map[*certs.Pair]*plan.Pair{}
	for _, l := range lists {
		for _, c := range l.Certificates {
			read, err := e.certs.Pairs([]route.Certificate{c.Pair})
			if err != nil {
				return nil, fmt.Errorf("listener %s: %w", l.Listener, err)
			}
			p := e.joined[read[0]]
			if p == nil {
				p = join(read[0])
			}
			byPath[c.Path], joined[read[0]] = p, p
		}
	}
	e.joined = joined
	return byPath, nil
}

// join makes one file of a pair.
func join(p *certs.Pair) *plan.Pair {
	text := bytes.TrimRight(p.CertPEM, "\n")
	if !bytes.Equal(p.CertPEM, p.KeyPEM) {
		text = slices.Concat(text, []byte("\n"), bytes.TrimRight(p.KeyPEM, "\n"))
	}
	text = append(slices.Clip(text), '\n')
	leaf, whole := sha1.Sum(p.Certificate.Certificate[0]), sha256.Sum256(text) //nolint:gosec // see the import
	return &plan.Pair{
		PEM: text, Names: p.Names,
		ID: strings.ToUpper(hex.EncodeToString(leaf[:])) + "/" + hex.EncodeToString(whole[:8]),
	}
}

// authorities returns copies of the files of authorities that a table names: their
// paths, and what is in them. A file that is broken later does not keep HAProxy from starting.
func (e *Engine) authorities(t *route.Table) (copies map[string]string, contents map[string][]byte, err error) {
	copies, contents = map[string]string{}, map[string][]byte{}
	for _, l := range t.Listeners {
		if !l.TLS || l.ClientCAFile == "" {
			continue
		}
		a, err := e.certs.Authorities(l.ClientCAFile)
		if err != nil {
			return nil, nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		path := filepath.Join(e.opts.Dir, "authorities", digest([]byte(l.ClientCAFile))+".pem")
		copies[l.ClientCAFile], contents[path] = path, a.PEM
	}
	return copies, contents, nil
}

// digest is short, for a name.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
