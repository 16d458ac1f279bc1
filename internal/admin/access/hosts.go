package access

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
)

// Hosts are the names by which the listener may be called.
type Hosts struct {
	port    string // of the listener; empty for a unix socket, where every host will do
	usual   string // the port of names without one
	allowed []string
}

// NewHosts allows the loopback names with any port, which a tunnel or Docker may
// choose, those of the listener's certificate with its port, and extra as they are.
func NewHosts(bound net.Addr, extra, certified []string, tls bool) (*Hosts, error) {
	h := &Hosts{usual: "80"}
	if tls {
		h.usual = "443"
	}
	if tcp, ok := bound.(*net.TCPAddr); ok {
		h.port = strconv.Itoa(tcp.Port)
		h.allowed = append(h.allowed, "localhost", "127.0.0.1", "::1")
		for _, name := range certified {
			h.allowed = append(h.allowed, net.JoinHostPort(name, h.port))
		}
	}
	for _, name := range extra {
		if name == "" || strings.ContainsAny(name, "/*@[] ") && !strings.HasPrefix(name, "[") {
			return nil, fmt.Errorf("allowed host %q: want a name or an address, with or without a port", name)
		}
		if strings.HasSuffix(name, "]") { // an IPv6 address without a port
			name = strings.Trim(name, "[]")
		}
		h.allowed = append(h.allowed, strings.ToLower(name))
	}
	return h, nil
}

// Check refuses a name that is none of the listener's (DNS rebinding), or 0.0.0.0.
func (h *Hosts) Check(r *http.Request) *api.Error {
	if h.port == "" {
		return nil
	}
	name, port, err := net.SplitHostPort(strings.ToLower(r.Host))
	if err != nil { // no port: the scheme's own
		name, port = strings.Trim(strings.ToLower(r.Host), "[]"), h.usual
	}
	full := net.JoinHostPort(name, port)
	if slices.Contains(h.allowed, full) || slices.Contains(h.allowed, name) {
		return nil
	}
	// The address that was dialled is no name that could have been rebound.
	if dialled, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && full == dialled.String() {
		return nil
	}
	return api.Errorf(http.StatusForbidden, "refused: the admin listener is not called %q; if it should be, add the name to admin.allowed-hosts", r.Host)
}
