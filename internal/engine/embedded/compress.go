package embedded

import (
	"net/http"
	"strings"
	"sync"

	"fairway/internal/engine/embedded/gzipped"
	"fairway/internal/route/field"
)

const minCompress = 1024

// compress makes the answer a gzip one where client, status and content allow; that to
// HEAD has the header that GET would get (RFC 9110, 9.3.2).
func compress(q *request, res *reply, writers *sync.Pool) {
	h := &res.header
	if !gzipped.IsCompressible(h.Get("Content-Type")) || h.Get("Content-Encoding") != "" ||
		h.Get("Content-Range") != "" || h.Lists("Cache-Control", "no-transform") {
		return
	}
	varyByEncoding(h)
	switch {
	case res.status < 200, !gzipped.Accepts(q.header.Values("Accept-Encoding")),
		res.status == http.StatusNoContent, res.status == http.StatusNotModified,
		res.status == http.StatusPartialContent,
		res.length >= 0 && res.length < minCompress:
		return
	}
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	h.Set("Content-Encoding", "gzip")
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("Etag", "W/"+tag) // a strong one is for other bytes (RFC 9110, 8.8.1)
	}
	if q.Method != http.MethodHead {
		res.body = gzipped.NewBody(res.body, res.length < 0, writers)
	}
	res.length = -1
}

// varyByEncoding has Vary say that the answer depends on Accept-Encoding.
func varyByEncoding(h *field.List) {
	if h.Lists("Vary", "*") || h.Lists("Vary", "Accept-Encoding") {
		return
	}
	h.Set("Vary", strings.Join(append(h.Values("Vary"), "Accept-Encoding"), ", "))
}
