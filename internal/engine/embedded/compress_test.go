package embedded

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"fairway/internal/route"
)

// TestCompressorsAreUsedAgain: what compresses is large, and goes back with the answer.
func TestCompressorsAreUsedAgain(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("x", 4*minCompress))
	})
	s := newSite(t, Options{})
	made := 0
	another := s.engine.gzips.New
	s.engine.gzips.New = func() any { made++; return another() }
	s.serve("a.example", a.addr())
	s.routes["a.example"].Filters = []route.Filter{{Compress: &route.Compress{}}}
	s.apply()
	const requests = 50
	c := s.dial("http")
	for range requests {
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n")
		if res := c.answer("GET"); res.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("answered %d with %v", res.StatusCode, res.Header)
		}
	}
	if made > requests*3/4 { // a pool may lose some
		t.Errorf("%d were made for %d answers", made, requests)
	}
}
