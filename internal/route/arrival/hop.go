// Package arrival prepares the head of a request for the matcher, for the embedded
// engine and for explain: headers of the connection go, and identity headers are written.
package arrival

import (
	"net/http"
	"strings"

	"fairway/internal/route"
	"fairway/internal/route/field"
)

// Head is what decides about the headers of a request.
type Head struct {
	Method string
	Header *field.List
	// Major is the HTTP version, 1 or 2; Old is set for HTTP/1.0.
	Major int
	Old   bool
	// Length is the length of the body; -1 when it is not known.
	Length int64
}

// MaxWhole is the largest body that a request may have that asks for a switch to
// another protocol than WebSocket: it is read before the switch.
const MaxWhole = 16 << 10

// DropUnderscores deletes headers that a backend with CGI variables takes for identity
// headers (X_Forwarded_For).
func DropUnderscores(h *field.List) {
	h.DelFunc(func(name string) bool {
		return strings.IndexByte(name, '_') >= 0 && IsIdentity(strings.ReplaceAll(name, "_", "-"))
	})
}

// DropLookalikes deletes the headers that equal name but for underscores.
func DropLookalikes(h *field.List, name string) {
	h.DelFunc(func(other string) bool {
		return strings.IndexByte(other, '_') >= 0 && field.Same(strings.ReplaceAll(other, "_", "-"), name)
	})
}

// DropHopByHop deletes what belongs to this connection only (RFC 9110, 7.6.1), but for TE.
// It reports whether a switch to WebSocket is asked for, or which other protocol is; to
// that one a request may switch only where the route's backend names it, for nothing
// checks what passes then: h2c would carry requests past every filter.
func DropHopByHop(h Head) (upgrade, other string) {
	header := h.Header
	asked := header.Lists("Connection", "Upgrade")
	protocol := header.Get("Upgrade")
	switch {
	case !asked || h.Major != 1 || h.Old || header.Count("Upgrade") != 1:
	case strings.EqualFold(protocol, WebSocket):
		if h.Method == http.MethodGet && h.Length == 0 {
			upgrade = WebSocket
		}
	case route.IsProtocol(protocol) && h.Length >= 0 && h.Length <= MaxWhole && !header.Has("Expect"):
		other = protocol // the body is read before the switch
	}
	DropConnectionFields(header)
	header.Del("Http2-Settings")
	header.Del("Proxy") // which CGI programs take for the environment's HTTP_PROXY
	if upgrade != "" {
		AskUpgrade(header, upgrade)
	}
	return upgrade, other
}

// WebSocket is the one protocol that a request may switch to on any route.
const WebSocket = "websocket"

// AskUpgrade makes h ask for a switch to the protocol.
func AskUpgrade(h *field.List, protocol string) {
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", protocol)
}

// DropConnectionFields deletes the fields that belong to one connection, and those that
// Connection lists, but for TE and for what says who sent the request.
func DropConnectionFields(header *field.List) {
	switch header.Count("Connection") {
	case 0:
	case 1:
		dropListed(header, header.Get("Connection"))
	default:
		for _, list := range header.Values("Connection") {
			dropListed(header, list)
		}
	}
	header.DelFunc(ofConnection)
}

func dropListed(header *field.List, list string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); !field.Same(name, "Te") && !IsIdentity(name) {
			header.Del(name)
		}
	}
}

// ofConnection reports the fields that belong to one connection (RFC 9110, 7.6.1).
func ofConnection(name string) bool {
	switch len(name) {
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer") || strings.EqualFold(name, "Upgrade")
	case len("Connection"):
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case len("Proxy-Connection"):
		return strings.EqualFold(name, "Proxy-Connection")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	case len("Proxy-Authenticate"):
		return strings.EqualFold(name, "Proxy-Authenticate")
	case len("Proxy-Authorization"):
		return strings.EqualFold(name, "Proxy-Authorization")
	}
	return false
}
