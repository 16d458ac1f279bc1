// Package handshake writes what HAProxy has to know of TLS handshakes: the options of binds,
// the lists of certificates for hosts that demand more than others, and the rules that
// refuse a request on a connection that was made for a host with other demands.
package handshake

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/engine/certs"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
)

// Authorities returns copies of the files of authorities that listeners name: their paths
// below dir, and what is in them by path. A file that is broken later does not keep HAProxy
// from starting.
func Authorities(store *certs.Store, dir string, listeners []route.Listener) (copies map[string]string, contents map[string][]byte, err error) {
	copies, contents = map[string]string{}, map[string][]byte{}
	for i := range listeners {
		l := &listeners[i]
		if !l.TLS {
			continue
		}
		for _, h := range slices.Concat(l.Hosts, []tlsoption.Host{{ClientCAFile: l.ClientCAFile}}) {
			if h.ClientCAFile == "" {
				continue
			}
			a, err := store.Authorities(h.ClientCAFile)
			if err != nil {
				return nil, nil, fmt.Errorf("listener %s: %w", l.Name, err)
			}
			sum := sha256.Sum256([]byte(h.ClientCAFile))
			path := filepath.Join(dir, "authorities", hex.EncodeToString(sum[:8])+".pem")
			copies[h.ClientCAFile], contents[path] = path, a.PEM
		}
	}
	return copies, contents, nil
}

// version is HAProxy's word for one.
func version(min string) string {
	return cmp.Or(map[string]string{tlsoption.Version13: "TLSv1.3"}[min], "TLSv1.2")
}

// Bind returns the words of a bind with TLS behind its address. list is the path of its
// crt-list.
func Bind(l *route.Listener, list string, copies map[string]string) string {
	o := &l.TLSOptions
	words := " ssl crt-list " + quote.Word(list) + " alpn " + cmp.Or(strings.Join(o.ALPN, ","), tlsoption.HTTP2+","+tlsoption.HTTP11)
	if o.MinVersion != "" {
		words += " ssl-min-ver " + version(o.MinVersion)
	}
	if len(o.Curves) > 0 {
		words += " curves " + strings.Join(o.Curves, ":")
	}
	if !slices.ContainsFunc(l.Certificates, func(c route.Certificate) bool { return c.Host == "" }) {
		words += " strict-sni" // none answers for names that are not its own
	}
	if AsksHosts(l.Hosts) {
		words += " no-tls-tickets"
	}
	if l.ClientCAFile != "" {
		words += " ca-file " + quote.Word(cmp.Or(copies[l.ClientCAFile], l.ClientCAFile)) + " verify optional"
	}
	return words
}

// AsksHosts says whether clients are asked for certificates host by host. HAProxy would take
// a session of one host for another, with the certificate that was good there: it may have
// no tickets then, and tune.ssl.cachesize has to be 0.
func AsksHosts(hosts []tlsoption.Host) bool {
	return slices.ContainsFunc(hosts, func(h tlsoption.Host) bool { return h.ClientCAFile != "" })
}

// options are those of a line in a crt-list, for what a host demands.
func options(h, listener tlsoption.Host, copies map[string]string) string {
	words := ""
	if h.MinVersion != "" {
		words += " ssl-min-ver " + version(max(h.MinVersion, listener.MinVersion))
	}
	if h.ClientCAFile != "" {
		verify := "optional"
		if h.Require {
			verify = "required"
		}
		words += " verify " + verify + " ca-file " + copies[h.ClientCAFile] // these lists know no quotes
	}
	if words == "" {
		return ""
	}
	return " [" + words[1:] + "]"
}

// Pair is a key pair of a listener.
type Pair struct {
	// Path is where HAProxy has it.
	Path string
	// Host is the one that it is bound to; empty for all that it names.
	Host string
	// Names are those in the certificate, in lower case.
	Names []string
}

// List returns the crt-list of a listener with Hosts, of its pairs in order.
//
// Every name stands in a line with the options of its host: HAProxy chooses the line by
// server name and kind of key, and takes the options of the line. So a host that demands
// something has a line for each pair that may answer for it. A pair that is bound to a host
// stands before others; the first line is for clients that ask for no name that is known.
// What a certificate names that is no host is left out: it could be lines of its own.
func List(l *route.Listener, pairs []Pair, copies map[string]string) []byte {
	hosts, listener := tlsoption.NewHosts(l.Hosts), tlsoption.Host{MinVersion: l.TLSOptions.MinVersion}
	var list []byte
	line := func(path string, h tlsoption.Host, names ...string) {
		list = fmt.Appendf(list, "%s%s %s\n", path, options(h, listener, copies), strings.Join(names, " "))
	}
	first := slices.IndexFunc(pairs, func(p Pair) bool { return p.Host == "" })
	if first >= 0 {
		line(pairs[first].Path, tlsoption.Host{}, "!*")
	}
	all := slices.Clone(pairs)
	slices.SortStableFunc(all, func(a, b Pair) int { return cmp.Compare(len(b.Host), len(a.Host)) })
	for i := range all {
		p := &all[i]
		if p.Host != "" {
			p.Names = []string{p.Host}
		}
		p.Names = slices.DeleteFunc(slices.Clone(p.Names), func(n string) bool { return tlsoption.Host{Host: n}.Check() != nil })
		kinds, byKind := []tlsoption.Host{}, map[tlsoption.Host][]string{}
		for _, name := range p.Names {
			h := hosts.Of(name)
			h.Host = ""
			if byKind[h] == nil {
				kinds = append(kinds, h)
			}
			byKind[h] = append(byKind[h], name)
		}
		for _, h := range kinds {
			line(p.Path, h, byKind[h]...)
		}
	}
	for _, h := range l.Hosts {
		_, parent, _ := strings.Cut(h.Host, ".")
		exact, answered := !strings.HasPrefix(h.Host, "*."), false
		for _, p := range all {
			own := slices.Contains(p.Names, h.Host)
			if exact && !own && slices.Contains(p.Names, "*."+parent) {
				line(p.Path, h, h.Host)
				own = true
			}
			answered = answered || own
		}
		if !answered && first >= 0 {
			line(pairs[first].Path, h, h.Host)
		}
	}
	return list
}

// Variables that the rules set.
const (
	varKind     = "tls"        // what the server name demands, in sess; what the host does, in txn
	varDemanded = "txn.demand" // a certificate is demanded, and the client has shown none
)

// Demanded and NotDemanded are conditions whether the host of a request wants a certificate
// that its client has not shown.
const (
	Demanded    = "{ var(" + varDemanded + ") -m found }"
	NotDemanded = "!" + Demanded
)

// Rules are for hosts that demand something; nil for none.
type Rules struct {
	hosts    []tlsoption.Host
	kinds    map[tlsoption.Host]string
	required []string
}

// NewRules makes the rules for hosts.
func NewRules(hosts []tlsoption.Host) *Rules {
	if len(hosts) == 0 {
		return nil
	}
	r := &Rules{kinds: map[tlsoption.Host]string{{}: "0"}}
	for _, wild := range []bool{true, false} { // the later rule counts
		for _, h := range hosts {
			if strings.HasPrefix(h.Host, "*.") != wild {
				continue
			}
			r.hosts = append(r.hosts, h)
			h.Host = ""
			if r.kinds[h] == "" {
				r.kinds[h] = strconv.Itoa(len(r.kinds))
				if h.Require {
					r.required = append(r.required, r.kinds[h])
				}
			}
		}
	}
	return r
}

// Session are the rules of a listener with TLS. A name with a dot at its end is none that
// is known, as in the list of certificates.
func (r *Rules) Session() []string {
	if r == nil {
		return nil
	}
	return r.rules("tcp-request session set-var(sess."+varKind+")", "ssl_fc_sni,lower")
}

// Requests are the rules for requests on all listeners, once the host is known: a request
// that came on the wrong connection gets the error "misdirected".
func (r *Rules) Requests() []string {
	if r == nil {
		return nil
	}
	lines := r.rules("http-request set-var(txn."+varKind+")", "var(txn.host)")
	lines = append(lines, "http-request set-var(txn.err,ifnotexists) str(misdirected) if { var(sess."+varKind+") -m found } "+
		"!{ var(sess."+varKind+"),strcmp(txn."+varKind+") eq 0 }")
	for _, kind := range r.required {
		lines = append(lines, "http-request set-var("+varDemanded+") bool(true) if { var(txn."+varKind+") -m str "+kind+" } !{ ssl_c_used }")
	}
	return lines
}

func (r *Rules) rules(set, name string) []string {
	lines := []string{set + " str(0)"}
	for _, h := range r.hosts {
		value, expression := h.Host, name
		if rest, wild := strings.CutPrefix(h.Host, "*"); wild {
			value, expression = rest, name+",regsub(^[^.]*,)"
		}
		h.Host = ""
		lines = append(lines, fmt.Sprintf("%s str(%s) if { %s -m str -- %s }", set, r.kinds[h], expression, quote.Word(value)))
	}
	return lines
}
