package traefik

import (
	"strings"
	"time"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// loadBalancer reads how a service is spoken to.
func (r *reader) loadBalancer(b *draft.Builder, s *part) {
	const front = "loadbalancer."
	get, raw := func(path string) string { return s.get(front + path) }, func(path string) string { return s.raw(front + path) }
	switch scheme := strings.ToLower(get("server.scheme")); scheme {
	case "", "http":
	case "https":
		b.Backend.Scheme = route.SchemeHTTPS
	case "h2c":
		b.Backend.Scheme = route.SchemeH2C
	default:
		b.Fault(raw("server.scheme"), draft.Bad("write http, https or h2c", "%s is no scheme", chars.Excerpt(scheme)))
	}
	if get("server.url") != "" {
		if get("server.port") != "" || get("server.scheme") != "" {
			b.Fault(raw("server.url"), draft.Refuse(route.CodeContradicts, "a URL stands beside a port or a scheme", "keep one of them"))
		}
		b.Fault(raw("server.url"), draft.Refuse(route.CodeUnsupported, "labels lead to no addresses but those of their own service", "write the address into a services file"))
	}
	switch strategy := strings.ToLower(get("strategy")); strategy {
	case "", "wrr":
	case "p2c":
		b.Backend.Balance = route.Balance{Policy: route.BalanceRandom2}
	case "hrw":
		b.Backend.Balance = route.Balance{Policy: route.BalanceHash, On: route.HashClientIP}
	case "leasttime":
		b.Backend.Balance = route.Balance{Policy: route.BalanceLeastConn}
		b.Note(route.CodeApproximated, raw("strategy"), "the instance with the fewest requests is taken", "")
	default:
		b.Fault(raw("strategy"), draft.Bad("write wrr, p2c, hrw or leasttime", "%s is no strategy", chars.Excerpt(strategy)))
	}
	if transport := get("serverstransport"); transport != "" {
		b.FaultOfCheck(raw("serverstransport"), draft.Refuse(route.CodeUnsupported, "the transport "+chars.Printable(transport)+" is not known here", "write fairway.tls.skip-verify or fairway.tls.server-name with labels of Fairway, or take it off"))
	}
	if strings.EqualFold(get("passhostheader"), "false") {
		b.Ignored(raw("passhostheader"), "the host of the request is passed on")
	}
	if s.has("middlewares") {
		r.middlewares(b, s.get("middlewares"), s.raw("middlewares"))
	}
	r.sticky(b, s)
	r.health(b, s)
	if text := get("passivehealthcheck.maxfailedattempts"); text != "" {
		n, err := draft.ReadInt(text, 1, 1000)
		b.Fault(raw("passivehealthcheck.maxfailedattempts"), err)
		b.Backend.MaxFails = n
	}
}

func (r *reader) sticky(b *draft.Builder, s *part) {
	const front = "loadbalancer.sticky.cookie"
	if !s.below(front) || strings.EqualFold(s.get(front), "false") {
		return
	}
	b.Backend.Sticky = "fairway"
	if name := s.get(front + ".name"); name != "" {
		if !chars.IsToken(name) {
			b.Fault(s.raw(front+".name"), draft.Bad("", "%s cannot be the name of a cookie", chars.Excerpt(name)))
		}
		b.Backend.Sticky = name
	}
	switch word := strings.ToLower(s.get(front + ".samesite")); word {
	case "":
	case "lax", "strict", "none":
		b.Backend.StickySameSite = route.SameSite(word)
	default:
		b.Fault(s.raw(front+".samesite"), draft.Bad("write lax, strict or none", "%s is no value of SameSite", chars.Excerpt(word)))
	}
	if domain := s.get(front + ".domain"); domain != "" {
		name, err := canonical.Host(strings.TrimPrefix(domain, "."))
		b.Fault(s.raw(front+".domain"), err)
		b.Backend.StickyDomain = name
	}
}

func (r *reader) health(b *draft.Builder, s *part) {
	const front = "loadbalancer.healthcheck."
	get, raw := func(path string) string { return s.get(front + path) }, func(path string) string { return s.raw(front + path) }
	if get("path") == "" {
		return
	}
	if strings.EqualFold(get("mode"), "grpc") {
		b.Ignored(raw("mode"), "checks by gRPC cannot be had")
		return
	}
	path, err := draft.ReadHealthPath(get("path"))
	b.Fault(raw("path"), err)
	h := route.Health{Path: path, Interval: 30 * time.Second, Timeout: 5 * time.Second}
	for _, d := range []struct {
		key  string
		into *time.Duration
	}{{"interval", &h.Interval}, {"timeout", &h.Timeout}} {
		if text := get(d.key); text != "" {
			*d.into, err = draft.ReadDuration(text, 100*time.Millisecond, 24*time.Hour)
			b.Fault(raw(d.key), err)
		}
	}
	h.Timeout = min(h.Timeout, h.Interval)
	if text := get("status"); text != "" {
		h.Status, err = draft.ReadInt(text, 100, 599)
		b.Fault(raw("status"), err)
	}
	if text := get("port"); text != "" {
		h.Port, err = draft.ReadPort(text)
		b.Fault(raw("port"), err)
	}
	if text := get("hostname"); text != "" {
		h.Host, err = canonical.Host(text)
		b.Fault(raw("hostname"), err)
	}
	for _, f := range s.order {
		if name, ok := cutFold(f.path, front+"headers."); ok {
			v, err := draft.ReadHeader(name, f.value, true, draft.HeaderSet)
			b.Fault(f.raw, err)
			h.Headers = append(h.Headers, v)
		}
	}
	b.Health = h
}
