// Package arrival prepares the head of a request for the matcher, for the embedded
// engine and for explain: headers of the connection go, and identity headers are written.
package arrival

import (
	"net/http"
	"strings"

	"fairway/internal/route"
)

// Head is what decides about the headers of a request.
type Head struct {
	Method string
	Header http.Header
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
func DropUnderscores(h http.Header) {
	for name := range h {
		if strings.IndexByte(name, '_') >= 0 && IsIdentity(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			delete(h, name)
		}
	}
}

// DropLookalikes deletes the headers that equal name but for underscores.
func DropLookalikes(h http.Header, name string) {
	for k := range h {
		if strings.IndexByte(k, '_') >= 0 && http.CanonicalHeaderKey(strings.ReplaceAll(k, "_", "-")) == name {
			delete(h, k)
		}
	}
}

// DropHopByHop deletes what belongs to this connection only (RFC 9110, 7.6.1), but for TE.
// It reports whether a switch to WebSocket is asked for, or which other protocol is; to
// that one a request may switch only where the route's backend names it, for nothing
// checks what passes then: h2c would carry requests past every filter.
func DropHopByHop(h Head) (upgrade, other string) {
	header := h.Header
	asked := Lists(header["Connection"], "Upgrade")
	protocols := header["Upgrade"]
	switch {
	case !asked || h.Major != 1 || h.Old || len(protocols) != 1:
	case strings.EqualFold(protocols[0], WebSocket):
		if h.Method == http.MethodGet && h.Length == 0 {
			upgrade = WebSocket
		}
	case route.IsProtocol(protocols[0]) && h.Length >= 0 && h.Length <= MaxWhole && header["Expect"] == nil:
		other = protocols[0] // the body is read before the switch
	}
	DropConnectionFields(header)
	delete(header, "Http2-Settings")
	delete(header, "Proxy") // which CGI programs take for the environment's HTTP_PROXY
	if upgrade != "" {
		AskUpgrade(header, upgrade)
	}
	return upgrade, other
}

// WebSocket is the one protocol that a request may switch to on any route.
const WebSocket = "websocket"

// AskUpgrade makes h ask for a switch to the protocol.
func AskUpgrade(h http.Header, protocol string) {
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{protocol}
}

// DropConnectionFields deletes the fields that belong to one connection, and those that
// Connection lists, but for TE and for what says who sent the request.
func DropConnectionFields(header http.Header) {
	for _, v := range header["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "Te" && !IsIdentity(name) {
				delete(header, name)
			}
		}
	}
	for _, name := range []string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Trailer", "Transfer-Encoding", "Upgrade",
	} {
		delete(header, name)
	}
}

// Lists reports whether the values of a header hold word in their lists.
func Lists(values []string, word string) bool {
	for entry := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if strings.EqualFold(strings.TrimSpace(entry), word) {
			return true
		}
	}
	return false
}
