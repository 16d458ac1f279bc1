package enginetest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"fairway/internal/engine/enginetest/script"

	"golang.org/x/net/http2/hpack"
)

// frames is a connection over which a case speaks HTTP/2 by itself.
type frames struct {
	w      *world
	conn   net.Conn
	framer *http2.Framer
}

func (w *world) frames() *frames {
	w.Helper()
	return newFrames(w, w.dialTLS("a.example", "h2"))
}

func newFrames(w *world, conn net.Conn) *frames {
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := &frames{w, conn, http2.NewFramer(conn, conn)}
	f.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.framer.WriteSettings()
	return f
}

// field is a header field, written as it is.
type field struct{ name, value string }

// block is the fields as a header block.
func block(fields []field) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, h := range fields {
		_ = enc.WriteField(hpack.HeaderField{Name: h.name, Value: h.value})
	}
	return b.Bytes()
}

// request sends a request on stream 1, and with a body ends it there.
func (f *frames) request(fields []field, body string) {
	rest := block(fields)
	first := true
	for first || len(rest) > 0 {
		n := min(len(rest), 16<<10)
		part := rest[:n]
		rest = rest[n:]
		if first {
			_ = f.framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 1, BlockFragment: part, EndHeaders: len(rest) == 0, EndStream: body == "",
			})
		} else {
			_ = f.framer.WriteContinuation(1, len(rest) == 0, part)
		}
		first = false
	}
	if body != "" {
		_ = f.framer.WriteData(1, true, []byte(body))
	}
}

// end reads until the request is over: its status, "reset" or "closed".
func (f *frames) end() string {
	f.w.Helper()
	status := ""
	for {
		frame, err := f.framer.ReadFrame()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				f.w.Fatal("neither answered nor refused")
			}
			return "closed"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status = frame.PseudoValue("status")
			if frame.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			if status != "" && frame.ErrCode == http2.ErrCodeNo {
				return status
			}
			return "reset"
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return "closed"
			}
		}
	}
}

// good are the fields of a request that is right.
func good(more ...field) []field {
	return append([]field{{":method", "GET"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", "/"}}, more...)
}

// guard2Case is a message of HTTP/2 that is something else in HTTP/1.1. Unless
// pass is set no endpoint may see it.
type guard2Case struct {
	name   string
	fields []field
	body   string
	want   string // statuses, as in data cases; "reset", "closed"
	pass   bool   // an endpoint may see it, without the evil in it
}

const (
	refusedH2 = "400|reset|closed"
	// evil is the mark that no endpoint may see in a line, a name or on its own.
	evil = "evil"
)

func guard2Messages() []guard2Case {
	with := func(i int, value string) []field {
		fields := good()
		fields[i].value = value
		return fields
	}
	smuggled := "GET /evil HTTP/1.1\r\nHost: a.example\r\n\r\n"
	return []guard2Case{
		{name: "no length, a body that looks like a request", fields: good(), body: smuggled, want: "200", pass: true},
		{name: "a length of nothing", fields: good(field{"content-length", "0"}), body: smuggled, want: "200|" + refusedH2, pass: true},
		{name: "a length too short", fields: good(field{"content-length", "3"}), body: "abc" + smuggled, want: "200|" + refusedH2, pass: true},
		{name: "a length too long", fields: good(field{"content-length", "300"}), body: smuggled, want: "502|" + refusedH2, pass: true},
		{name: "two lengths", fields: good(field{"content-length", "3"}, field{"content-length", "5"}), body: "abc", want: refusedH2},
		{name: "a length that is none", fields: good(field{"content-length", "+3"}), body: "abc", want: refusedH2},
		{name: "transfer-encoding", fields: good(field{"transfer-encoding", "chunked"}), body: "0\r\n\r\n" + smuggled, want: refusedH2},
		{name: "connection", fields: good(field{"connection", "x-forwarded-for"}), want: "200|" + refusedH2, pass: true},
		{name: "a line break in a value", fields: good(field{"x-a", "a\r\nX-Evil: 1"}), want: refusedH2},
		{name: "a line feed in a value", fields: good(field{"x-a", "a\nX-Evil: 1"}), want: refusedH2},
		{name: "NUL in a value", fields: good(field{"x-a", "a\x00"}), want: refusedH2},
		{name: "a line break in a name", fields: good(field{"x-a: b\r\nx-evil", "1"}), want: refusedH2},
		{name: "a colon in a name", fields: good(field{"x-evil:", "1"}), want: refusedH2},
		{name: "a name in upper case", fields: good(field{"X-Evil", "1"}), want: refusedH2},
		{name: "a blank in a name", fields: good(field{"x-evil ", "1"}), want: refusedH2},
		{name: "a request line in the method", fields: with(0, "GET /evil HTTP/1.1\r\nX-A: "), want: "405|" + refusedH2},
		{name: "a blank in the method", fields: with(0, "GET /evil"), want: "405|" + refusedH2},
		{name: "a host in the scheme", fields: with(1, "https://evil.example/?"), want: "200|" + refusedH2, pass: true},
		{name: "http for a scheme", fields: with(1, "http"), want: "200|" + refusedH2, pass: true},
		{name: "a line break in the authority", fields: with(2, "a.example\r\nX-Evil: 1"), want: refusedH2},
		{name: "credentials in the authority", fields: with(2, "evil@a.example"), want: refusedH2},
		{name: "a path in the authority", fields: with(2, "a.example/evil"), want: refusedH2},
		{name: "a line break in the path", fields: with(3, "/ HTTP/1.1\r\nX-Evil: 1\r\n"), want: refusedH2},
		{name: "a blank in the path", fields: with(3, "/ evil"), want: refusedH2},
		{name: "a fragment", fields: with(3, "/#evil"), want: refusedH2},
		{name: "an absolute path", fields: with(3, "http://b.example/evil"), want: "404|" + refusedH2},
		{name: "no slash", fields: with(3, "evil"), want: refusedH2},
		{name: "a star", fields: with(3, "*"), want: "405|" + refusedH2},
		{name: "no path", fields: good()[:3], want: refusedH2},
		{name: "two paths", fields: append(good(), field{":path", "/evil"}), want: refusedH2},
		{name: "a pseudo field that nobody knows", fields: append([]field{{":evil", "1"}}, good()...), want: refusedH2},
		{name: "a pseudo field behind the others", fields: good(field{"x-a", "b"}, field{":method", "evil"}), want: refusedH2},
		{name: "CONNECT", fields: []field{{":method", "CONNECT"}, {":authority", "a.example:443"}}, want: "405|" + refusedH2},
		{name: "CONNECT for a protocol", fields: append([]field{{":protocol", "websocket"}}, with(0, "CONNECT")...), want: "405|501|" + refusedH2},
		{name: "another host", fields: good(field{"host", "evil.example"}), want: "200|" + refusedH2, pass: true},
		{name: "underscores", fields: good(field{"x_forwarded_for", "evil"}), want: "200", pass: true},
		{name: "300 fields", fields: good(many(300, "y")...), want: "431|" + refusedH2},
		{name: "10,000 empty fields", fields: good(many(10_000, "")...), want: "431|" + refusedH2},
		{name: "a field of 128 KiB", fields: good(field{"x-a", strings.Repeat("y", 128<<10)}), want: "431|" + refusedH2},
	}
}

func many(n int, value string) []field {
	fields := make([]field, n)
	for i := range fields {
		fields[i] = field{"a", value}
	}
	return fields
}

// guard2Cases are the guards of HTTP/2.
func guard2Cases() []goCase {
	var cases []goCase
	for _, c := range guard2Messages() {
		cases = append(cases, goCase{c.name, func(w *world) { c.run(w) }})
	}
	return cases
}

func (c guard2Case) run(w *world) {
	w.apply(`
tls: [a.example]
routes: [{id: a, host: a.example, to: [e1]}]
`)
	f := w.frames()
	f.request(c.fields, c.body)
	if got := f.end(); !script.StatusMatches(c.want, got) {
		w.Errorf("answered %s, want %s", got, c.want)
	}
	_ = f.conn.Close()
	time.Sleep(settle / 5)
	saw := w.log.since(0)
	if !c.pass && len(saw) > 0 || len(saw) > 1 {
		w.Errorf("endpoints saw %d requests: %+v", len(saw), saw)
	}
	for _, s := range saw {
		if s.Line != "GET /" || s.Host != "a.example" || s.Header.Get("X-Forwarded-For") != "127.0.0.1" || s.Header.Get("X-Forwarded-Proto") != "https" {
			w.Errorf("the endpoint saw %s for %s, %v", s.Line, s.Host, s.Header)
		}
		for name, values := range s.Header {
			if strings.Contains(strings.ToLower(name+strings.Join(values, " ")), evil) {
				w.Errorf("the endpoint saw %s: %v", name, values)
			}
		}
		if declared := s.Header.Get("Content-Length"); s.BodyErr == "" && s.Body != c.body && s.Body != "" || declared == "300" && s.BodyErr == "" {
			w.Errorf("the endpoint saw as whole the body %q", s.Body)
		}
	}
}
