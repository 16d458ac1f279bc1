package haproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wireEndpoint is an endpoint that reads requests byte by byte and by the letter, and
// keeps what it read. It answers each with its line in X-Saw.
type wireEndpoint struct {
	net.Listener
	mu  sync.Mutex
	all []string
}

func newWireEndpoint(t *testing.T) *wireEndpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &wireEndpoint{Listener: l}
	var serving sync.WaitGroup
	var conns sync.Map
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, nil)
			serving.Go(func() {
				defer c.Close()
				defer conns.Delete(c)
				e.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		serving.Wait()
	})
	return e
}

// since returns the requests after the first n.
func (e *wireEndpoint) since(n int) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all[min(n, len(e.all)):])
}

// serve reads the requests of a connection until one cannot be read.
func (e *wireEndpoint) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		saw, line, err := readWireRequest(r, c)
		if err != nil {
			return
		}
		e.mu.Lock()
		e.all = append(e.all, saw)
		e.mu.Unlock()
		body := "answer\n"
		if strings.HasPrefix(line, "HEAD ") {
			body = ""
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Saw: %s\r\n\r\n%s", strconv.QuoteToASCII(line), body); err != nil {
			return
		}
	}
}

// readWireRequest reads a whole request and writes it down: the line, the fields in
// the order of their names, and the body as it is framed. What differs each time
// (IDs) is left out. It asks for a body that is held back.
func readWireRequest(r *bufio.Reader, w io.Writer) (saw, line string, err error) {
	if line, err = wireLine(r); err != nil {
		return "", "", err
	}
	var fields []string
	length, chunked, held := "", false, false
	for {
		field, err := wireLine(r)
		if err != nil {
			return "", "", err
		}
		if field == "" {
			break
		}
		name, value, _ := strings.Cut(field, ":")
		name, value = strings.ToLower(name), textproto.TrimString(value)
		switch name {
		case "content-length":
			if length = value; value == "0" {
				continue // nothing to say of a body that is not there
			}
		case "transfer-encoding":
			chunked = value == "chunked"
		case "expect":
			held = held || strings.Contains(strings.ToLower(value), "100-continue")
		case "x-request-id":
			value = "-"
		case "connection":
			if value == "keep-alive" || value == "close" {
				continue // between the engine and the endpoint
			}
		}
		fields = append(fields, name+": "+value)
	}
	if held {
		if _, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return "", "", err
		}
	}
	body := ""
	switch {
	case chunked:
		body, err = wireChunks(r)
	case length != "":
		n, bad := strconv.Atoi(length)
		if bad != nil {
			return "", "", bad
		}
		data := make([]byte, n)
		_, err = io.ReadFull(r, data)
		body = string(data)
	}
	if err != nil {
		return "", "", err
	}
	slices.Sort(fields)
	return line + "\n" + strings.Join(fields, "\n") + "\n\n" + body, line, nil
}

// wireLine reads a line that ends in CRLF, and returns it without that.
func wireLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	bare, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("a line ends in LF: %q", line)
	}
	return bare, nil
}

func wireChunks(r *bufio.Reader) (string, error) {
	var body strings.Builder
	for {
		size, err := wireLine(r)
		if err != nil {
			return "", err
		}
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil {
			return "", err
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(&body, r, int64(n)); err != nil { //nolint:gosec // 31 bits
			return "", err
		}
		if end, err := wireLine(r); err != nil || end != "" {
			return "", fmt.Errorf("a chunk ends in %q (%w)", end, err)
		}
	}
	for {
		field, err := wireLine(r)
		if err != nil || field == "" {
			return body.String(), err
		}
		body.WriteString("\ntrailer " + field)
	}
}
