package embedded

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fairway/internal/route/arrival"
	"fairway/internal/route/field"

	"github.com/google/go-cmp/cmp"
)

func TestIdentify(t *testing.T) {
	trusted := prefixesOf("10.0.0.0/8", "fd00::/8")
	for _, tt := range []struct {
		name   string
		peer   string
		tls    bool
		port   string
		in     http.Header
		client string
		out    http.Header // without X-Request-Id
	}{
		{
			name: "nothing said", peer: "192.0.2.1", client: "192.0.2.1",
			out: http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a.example"}, "X-Forwarded-Port": {"80"}},
		},
		{
			name: "untrusted", peer: "192.0.2.1", tls: true, port: "8443", client: "192.0.2.1",
			in:  http.Header{"X-Forwarded-For": {"10.0.0.1"}, "X-Real-Ip": {"10.0.0.1"}, "Forwarded": {"for=1"}, "X-Forwarded-Email": {"root@a"}},
			out: http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"a.example:8443"}, "X-Forwarded-Port": {"8443"}},
		},
		{
			name: "trusted chain", peer: "10.0.0.9", client: "192.0.2.7",
			in: http.Header{"X-Forwarded-For": {"6.6.6.6, 192.0.2.7", "10.1.1.1,10.2.2.2"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"B.example."}, "Forwarded": {"for=1"}, "X-Forwarded-Email": {"root@a"}},
			out: http.Header{
				"X-Forwarded-For": {"6.6.6.6, 192.0.2.7, 10.1.1.1, 10.2.2.2, 10.0.0.9"}, "X-Real-Ip": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"},
				"X-Forwarded-Host": {"b.example"}, "X-Forwarded-Port": {"443"}, "Forwarded": {"for=1"}, "X-Forwarded-Email": {"root@a"},
			},
		},
		{
			name: "all trusted", peer: "10.0.0.9", client: "10.1.1.1",
			in:  http.Header{"X-Forwarded-For": {"10.1.1.1"}},
			out: http.Header{"X-Forwarded-For": {"10.1.1.1, 10.0.0.9"}, "X-Real-Ip": {"10.1.1.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a.example"}, "X-Forwarded-Port": {"80"}},
		},
		{
			name: "nonsense is cut off", peer: "10.0.0.9", client: "192.0.2.7",
			in:  http.Header{"X-Forwarded-For": {"9.9.9.9, evil\x1b, [2001:db8::1]:99, ::ffff:192.0.2.7"}, "X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Host": {"a b"}, "X-Forwarded-Port": {"0"}},
			out: http.Header{"X-Forwarded-For": {"2001:db8::1, 192.0.2.7, 10.0.0.9"}, "X-Real-Ip": {"192.0.2.7"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a.example"}, "X-Forwarded-Port": {"80"}},
		},
		{
			name: "said twice", peer: "fd00::1", client: "fd00::1",
			in:  http.Header{"X-Forwarded-Proto": {"https", "http"}, "X-Forwarded-Host": {"x.example, y.example"}, "X-Forwarded-Port": {"444"}},
			out: http.Header{"X-Forwarded-For": {"fd00::1"}, "X-Real-Ip": {"fd00::1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"a.example"}, "X-Forwarded-Port": {"444"}},
		},
	} {
		fields := field.Of(tt.in)
		id := arrival.Identify(&fields, arrival.Peer{Addr: netip.MustParseAddr(tt.peer), TLS: tt.tls, Trusted: trusted}, "a.example", tt.port)
		if id.Client.String() != tt.client {
			t.Errorf("%s: client %v, want %s", tt.name, id.Client, tt.client)
		}
		fields.Del("X-Request-Id")
		if diff := cmp.Diff(tt.out, fields.Header()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestRequestID(t *testing.T) {
	for v, kept := range map[string]bool{
		"abc": true, "7f3e-00:1/x+y=@._": true, "": false, "a b": false, "a\x1b": false, "ä": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a,b": false,
	} {
		h := field.List{{Name: "X-Request-Id", Value: v}}
		id := arrival.Identify(&h, arrival.Peer{Addr: netip.MustParseAddr("10.0.0.1"), Trusted: prefixesOf("10.0.0.0/8")}, "a.example", "")
		if (id.ID == v) != kept || id.ID == "" {
			t.Errorf("%q became %q", v, id.ID)
		}
	}
	if a, b := arrival.NewID(), arrival.NewID(); a == b || len(a) != 32 {
		t.Errorf("%s %s", a, b)
	}
}

// FuzzForwardedHeaders: whatever is sent, an untrusted peer decides nothing, a
// trusted one nothing that is not sane, and admit keeps its word about hop-by-hop
// headers.
func FuzzForwardedHeaders(f *testing.F) {
	for _, seed := range []string{
		"X-Forwarded-For: 1.2.3.4\nX-Real-Ip: 1.2.3.4",
		"X_Forwarded_For: 1.2.3.4\nConnection: x-real-ip, X-Forwarded-For\nForwarded: for=1",
		"x-forwarded-for: 10.0.0.1, ,::1%eth0\nX-Forwarded-For: [::1]:80\nX-Forwarded-Proto: https,http",
		"Upgrade: websocket\nConnection: upgrade, te\nTe: trailers\nX-Forwarded-Host: [::1]:8",
		"X-Forwarded-Port: 99999\nX-Request-Id: \x00",
	} {
		f.Add(seed, "192.0.2.1")
		f.Add(seed, "10.0.0.1")
	}
	f.Fuzz(func(t *testing.T, lines, addr string) {
		ip, err := netip.ParseAddr(addr)
		if err != nil || ip.Zone() != "" {
			return
		}
		h := http.Header{}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, ":")
			h.Add(name, strings.TrimSpace(value))
		}
		listed := map[string]bool{}
		for _, v := range h["Connection"] {
			for name := range strings.SplitSeq(v, ",") {
				listed[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
			}
		}
		delete(h, "Host")
		p := arrival.Peer{Addr: ip.Unmap(), Trusted: prefixesOf("10.0.0.0/8")}
		fields := field.Of(h)
		q := new(request)
		a := q.admit(head{Head: arrival.Head{Method: "GET", Header: &fields, Major: 1}, target: "/", authority: "a.example"}, p)
		if a != nil {
			t.Fatalf("refused: %s", a.text)
		}
		h = q.header.Header()
		trusted := p.Trusts(p.Addr)
		if !trusted && q.Client != p.Addr {
			t.Errorf("client %v, but the peer is %v", q.Client, p.Addr)
		}
		chain := strings.Split(h.Get("X-Forwarded-For"), ", ")
		if chain[len(chain)-1] != p.Addr.String() || !trusted && len(chain) != 1 {
			t.Errorf("X-Forwarded-For %q", h["X-Forwarded-For"])
		}
		for _, entry := range chain {
			if _, err := netip.ParseAddr(entry); err != nil {
				t.Errorf("X-Forwarded-For %q", h["X-Forwarded-For"])
			}
		}
		if v := h.Get("X-Forwarded-Proto"); v != "http" && (v != "https" || !trusted) {
			t.Errorf("X-Forwarded-Proto %q", v)
		}
		if !trusted && h.Get("X-Forwarded-Host") != "a.example" {
			t.Errorf("X-Forwarded-Host %q", h["X-Forwarded-Host"])
		}
		ours := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-Ip", "X-Request-Id"}
		for name, values := range h {
			mine := slices.Contains(ours, name)
			if mine && len(values) != 1 {
				t.Errorf("%s is there %d times", name, len(values))
			}
			if !mine && !trusted && arrival.IsIdentity(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
				t.Errorf("untrusted %s survived", name)
			}
			if listed[name] && !mine && name != "Te" && name != "Upgrade" && name != "Connection" {
				t.Errorf("hop-by-hop %s survived", name)
			}
		}
		if q.upgrade != h.Get("Upgrade") || q.upgrade != "" && q.upgrade != arrival.WebSocket {
			t.Errorf("upgrade %q with %v", q.upgrade, h["Upgrade"])
		}
	})
}
