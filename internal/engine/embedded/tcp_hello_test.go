package embedded

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"fairway/internal/engine/embedded/relay"
	"fairway/internal/route/arrival"
	"fairway/internal/route/canonical"
)

// bytesConn is a connection on which some bytes come, and then its end.
type bytesConn struct {
	net.Conn
	data []byte
}

func (c *bytesConn) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[:min(len(c.data), 7)]) // in small pieces
	c.data = c.data[n:]
	return n, nil
}

func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }

// FuzzPeekServerName: whatever comes, it stays to be read, and the name is
// canonical.
func FuzzPeekServerName(f *testing.F) {
	f.Add([]byte(clientHello(f, "a.example")))
	f.Add([]byte(clientHello(f, "")))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &bytesConn{data: data}
		r := bufio.NewReaderSize(c, relay.MaxHello)
		name, isTLS := relay.ServerName(c, r, time.Second)
		if name != "" {
			if host, err := canonical.Host(name); err != nil || host != name || !isTLS {
				t.Fatalf("name %q", name)
			}
		}
		rest, err := io.ReadAll(r)
		if err != nil || string(rest) != string(data) {
			t.Fatalf("of %d bytes %d are left (%v)", len(data), len(rest), err)
		}
	})
}

// FuzzProxyHeader: a header names both ends, by address, or none.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4000 80\r\n"), []byte("rest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"), []byte("rest"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x0f\xa0\x00\x50"), []byte("rest"))
	f.Fuzz(func(t *testing.T, header, rest []byte) {
		c := &bytesConn{data: append(append([]byte{}, header...), rest...)}
		told, err := readProxyHeader(c, bufio.NewReaderSize(c, 512), time.Second, endpoints{})
		if err == nil && (told.from == nil) != (told.to == nil) {
			t.Fatalf("half a header: %v", told)
		}
		if told.from != nil && !arrival.AddrOf(told.from.String()).IsValid() {
			t.Fatalf("no address: %v", told.from)
		}
	})
}
