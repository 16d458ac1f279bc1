package render

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// defaultProfile is the profile of a backend that asks for nothing special.
const defaultProfile = "plain"

// profile is what sections that can stand for each other have in common, without what
// is said for each server (TLS, checks, weights).
type profile struct {
	name    string
	mode    string // http or tcp
	balance route.Balance
	sticky  string
	// domain and sameSite are those of the sticky cookie.
	domain   string
	sameSite route.SameSite
	health   route.Health  // its timeout is zero where nothing is checked
	tunnel   time.Duration // of connections that are passed through
}

// profileOf is the profile that a backend needs. Its name follows from what is in it.
func profileOf(b *route.Backend, idle time.Duration) profile {
	p := profile{mode: "http", balance: b.Balance, sticky: b.Sticky, domain: b.StickyDomain, sameSite: b.StickySameSite}
	if b.Scheme == route.SchemeTCP {
		p = profile{mode: "tcp", balance: b.Balance, tunnel: idle}
	}
	p.balance.Policy = cmp.Or(p.balance.Policy, route.BalanceRoundRobin)
	if h := b.Health; h != nil {
		p.health.Timeout = cmp.Or(max(h.Timeout, 0), defaultCheckTimeout)
		if p.mode == "http" {
			// One that is no path was refused before, see Unsupported.
			p.health.Path, _ = checkURI(h.Path)
			p.health.Status, p.health.Headers = h.Status, h.Headers
		}
	}
	if p.mode == "http" && p.sticky == "" && b.Health == nil && p.balance.Policy == route.BalanceRoundRobin {
		p.name = defaultProfile
	} else {
		p.name = p.mode + "-" + digest(fmt.Sprintf("%#v", p))
	}
	return p
}

// checkURI is the target of a check as it is sent.
func checkURI(path string) (string, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" || u.Path == "" || u.Path[0] != '/' {
		return "/", errors.New("not a path")
	}
	return u.RequestURI(), nil
}

// The defaults of active checks, those of the embedded engine.
const (
	defaultInterval     = 10 * time.Second
	defaultCheckTimeout = 5 * time.Second
)

// write writes the section that the sections of the profile inherit.
func (p *profile) write(r *renderer, t *text) {
	base := httpSection
	if p.mode == "tcp" {
		base = baseSection
	}
	t.section("defaults profile-%s from %s", p.name, base)
	r.writeBackend(t, p)
	t.hold(p.mode)
	if p.mode == "http" {
		t.line("%s", p.noEndpoint(r.o.mapPath(mapServices)))
		writeSending(t)
	}
}

// hold has what comes in wait for an endpoint where the route asks for it.
func (t *text) hold(mode string) {
	directive := "http-request"
	if mode == "tcp" {
		directive = "tcp-request content"
		t.line("tcp-request inspect-delay 1d")
	}
	t.line("%s lua.fairway_hold if { nbsrv eq 0 } { var(txn.hold) -m found } !{ stopping }", directive)
}

// each is what sections cannot inherit.
func (p *profile) each() string {
	if p.sticky == "" {
		return ""
	}
	return "  use-server %[var(txn.sticky)] if { var(txn.sticky) -m found }\n"
}

func (r *renderer) writeBackend(t *text, p *profile) {
	t.line("mode %s", p.mode)
	writeBalance(t, p)
	if p.mode == "tcp" {
		t.line("timeout tunnel %s", span(p.tunnel))
	}
	if h := p.health; h.Timeout > 0 {
		t.line("timeout check %s", span(h.Timeout))
		if p.mode == "http" {
			t.line("option httpchk")
			// Services with different hosts share the profile: the host is the server's.
			send := fmt.Sprintf("http-check send meth GET uri %s ver HTTP/1.1 hdr Host %%[srv_name,map_str(%s)]", quote.SecretQuery(h.Path), r.o.mapPath(mapChecks))
			for _, v := range h.Headers {
				send += " hdr " + v.Name + " " + quote.Secret(quote.Format(v.Value))
			}
			t.line("%s", send)
			if h.Status != 0 {
				t.line("http-check expect status %d", h.Status)
			} else {
				t.line("http-check expect status 200-399")
			}
		}
	}
	if p.sticky != "" {
		r.writeSticky(t, p)
	}
	if p.balance.Policy == route.BalanceHash && p.mode == "http" {
		t.clientKnown()
		t.line("http-request set-var(txn.hash) %s", hashExpression(p.balance))
		t.line("http-request set-var(txn.hash) var(txn.client) if !{ var(txn.hash) -m len gt 0 }")
	}
}

func (r *renderer) writeSticky(t *text, p *profile) {
	domain := ""
	if p.domain != "" {
		domain = "; Domain=" + p.domain
	}
	t.line("http-request set-var(txn.sticky) req.cook(%s),map_str(%s)", p.sticky, r.o.mapPath(mapSticky))
	t.line("http-response set-var(txn.cookie) srv_name,map_str(%s)", r.o.mapPath(mapCookies))
	t.line("http-response add-header Set-Cookie \"%s=%%[var(txn.cookie)]; Path=/%s; HttpOnly%%[var(txn.attributes)]\" if { var(txn.cookie) -m found } !{ var(txn.asked),strcmp(txn.cookie) eq 0 }", p.sticky, domain)
	t.line("http-request set-var(txn.asked) req.cook(%s)", p.sticky)
	// A usual request of a route without wishes brings no txn.proto.
	t.line("http-request set-var(txn.proto,ifnotexists) var(sess.proto)")
	t.line("http-request set-var(txn.attributes) str(\"; SameSite=%s\")", sameSite(p.sameSite.Over(false)))
	t.line("http-request set-var(txn.attributes) str(\"; Secure; SameSite=%s\") if { var(txn.proto) -m str https }", sameSite(p.sameSite.Over(true)))
}

// sameSite is the attribute as cookies usually have it.
func sameSite(s route.SameSite) string { return strings.ToUpper(string(s[:1])) + string(s[1:]) }

// checkHost is the host that a check asks for: that of the table, or the address.
func checkHost(h *route.Health, address netip.AddrPort) string {
	switch {
	case strings.Contains(h.Host, ":"):
		return "[" + h.Host + "]"
	case h.Host != "":
		return h.Host
	}
	return netip.AddrPortFrom(address.Addr(), cmp.Or(h.Port, address.Port())).String()
}

func hashExpression(b route.Balance) string {
	switch b.On {
	case route.HashPath:
		return "var(txn.path)"
	case route.HashHeader:
		return "req.fhdr(" + b.Name + ",1)"
	case route.HashCookie:
		return "req.cook(" + b.Name + ")"
	case route.HashQuery:
		return "url_param(" + b.Name + "),url_dec"
	}
	return "var(txn.client)"
}

func writeBalance(t *text, p *profile) {
	switch p.balance.Policy {
	case route.BalanceLeastConn:
		t.line("balance leastconn")
	case route.BalanceRandom2:
		t.line("balance random(2)")
	case route.BalanceHash:
		if p.mode == "tcp" {
			t.line("balance source")
		} else {
			t.line("balance hash var(txn.hash)")
		}
		t.line("hash-type consistent wt6 avalanche")
	default:
		t.line("balance roundrobin")
	}
}

// noEndpoint answers when no endpoint is ready. Clients that are tied to an endpoint may
// reach one that takes no others.
func (p *profile) noEndpoint(services string) string {
	condition := "{ nbsrv eq 0 } !{ stopping }"
	if p.sticky != "" {
		condition += " !{ var(txn.sticky) -m found }"
	}
	service := "%[var(txn.r),field(" + itoa(fieldToken) + ",|),map_str(" + services + "),url_dec]"
	return problem{status: 503, code: "no-endpoint", text: "service " + service + " has no endpoint that is ready", retry: true}.rule(condition)
}

// writeSending writes what bounds the sending of a request.
func writeSending(t *text) {
	t.line("http-request disable-l7-retry if !{ method GET HEAD OPTIONS PUT DELETE }")
	t.line("http-request set-timeout server var(txn.to) if { var(txn.to) -m found }")
	t.line("http-request set-timeout tunnel var(txn.tunnel) if { var(txn.tunnel) -m found }")
}

// serverOptions are those of the servers of a backend, in the file and at runtime.
func (r *renderer) serverOptions(b *route.Backend) string {
	var o []string
	add := func(format string, args ...any) { o = append(o, fmt.Sprintf(format, args...)) }
	switch b.Scheme {
	case route.SchemeH2C:
		add("proto h2")
	case route.SchemeHTTPS:
		alpn := "h2,http/1.1"
		if len(b.Upgrade) > 0 {
			alpn = "http/1.1" // HTTP/2 knows no switch of protocols
		}
		add("ssl alpn %s", alpn)
		tls := cmp.Or(b.TLS, &route.TLS{})
		switch name := tls.ServerName; {
		case name != "":
			add("sni str(%s) check-sni %s", name, name)
		case b.Health != nil && b.Health.Host != "" && !strings.Contains(b.Health.Host, ":"):
			add("sni var(txn.host) check-sni %s", b.Health.Host)
		default:
			add("sni var(txn.host)")
		}
		if tls.SkipVerify {
			add("verify none")
		} else {
			add("verify required ca-file @system-ca")
		}
	case route.SchemeTCP:
		if b.SendProxy > 0 {
			add("%s", []string{"send-proxy", "send-proxy-v2"}[b.SendProxy-1])
		}
	}
	if b.Scheme != route.SchemeTCP {
		// HAProxy 2.6 forgets its own defaults for servers that are added while it
		// runs: without the last no connection to them is used twice.
		add("pool-purge-delay %s pool-max-conn -1", span(endpointIdle/2))
	}
	if h := b.Health; h != nil {
		interval := cmp.Or(max(h.Interval, 0), defaultInterval)
		fast := span(min(interval, time.Second))
		add("check inter %s fastinter %s downinter %s fall 2 rise 1", span(interval), fast, fast)
		if h.Port != 0 {
			add("port %d", h.Port)
		}
	} else if b.MaxFails > 0 {
		// A connection alone takes no server out, but lets one back in: soon, because
		// HAProxy leaves none in when all have failed.
		add("check inter 10s fastinter 10s downinter 2s fall 1000 rise 1")
	}
	if b.MaxFails > 0 {
		layer := "layer7" // which counts what an application answers with 500 and above, too
		if b.Scheme == route.SchemeTCP {
			layer = "layer4"
		}
		add("observe %s error-limit %d on-error mark-down", layer, b.MaxFails)
	}
	if b.SlowStart > 0 {
		add("slowstart %s", span(b.SlowStart))
	}
	return strings.Join(o, " ")
}

// address is where an endpoint listens; false while its name has no address.
func (r *renderer) address(text string) (netip.AddrPort, bool) {
	if host, port, err := net.SplitHostPort(text); err == nil && r.o.Addresses[host].IsValid() {
		text = net.JoinHostPort(r.o.Addresses[host].String(), port)
	}
	address, err := netip.ParseAddrPort(text)
	return address, err == nil && address.Port() != 0
}

// servers are the servers of a backend. Endpoints without an address are left out.
func (r *renderer) servers(b *route.Backend) []Server {
	options := r.serverOptions(b)
	checked := b.Health != nil || b.MaxFails > 0
	servers := make([]Server, 0, len(b.Endpoints))
	for i := range b.Endpoints {
		e := &b.Endpoints[i]
		address, ok := r.address(e.Address)
		if !ok {
			continue
		}
		state := e.State
		if state == route.EndpointReady && r.o.Waiting[EndpointID{b.ID, e.ID}] {
			state = route.EndpointWaiting
		}
		servers = append(servers, Server{
			Name: serverName(b, e, address), Endpoint: e.ID, Address: address, Weight: min(max(e.Weight, 0), 256),
			State: state, Options: options, Checked: checked, Health: b.Health,
		})
	}
	return servers
}

// span is a duration as HAProxy has it, in milliseconds and at least one.
func span(d time.Duration) string {
	return itoa(int(max(d.Milliseconds(), 1))) + "ms"
}
