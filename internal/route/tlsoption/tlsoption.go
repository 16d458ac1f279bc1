// Package tlsoption is what TLS handshakes must have: of a listener, and of single hosts.
package tlsoption

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/route/canonical"
)

// Options are what a listener offers in handshakes. The zero value is what is usual today:
// TLS 1.2 and 1.3, the key exchanges of the engine, HTTP/2 and HTTP/1.1.
type Options struct {
	// MinVersion is 1.2 or 1.3; empty means 1.2.
	MinVersion string `json:"minVersion,omitempty"`
	// Curves are the key exchanges, by the names of Curves; none means those of the engine.
	Curves []string `json:"curves,omitempty"`
	// ALPN are h2 and http/1.1, or one of them; none means both.
	ALPN []string `json:"alpn,omitempty"`
}

// The versions that can be demanded.
const (
	Version12 = "1.2"
	Version13 = "1.3"
)

// The protocols over TCP, by their names in handshakes.
const (
	HTTP2  = "h2"
	HTTP11 = "http/1.1"
)

// Hybrid is the key exchange that holds against quantum computers, too.
const Hybrid = "X25519MLKEM768"

// Curve returns the key exchange with a name; 0 for one that is not known.
func Curve(name string) tls.CurveID {
	switch name {
	case Hybrid:
		return tls.X25519MLKEM768
	case "X25519":
		return tls.X25519
	case "P-256":
		return tls.CurveP256
	case "P-384":
		return tls.CurveP384
	case "P-521":
		return tls.CurveP521
	}
	return 0
}

// Curves are the names of the key exchanges, best first.
func Curves() []string { return []string{Hybrid, "X25519", "P-256", "P-384", "P-521"} }

// Equal says whether both ask for the same.
func (o Options) Equal(other Options) bool {
	return o.MinVersion == other.MinVersion && slices.Equal(o.Curves, other.Curves) && slices.Equal(o.ALPN, other.ALPN)
}

// Check finds what no handshake can have.
func (o Options) Check() error {
	if err := checkVersion(o.MinVersion); err != nil {
		return err
	}
	for _, name := range o.Curves {
		if Curve(name) == 0 {
			return fmt.Errorf("the curve %q is not known: it is one of %s", name, strings.Join(Curves(), ", "))
		}
	}
	for _, p := range o.ALPN {
		if p != HTTP2 && p != HTTP11 {
			return fmt.Errorf("the protocol %q is not known: it is h2 or http/1.1", p)
		}
	}
	return nil
}

func checkVersion(v string) error {
	if v != "" && v != Version12 && v != Version13 {
		return fmt.Errorf("the version %q is not served: it is 1.2 or 1.3", v)
	}
	return nil
}

// Version is a minimum as package crypto/tls has it.
func Version(min string) uint16 {
	if min == Version13 {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// Host is what handshakes for a host must have beside the options of the listener.
type Host struct {
	// Host is a name in canonical form, or "*." and the name above it, as in certificates.
	Host string `json:"host"`
	// MinVersion is 1.2 or 1.3; empty means that of the listener.
	MinVersion string `json:"minVersion,omitempty"`
	// ClientCAFile is a PEM file of authorities, reread when it changes: clients are asked
	// for a certificate. Empty means that of the listener.
	ClientCAFile string `json:"clientCAFile,omitempty"`
	// Require refuses clients without a certificate; it needs ClientCAFile. Requests for the
	// host that come without TLS are refused as well, unless they are redirected to HTTPS.
	Require bool `json:"require,omitempty"`
}

// Check finds what no host can have.
func (h Host) Check() error {
	name := strings.TrimPrefix(h.Host, "*.")
	if own, err := canonical.Host(name); err != nil || own != name || strings.Contains(name, ":") {
		return fmt.Errorf("host %q: a name such as bank.example or *.bank.example is needed", h.Host)
	}
	if h.Require && h.ClientCAFile == "" {
		return fmt.Errorf("host %s: certificates are demanded, and no authority is named", h.Host)
	}
	return checkVersion(h.MinVersion)
}

// Canonical returns a host as Host has it, of one that a person has written.
func Canonical(host string) (string, error) {
	rest, wild := strings.CutPrefix(host, "*.")
	if strings.Contains(rest, "*") {
		return "", errors.New("a wildcard is the whole first label, and stands for one: *.bank.example")
	}
	name, err := canonical.Host(rest)
	if err == nil && wild {
		name = "*." + name
	}
	return name, err
}

// demands are h without the host that it is for: hosts with equal demands share connections.
func (h Host) demands() Host {
	h.Host = ""
	return h
}

// Demands says in words what h demands beside the listener; "nothing" for nothing.
func (h Host) Demands() string {
	var all []string
	switch {
	case h.Require:
		all = append(all, "a client certificate of "+h.ClientCAFile)
	case h.ClientCAFile != "":
		all = append(all, "no client certificate but of "+h.ClientCAFile)
	}
	if h.MinVersion != "" {
		all = append(all, "TLS "+h.MinVersion+" at least")
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " and ")
}

// Hosts finds what is demanded for a host; nil demands nothing of any. It is immutable.
type Hosts struct{ byName map[string]Host }

// NewHosts makes a list ready to be asked; nil of an empty one. The first entry of a host counts.
func NewHosts(list []Host) *Hosts {
	if len(list) == 0 {
		return nil
	}
	hosts := &Hosts{byName: make(map[string]Host, len(list))}
	for _, h := range list {
		if _, ok := hosts.byName[h.Host]; !ok {
			hosts.byName[h.Host] = h
		}
	}
	return hosts
}

// Of returns what a host demands: the entry with its name, else the wildcard above it, else
// the zero Host. The name is canonical, or a server name as a client sent it.
func (h *Hosts) Of(name string) Host {
	if h == nil {
		return Host{}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if own, ok := h.byName[name]; ok {
		return own
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return h.byName["*."+parent]
	}
	return Host{}
}

// Misdirected says whether a request for a host came over a connection that was made for a
// server name with other demands (RFC 9110, 15.5.20).
func (h *Hosts) Misdirected(serverName, host string) bool {
	return h != nil && h.Of(serverName).demands() != h.Of(host).demands()
}
