package embedded

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
)

// BenchmarkPlain is a small GET on connections that are kept: what it costs in all, with
// client and endpoint in the same process, and how often memory is taken.
func BenchmarkPlain(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: test\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" +
		strings.Repeat("x", 1024))
	addr := rawApp(b, func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		}
	})
	s := newSite(b, Options{})
	s.serve("a.example", addr)
	s.apply()
	c := s.dial("http")
	request := []byte("GET /path HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	buf := make([]byte, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		read := 0
		for read == 0 || !bytes.HasSuffix(buf[:read], []byte("xxxx")) {
			n, err := c.Conn.Read(buf[read:])
			if err != nil && err != io.EOF {
				b.Fatal(err)
			}
			read += n
		}
	}
}
