package wire

import (
	"io"
	"testing"
)

// TestContentBeforeTrailers: content is given before trailers that are still to come, and
// with them when they are there.
func TestContentBeforeTrailers(t *testing.T) {
	for trailers, ended := range map[string]bool{"": false, "T: ": false, "\r\n": true, "T: u\r\n\r\n": true} {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, "5\r\nhello\r\n0\r\n"+trailers) }() // and nothing more
		var b Buffer
		b.Reset(r, make([]byte, 4096))
		body := NewBody(&b, -1, true)
		p := make([]byte, 100)
		if n, err := body.Read(p); string(p[:n]) != "hello" || (err == io.EOF) != ended || body.Ended() != ended {
			t.Errorf("%q: read %q, %v", trailers, p[:n], err)
		}
		_ = r.Close()
	}
}
