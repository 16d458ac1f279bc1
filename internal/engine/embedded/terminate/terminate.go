// Package terminate is how listeners end TLS: which certificate a server name gets, what
// is demanded of its handshake, and the keys of session tickets.
package terminate

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/certs"
	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
)

// TLS is what a listener shows to its clients, and asks of them. It stays the same for as
// long as the table names the same files and options, and with it the keys of session
// tickets. Connections that are open go on with what they began with. Its methods may be
// called from any goroutine.
type TLS struct {
	def    route.Listener
	auto   Automatic
	hosts  *tlsoption.Hosts
	views  map[tlsoption.Host]*view // by what hosts demand, beside their names
	config *tls.Config

	filling sync.Mutex // the newest content is stored last
}

// HTTP3 is the one protocol over QUIC.
const HTTP3 = "h3"

// view is what the hosts see that demand the same. Each has its own ticket keys: a session
// is worth nothing for a host that demands something else.
type view struct {
	base      *tls.Config
	authority string // the file of those that issue the certificates of clients; empty: none
	tickets   tickets
	current   atomic.Pointer[tls.Config] // base with what the files hold
	quic      atomic.Pointer[tls.Config] // likewise, for HTTP/3
}

// Automatic are certificates that no file has at the time of a handshake. Both functions may be nil.
type Automatic struct {
	// Challenge is the certificate that answers an authority that asks by TLS-ALPN-01 (RFC
	// 8737) whether a host is ours.
	Challenge func(ctx context.Context, host string) (*tls.Certificate, error)
	// Demand gets one for a server name that has none; nil where none can be had.
	Demand func(ctx context.Context, host string) *tls.Certificate
	// Within bounds Demand over TCP, less than a handshake may take. Over QUIC, where
	// handshakes have no other bound, half of it does.
	Within time.Duration
}

// ChallengeProtocol is what such a client speaks, and nothing else: it is done once the
// handshake is.
const ChallengeProtocol = "acme-tls/1"

// answer is what such a client sees; nil for all others.
func (a Automatic) answer(hello *tls.ClientHelloInfo) *tls.Config {
	if a.Challenge == nil || len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != ChallengeProtocol {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: hello.SupportedProtos,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.Challenge(hello.Context(), strings.ToLower(strings.TrimSuffix(hello.ServerName, ".")))
		},
	}
}

// New reads the files that a listener names, as far as they are not known.
func New(store *certs.Store, def route.Listener, auto Automatic) (*TLS, error) {
	if len(def.Certificates) == 0 {
		return nil, errors.New("no certificate for TLS")
	}
	t := &TLS{def: def, auto: auto, hosts: tlsoption.NewHosts(def.Hosts), views: map[tlsoption.Host]*view{}}
	for _, h := range slices.Concat(def.Hosts, []tlsoption.Host{{}}) {
		if h.Host = ""; t.views[h] == nil {
			t.views[h] = newView(def, h)
		}
	}
	t.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return cmp.Or(auto.answer(hello), t.of(hello.ServerName).current.Load()), nil
		},
	}
	return t, t.Fill(store)
}

func newView(def route.Listener, h tlsoption.Host) *view {
	v := &view{authority: cmp.Or(h.ClientCAFile, def.ClientCAFile)}
	v.base = &tls.Config{
		MinVersion: max(tlsoption.Version(def.TLSOptions.MinVersion), tlsoption.Version(h.MinVersion)),
		NextProtos: []string{tlsoption.HTTP2, tlsoption.HTTP11},
	}
	if len(def.TLSOptions.ALPN) > 0 {
		v.base.NextProtos = def.TLSOptions.ALPN
	}
	for _, name := range def.TLSOptions.Curves {
		v.base.CurvePreferences = append(v.base.CurvePreferences, tlsoption.Curve(name))
	}
	switch {
	case h.Require:
		v.base.ClientAuth = tls.RequireAndVerifyClientCert
	case v.authority != "":
		v.base.ClientAuth = tls.VerifyClientCertIfGiven
	}
	v.tickets.turn(time.Now())
	return v
}

// IsOf reports whether t, which may be nil, is what the listener names.
func (t *TLS) IsOf(def route.Listener) bool {
	return t != nil && slices.Equal(t.def.Certificates, def.Certificates) && t.def.ClientCAFile == def.ClientCAFile &&
		t.def.TLSOptions.Equal(def.TLSOptions) && slices.Equal(t.def.Hosts, def.Hosts)
}

// Config is for handshakes over TCP.
func (t *TLS) Config() *tls.Config { return t.config }

// QUIC is for a handshake over QUIC in which the client asks for a server name.
func (t *TLS) QUIC(serverName string) *tls.Config { return t.of(serverName).quic.Load() }

// of is what a client sees that asks for a server name.
func (t *TLS) of(serverName string) *view {
	h := t.hosts.Of(serverName)
	h.Host = ""
	return t.views[h]
}

// Fill takes what the files of the store hold now; nil has none.
func (t *TLS) Fill(store *certs.Store) error {
	if t == nil {
		return nil
	}
	t.filling.Lock()
	defer t.filling.Unlock()
	pairs, err := store.Pairs(t.def.Certificates)
	if err != nil {
		return err
	}
	n := &names{auto: t.auto, certs: map[string]*tls.Certificate{}}
	for _, bound := range []bool{true, false} {
		for i, p := range pairs {
			if p == nil || bound != (t.def.Certificates[i].Host != "") {
				continue
			}
			if !bound && n.first == nil {
				n.first = p.Certificate
			}
			for _, name := range p.Names {
				if n.certs[name] == nil {
					n.certs[name] = p.Certificate
				}
			}
		}
	}
	for _, v := range t.views {
		if err := v.fill(store, n); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) fill(store *certs.Store, n *names) error {
	next := v.base.Clone()
	next.GetCertificate = n.find(n.auto.Within)
	if v.authority != "" {
		issuers, err := store.Authorities(v.authority)
		if err != nil {
			return err
		}
		next.ClientCAs = issuers.Pool
	}
	next.SetSessionTicketKeys(v.tickets.keys)
	v.current.Store(next)
	over := next.Clone()
	over.GetCertificate = n.find(n.auto.Within / 2)
	over.MinVersion, over.NextProtos = tls.VersionTLS13, []string{HTTP3}
	over.SetSessionTicketKeys(v.tickets.keys)
	v.quic.Store(over)
	return nil
}

// Turn gives session tickets new keys where theirs are a day old; nil has none.
func (t *TLS) Turn(now time.Time) {
	if t == nil {
		return
	}
	t.filling.Lock()
	defer t.filling.Unlock()
	for _, v := range t.views {
		if v.tickets.turn(now) {
			v.current.Load().SetSessionTicketKeys(v.tickets.keys)
			v.quic.Load().SetSessionTicketKeys(v.tickets.keys)
		}
	}
}

// tickets are the keys of session tickets, newest first: one issues tickets for a day, and
// they are taken for another.
type tickets struct {
	keys [][32]byte
	at   time.Time // of the newest
}

const ticketDay = 24 * time.Hour

// turn makes a new key where the newest is too old, and reports whether it did.
func (t *tickets) turn(now time.Time) bool {
	if now.Sub(t.at) < ticketDay {
		return false
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	kept := t.keys
	if len(kept) > 0 && now.Sub(t.at) >= 2*ticketDay { // the machine has slept
		kept = nil
	}
	t.keys, t.at = append([][32]byte{key}, kept[:min(len(kept), 1)]...), now
	return true
}

// names finds the certificate for a server name.
type names struct {
	first *tls.Certificate            // nil for none that answers for other names
	certs map[string]*tls.Certificate // lower case; wildcards with their "*."
	auto  Automatic                   // for other names
}

// find is tls.Config's GetCertificate: the exact name first, then the wildcard, then
// what can be had on demand within a time, else the first certificate, if there is one. It grants
// nothing: the host of the request alone chooses routes.
func (n *names) find(within time.Duration) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
		if cert := n.certs[name]; cert != nil {
			return cert, nil
		}
		if _, parent, ok := strings.Cut(name, "."); ok {
			if cert := n.certs["*."+parent]; cert != nil {
				return cert, nil
			}
		}
		if n.auto.Demand != nil && name != "" {
			ctx, cancel := context.WithTimeout(hello.Context(), within)
			defer cancel()
			if cert := n.auto.Demand(ctx, name); cert != nil {
				return cert, nil
			}
		}
		return n.first, nil
	}
}
