package acme

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fairway/internal/acme/ca"
	"fairway/internal/atomicfile"
	"fairway/internal/catalog"
	"fairway/internal/engine/certs"
	"fairway/internal/files"
)

const (
	suffix         = ".pem"
	wildcardPrefix = "+."
	stateFile      = "state.json"
	// placeholderFile is published first. No host has a plus in it.
	placeholderFile = "+placeholder" + suffix
	maxFile         = 1 << 20
	maxState        = 16 << 20
)

// fileOf is the file with the certificate of a host, which is canonical.
func (k *Keeper) fileOf(host string) string {
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		host = wildcardPrefix + rest
	}
	return filepath.Join(k.live, host+suffix)
}

// hostOf is the host of a file; empty for others.
func hostOf(file string) string {
	host, ok := strings.CutSuffix(file, suffix)
	if rest, wildcard := strings.CutPrefix(host, wildcardPrefix); ok && wildcard {
		return "*." + rest
	}
	if !ok || host == "" || host[0] == '.' || host[0] == '+' {
		return ""
	}
	return host
}

// open makes the directories and reads what is in them.
func (k *Keeper) open(now time.Time) error {
	if err := os.MkdirAll(k.live, 0o700); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	if err := os.Chmod(k.o.Dir, 0o700); err != nil { // certificates of others may be below it
		return fmt.Errorf("acme: %w", err)
	}
	if err := k.makePlaceholder(); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	entries, err := os.ReadDir(k.live)
	if err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	k.state = &state{names: map[string]*name{}, directory: k.o.Directory}
	for _, e := range entries {
		host := hostOf(e.Name())
		if host == "" || len(k.state.names) >= MaxNames {
			continue
		}
		has, err := readHeld(k.fileOf(host))
		switch {
		case err != nil:
			k.log.Error("a certificate that was obtained cannot be read, and is obtained again", "name", host, "error", err)
		case !has.notAfter.After(now):
			_ = os.Remove(k.fileOf(host)) // it is of no use
		default:
			k.state.names[host] = &name{host: host, has: has}
		}
	}
	k.loadState(now)
	return nil
}

// readBundle reads a certificate file.
func readBundle(file string) (*ca.Bundle, *x509.Certificate, error) {
	data, err := files.Read(file, maxFile)
	if err != nil {
		return nil, nil, err
	}
	b := &ca.Bundle{CertPEM: data, KeyPEM: data}
	leaf, err := b.Leaf()
	return b, leaf, err
}

func readHeld(file string) (*held, error) {
	_, leaf, err := readBundle(file)
	if err != nil {
		return nil, err
	}
	return heldOf(file, leaf), nil
}

func heldOf(file string, leaf *x509.Certificate) *held {
	return &held{file: file, notBefore: leaf.NotBefore, notAfter: leaf.NotAfter, issuer: cmp.Or(leaf.Issuer.CommonName, strings.Join(leaf.Issuer.Organization, ", "), "unnamed")}
}

// write keeps a certificate for the engines, for its owner alone.
func (k *Keeper) write(host string, b *ca.Bundle) (*held, error) {
	leaf, err := b.Leaf()
	if err != nil {
		return nil, err
	}
	file := k.fileOf(host)
	if err := atomicfile.Write(file, b.PEM(), 0o600); err != nil {
		return nil, err
	}
	return heldOf(file, leaf), nil
}

// publish makes the certificates known to the source.
func (k *Keeper) publish() {
	list := []catalog.Certificate{{File: filepath.Join(k.live, placeholderFile), Source: Name}}
	for _, host := range slices.Sorted(maps.Keys(k.state.names)) {
		if has := k.state.names[host].has; has != nil {
			list = append(list, catalog.Certificate{File: has.file, Source: Name, Name: host})
		}
	}
	k.certs.Store(&list)
}

// makePlaceholder makes the certificate that answers clients who ask for a host that has
// none: a listener with TLS must have one, also before the first has come.
func (k *Keeper) makePlaceholder() error {
	file := filepath.Join(k.live, placeholderFile)
	if _, err := readHeld(file); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: certs.Placeholder},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	), 0o600)
}

// saved is what outlives the process of the state: so that starts one after the other
// order no more than one run would.
type saved struct {
	Names    map[string]savedName `json:"names"`
	Issuer   savedTrouble         `json:"issuer,omitzero"`
	Own      bool                 `json:"ownReported,omitempty"`
	Admitted []time.Time          `json:"admitted,omitempty"`
}

type savedName struct {
	Orders   []time.Time  `json:"orders,omitempty"`
	Trouble  savedTrouble `json:"trouble,omitzero"`
	From     time.Time    `json:"from,omitzero"`
	To       time.Time    `json:"to,omitzero"`
	Ask      time.Time    `json:"ask,omitzero"`
	Source   string       `json:"source,omitempty"` // of the certificate
	Demanded time.Time    `json:"demanded,omitzero"`
}

type savedTrouble struct {
	Kind     ca.Kind   `json:"kind"`
	Failures int       `json:"failures"`
	Text     string    `json:"text"`
	Since    time.Time `json:"since"`
	Next     time.Time `json:"next"`
	Reported bool      `json:"reported,omitempty"`
}

func (t *trouble) saved() savedTrouble {
	return savedTrouble{t.kind, t.failures, t.text, t.since, t.next, t.reported}
}

func (t savedTrouble) load() trouble {
	return trouble{kind: t.Kind, failures: t.Failures, text: t.Text, since: t.Since, next: t.Next, reported: t.Reported}
}

// save writes the state; one that cannot be written is logged.
func (k *Keeper) save() {
	s := saved{Names: map[string]savedName{}, Issuer: k.state.issuer.saved(), Own: k.state.ownReported, Admitted: k.state.admitted}
	for host, n := range k.state.names {
		one := savedName{Orders: n.orders, Trouble: n.trouble.saved(), From: n.from, To: n.to, Ask: n.ask, Demanded: n.demanded}
		if n.has != nil {
			one.Source = n.has.source
		}
		if len(n.orders) > 0 || n.trouble.failures > 0 || !n.to.IsZero() || one.Source != "" || !n.demanded.IsZero() {
			s.Names[host] = one
		}
	}
	k.unsaved = false
	data, err := json.Marshal(s)
	if err == nil {
		err = atomicfile.Write(filepath.Join(k.o.Dir, stateFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		k.log.Error("the state of orders cannot be written", "error", err)
	}
}

// loadState adds what was saved to the names. What is in the future of a clock that was put
// back is not waited for longer than the policy would.
func (k *Keeper) loadState(now time.Time) {
	data, err := files.Read(filepath.Join(k.o.Dir, stateFile), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		k.log.Error("the state of orders cannot be read, and begins anew", "error", err)
		return
	}
	past := func(t time.Time) bool { return t.After(now) }
	for host, kept := range s.Names {
		n := k.state.names[host]
		if n == nil && len(k.state.names) < 2*MaxNames {
			n = &name{host: host}
			k.state.names[host] = n
		}
		if n == nil {
			continue
		}
		n.orders = recent(slices.DeleteFunc(kept.Orders, past), now)
		n.trouble, n.from, n.to, n.ask, n.demanded = kept.Trouble.load(), kept.From, kept.To, kept.Ask, kept.Demanded
		if n.has != nil {
			n.has.source = kept.Source
		}
		if latest := now.Add(24 * time.Hour); n.trouble.next.After(latest) {
			n.trouble.next = latest
		}
		if latest := now.Add(24 * time.Hour); n.ask.After(latest) {
			n.ask = latest
		}
	}
	k.state.issuer, k.state.ownReported = s.Issuer.load(), s.Own
	k.state.admitted = slices.DeleteFunc(s.Admitted, past)
	if latest := now.Add(maxRetry); k.state.issuer.next.After(latest) {
		k.state.issuer.next = latest
	}
}
