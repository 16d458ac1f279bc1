package enginetest

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// tlsHostCases are hosts that demand more of a handshake than others.
func tlsHostCases() []goCase {
	cases := []goCase{
		{"a host without TLS", hostInClear},
		{"a session is worth nothing for another host", sessionElsewhere},
		{"the least version of hosts and listeners", leastVersions},
		{"protocols of a listener", offeredProtocols},
	}
	for _, p := range []string{"h1", "h2"} {
		cases = append(cases, goCase{"server name and host over " + p, func(w *world) { namesAndHosts(w, p) }})
	}
	return cases
}

// routeTLSHosts has three kinds of hosts: two that want a certificate of one authority, one
// that wants that of another, and the rest, which wants none.
const routeTLSHosts = `
tls: [open.example, bank.example, "*.bank.example"]
listeners:
  - name: https
    hosts:
      - {host: bank.example, clientCAFile: $DIR/one.pem, require: true}
      - {host: "*.bank.example", clientCAFile: $DIR/one.pem, require: true}
      - {host: vip.bank.example, clientCAFile: $DIR/two.pem, minVersion: "1.3", require: true}
routes:
  - {id: moved, host: bank.example, path: /moved, filters: [{redirectHTTPS: {}}], to: [e1]}
  - {id: own, host: bank.example, path: /own, filters: [{responseHeaders: {set: [{name: X-Own, value: yes}]}}], to: [e1]}
  - {id: moved-own, host: bank.example, path: /moved-own, filters: [{redirectHTTPS: {}}, {responseHeaders: {set: [{name: X-Own, value: yes}]}}], to: [e1]}
  - {id: any, to: [e1]}
`

// hostKinds say which hosts are of one kind: what certificate they want; empty for none.
var hostKinds = map[string]string{
	"": "", "open.example": "", "a.b.bank.example": "",
	"bank.example": "one", "x.bank.example": "one", "Y.Bank.Example": "one",
	"vip.bank.example": "two", "VIP.bank.example": "two",
}

// bankPairs makes key pairs of clients, and the files of their authorities.
func (w *world) bankPairs() map[string]tls.Certificate {
	w.Helper()
	pairs := map[string]tls.Certificate{}
	for _, name := range []string{"one", "two"} {
		pair, authority := w.clientPair(name)
		w.writeFile(name+".pem", string(authority))
		pairs[name] = pair
	}
	return pairs
}

// asServerName returns a client that asks for a server name (empty: for none) for any
// host, and shows the certificates whether they are asked for or not.
func (w *world) asServerName(protocol, name string, pairs ...tls.Certificate) *http.Client {
	w.Helper()
	if name == "" {
		name = "127.0.0.1" // which is none
	}
	config := &tls.Config{InsecureSkipVerify: true, ServerName: name}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(pairs) == 0 {
			return &tls.Certificate{}, nil
		}
		return &pairs[0], nil
	}
	if protocol == "h3" {
		return w.overQUIC(config)
	}
	c := w.client("https", protocol == "h2")
	c.Transport.(*http.Transport).TLSClientConfig = config
	return c
}

// ask sends a GET for a host, and says what came: a status, or "refused".
func (w *world) ask(c *http.Client, host, path string) string {
	w.Helper()
	url := "https://" + host + path
	if host == "" {
		url = "https://127.0.0.1" + path
	}
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "refused"
	}
	a := readAnswer(resp)
	if a.broken != nil {
		return "broken: " + a.broken.Error()
	}
	return fmt.Sprint(a.StatusCode)
}

// namesAndHosts: a handshake is judged by the server name, and a request that names a host
// of another kind is sent away, also with every certificate.
func namesAndHosts(w *world, protocol string) {
	pairs := w.bankPairs()
	w.apply(routeTLSHosts)
	names := slices.Sorted(maps.Keys(hostKinds))
	for _, name := range names {
		for _, shown := range []string{"", "one", "two"} {
			var certificates []tls.Certificate
			if shown != "" {
				certificates = append(certificates, pairs[shown])
			}
			c := w.asServerName(protocol, name, certificates...)
			for _, host := range names {
				want := "421"
				switch {
				case hostKinds[name] != "" && hostKinds[name] != shown:
					want = "refused"
				case hostKinds[name] == hostKinds[host]:
					want = "200"
				}
				if got := w.ask(c, host, "/"); got != want {
					w.Errorf("%s: server name %q, certificate %q, host %q: %s, want %s", protocol, name, shown, host, got, want)
				}
			}
			c.CloseIdleConnections()
		}
	}
	for _, s := range w.log.since(0) {
		if kind := hostKinds[s.Host]; kind != "" && !strings.Contains(s.Host, "bank") {
			w.Errorf("an endpoint saw a request for %s", s.Host)
		}
	}
}

// hostInClear: a host that demands certificates is not served without TLS, but its clients
// are sent to where it is. Others are.
func hostInClear(w *world) {
	w.bankPairs()
	w.apply(routeTLSHosts)
	for url, want := range map[string]int{
		"http://bank.example/": 403, "http://BANK.example:80/": 403, "http://x.bank.example/": 403, "http://bank.example/own": 403,
		"http://bank.example/moved": 301, "http://bank.example/moved-own": 301,
		"http://open.example/": 200, "http://a.b.bank.example/": 200,
	} {
		if a := w.get(url); a.StatusCode != want {
			w.Errorf("%s: %d, want %d", url, a.StatusCode, want)
		}
	}
}

// anySession is a cache that has one session for every server.
type anySession struct{ session *tls.ClientSessionState }

// Get is tls.ClientSessionCache's.
func (s *anySession) Get(string) (*tls.ClientSessionState, bool) { return s.session, s.session != nil }

// Put is tls.ClientSessionCache's.
func (s *anySession) Put(_ string, session *tls.ClientSessionState) {
	if session != nil && s.session == nil {
		s.session = session
	}
}

// sessionElsewhere: who resumes a session of another host has no more rights than without.
func sessionElsewhere(w *world) {
	pairs := w.bankPairs()
	w.apply(routeTLSHosts)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, from := range []struct{ name, shown string }{{"open.example", ""}, {"bank.example", "one"}, {"vip.bank.example", "two"}} {
			if from.name == "vip.bank.example" && version == tls.VersionTLS12 {
				continue
			}
			cache := &anySession{}
			with := func(name string, shown ...tls.Certificate) *http.Client {
				c := w.asServerName("h1", name, shown...)
				config := c.Transport.(*http.Transport).TLSClientConfig
				config.ClientSessionCache, config.MaxVersion = cache, version
				return c
			}
			var shown []tls.Certificate
			if from.shown != "" {
				shown = append(shown, pairs[from.shown])
			}
			if got := w.ask(with(from.name, shown...), from.name, "/"); got != "200" {
				w.Fatalf("%s with its certificate: %s", from.name, got)
			}
			for _, to := range []string{"bank.example", "vip.bank.example", "open.example"} {
				want := []string{"refused", "403", "421"}
				switch {
				case to == from.name:
					want = []string{"200", "refused"} // an engine need not give sessions
				case hostKinds[to] == "":
					want = []string{"200", "421"} // of TLS 1.2 a session may hold its name
				}
				if got := w.ask(with(to), to, "/"); !slices.Contains(want, got) {
					w.Errorf("%s: a session of %s for %s: %s, want %v", tls.VersionName(version), from.name, to, got, want)
				}
			}
		}
	}
}

func leastVersions(w *world) {
	w.apply(`
tls: [a.example]
listeners: [{name: https, hosts: [{host: "*.strict.example", minVersion: "1.3"}]}]
routes: [{id: any, to: [e1]}]
`)
	version := func(name string, most uint16) bool {
		conn := tls.Client(w.dial("https"), &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: most})
		return conn.HandshakeContext(w.Context()) == nil
	}
	for name, fine := range map[string]bool{"a.example": true, "x.strict.example": false, "strict.example": true} {
		if got := version(name, tls.VersionTLS12); got != fine {
			w.Errorf("TLS 1.2 for %s: %v, want %v", name, got, fine)
		}
	}
	w.apply(`
tls: [a.example]
listeners: [{name: https, tlsOptions: {minVersion: "1.3"}, hosts: [{host: x.example, minVersion: "1.2"}]}]
routes: [{id: any, to: [e1]}]
`)
	for _, name := range []string{"a.example", "x.example"} {
		w.eventually("TLS 1.2 is refused for "+name, func() bool { return !version(name, tls.VersionTLS12) })
		if !version(name, tls.VersionTLS13) {
			w.Errorf("TLS 1.3 is refused for %s", name)
		}
	}
}

func offeredProtocols(w *world) {
	w.apply(`
tls: [a.example]
listeners: [{name: https, tlsOptions: {alpn: [http/1.1], curves: [P-256]}}]
routes: [{id: any, to: [e1]}]
`)
	conn := w.dialTLS("a.example", "h2", "http/1.1")
	if s := conn.ConnectionState(); s.NegotiatedProtocol != "http/1.1" || s.CurveID != tls.CurveP256 {
		w.Errorf("protocol %q, curve %v", s.NegotiatedProtocol, s.CurveID)
	}
}
