// Package library is between the engine and libraries of HTTP: it writes answers to requests
// that they have read, net/http those of HTTP/2, quic-go those of HTTP/3.
package library

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/route"
	"fairway/internal/route/field"
)

// Client is the client of one request. As http1.Exchange it is used by one goroutine, but for
// the deadlines.
type Client struct {
	*http.ResponseController
	w     http.ResponseWriter
	major int
}

// NewClient makes the client of a request of a version of HTTP, 2 or 3.
func NewClient(w http.ResponseWriter, major int) *Client {
	return &Client{ResponseController: http.NewResponseController(w), w: w, major: major}
}

// Early sends an answer with 1xx.
func (c *Client) Early(status int, fields field.List) error {
	maps.Copy(c.w.Header(), fields.Header())
	c.w.WriteHeader(status)
	clear(c.w.Header())
	return nil
}

// Begin begins the answer. With HTTP/2 one that closes has the client begin nothing more on
// the connection.
func (c *Client) Begin(a *http1.Answer) {
	h := c.w.Header()
	maps.Copy(h, a.Fields.Header())
	if a.Length >= 0 && a.Status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(a.Length, 10))
	}
	if a.Close && c.major == 2 {
		h.Set("Connection", "close")
	}
	c.w.WriteHeader(a.Status)
}

// WriteWithin bounds the writing of the answer.
func (c *Client) WriteWithin(now time.Time, limit time.Duration) error {
	return c.SetWriteDeadline(now.Add(limit))
}

// Write writes some of the body.
func (c *Client) Write(p []byte) (int, error) { return c.w.Write(p) }

// End ends the answer.
func (c *Client) End(trailers field.List) error {
	for _, f := range trailers {
		c.w.Header().Add(http.TrailerPrefix+f.Name, f.Value)
	}
	return nil
}

// SameSite is the attribute of a cookie as net/http has it.
func SameSite(s route.SameSite) http.SameSite {
	switch s {
	case route.SameSiteStrict:
		return http.SameSiteStrictMode
	case route.SameSiteNone:
		return http.SameSiteNoneMode
	}
	return http.SameSiteLaxMode
}

// SetPath puts the very bytes of the path into the request line. Opaque does that, but
// takes what begins with two slashes for a host.
func SetPath(u *url.URL, path string) {
	if decoded, err := url.PathUnescape(path); err == nil && strings.HasPrefix(path, "//") {
		u.Path, u.RawPath = decoded, path
		return
	}
	u.Opaque = path
}
