package embedded

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route/arrival"
)

// serveHTTP1 serves the requests of a connection; clear is it without TLS.
func (l *listener) serveHTTP1(c *clientConn, clear net.Conn) {
	e := l.engine
	ctx := context.WithValue(context.WithValue(e.ctx, connKey{}, c), http.ServerContextKey, l.server) // so that what breaks off is told by a panic
	l.core.Serve(ctx, clear, http1.Hooks{
		Busy: func(busy bool) { e.room.set(c, !busy) },
		Gone: func() http1.Presence { return presence(c.Conn) },
		Refused: func(error) {
			c.finished.Store(true)
			e.meters.refused("bad-message")
		},
	})
}

// serveExchange serves a request of HTTP/1.1.
func (l *listener) serveExchange(x *http1.Exchange) {
	r := requestOf(x)
	body, _ := r.Body.(*coreBody)
	w := &coreWriter{x: x, header: http.Header{}, body: body}
	defer func() {
		if body != nil {
			body.leave()
		}
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
				panic(p)
			}
			x.Abort()
		}
	}()
	l.serveHTTP(w, r)
	w.finish()
}

// requestOf is the request as net/http has it.
func requestOf(x *http1.Exchange) *http.Request {
	q := &x.Request
	c := x.Context().Value(connKey{}).(*clientConn)
	r := &http.Request{
		Method: q.Method, RequestURI: q.Target, Host: q.Authority, ContentLength: q.Length, Close: q.Close,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.RemoteAddr().String(), TLS: c.state,
		Header: make(http.Header, len(q.Fields)), Body: http.NoBody,
	}
	if q.Old {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}
	var err error
	if r.URL, err = url.ParseRequestURI(q.Target); err != nil {
		r.URL = &url.URL{Path: q.Target} // a guard refuses it
	}
	values := make([]string, len(q.Fields))
	for i := range q.Fields {
		switch f := &q.Fields[i]; f.Kind {
		case wire.KindHost, wire.KindTransferEncoding:
		default:
			name := textproto.CanonicalMIMEHeaderKey(f.Name)
			if before := r.Header[name]; before != nil {
				r.Header[name] = append(before, f.Value)
				continue
			}
			values[i] = f.Value
			r.Header[name] = values[i : i+1 : i+1]
		}
	}
	if q.Length != 0 {
		r.Body = &coreBody{x: x}
	}
	if q.Length < 0 {
		r.TransferEncoding = []string{"chunked"}
	}
	return r.WithContext(x.Context())
}

// coreBody is the body of a request, which may be read from another goroutine for as long
// as the exchange goes on.
type coreBody struct {
	x    *http1.Exchange
	mu   sync.Mutex
	left bool
}

// Read reads the body.
func (b *coreBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.x.Read(p)
}

// Close does nothing: see leave.
func (b *coreBody) Close() error { return nil }

// leave ends all reading, because the exchange is over.
func (b *coreBody) leave() {
	if !b.mu.TryLock() {
		_ = b.x.SetReadDeadline(time.Now())
		b.mu.Lock()
	}
	b.left = true
	b.mu.Unlock()
}

// coreWriter is an answer as net/http has it.
type coreWriter struct {
	x        *http1.Exchange
	header   http.Header
	body     *coreBody
	trailers []string // names that were announced
}

// Header is that of the answer.
func (w *coreWriter) Header() http.Header { return w.header }

// WriteHeader begins the answer, or sends one with 1xx ahead of it.
func (w *coreWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		_ = w.x.Early(status, fieldsOf(w.header))
		return
	}
	if w.x.Begun() {
		return
	}
	a := http1.Answer{Status: status, Length: -1}
	if v := w.header.Get("Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			a.Length = n
		}
	}
	if status != http.StatusSwitchingProtocols {
		a.Close = arrival.Lists(w.header["Connection"], "close")
		delete(w.header, "Connection")
	}
	delete(w.header, "Content-Length")
	delete(w.header, "Transfer-Encoding")
	for _, v := range w.header["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			w.trailers = append(w.trailers, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	a.Fields = fieldsOf(w.header)
	w.x.Begin(&a)
}

// fieldsOf is a header as fields, without announced trailers.
func fieldsOf(h http.Header) []wire.Field {
	list := make([]wire.Field, 0, len(h)+2)
	for name, values := range h {
		if !wire.IsToken(name) { // the prefix of trailers is none, either
			continue
		}
		for _, v := range values {
			list = append(list, wire.Field{Name: name, Value: v})
		}
	}
	return list
}

// Write writes some of the body.
func (w *coreWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.x.Write(p)
}

// FlushError sends what was written.
func (w *coreWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return w.x.Flush()
}

// SetReadDeadline bounds the reading of the body.
func (w *coreWriter) SetReadDeadline(t time.Time) error { return w.x.SetReadDeadline(t) }

// SetWriteDeadline bounds the writing of the answer.
func (w *coreWriter) SetWriteDeadline(t time.Time) error { return w.x.Conn().SetWriteDeadline(t) }

// EnableFullDuplex is how it is.
func (w *coreWriter) EnableFullDuplex() error { return nil }

// Hijack gives the connection away.
func (w *coreWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, err := w.x.Pass()
	if err != nil {
		return nil, nil, err
	}
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// finish ends the answer with its trailers.
func (w *coreWriter) finish() {
	var trailers []wire.Field
	for name, values := range w.header {
		cut, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		announced := false
		for _, t := range w.trailers {
			announced = announced || t == name
		}
		if !prefixed && !announced {
			continue
		}
		for _, v := range values {
			trailers = append(trailers, wire.Field{Name: cut, Value: v})
		}
	}
	_ = w.x.End(trailers)
}

// greet makes the TLS handshake, and gives what speaks HTTP/2 to the server of it.
func (l *listener) greet(counted *clientConn, config *tls.Config) {
	c := tls.Server(counted, config)
	ctx, cancel := context.WithTimeout(l.engine.ctx, l.engine.opts.HeaderTimeout)
	defer cancel()
	err := c.HandshakeContext(ctx)
	state := c.ConnectionState()
	switch {
	case err != nil:
		_ = c.Close()
	case state.NegotiatedProtocol == "h2":
		one := &oneConn{Conn: c}
		if _ = l.server.Serve(one); !one.taken { // the listener drains
			_ = c.Close()
		}
	default:
		counted.state = &state
		l.serveHTTP1(counted, c)
	}
}

// serve accepts connections until the socket is closed.
func (l *listener) serve() error {
	const longest = time.Second
	for pause := time.Duration(0); ; {
		err := l.accept()
		if err == nil {
			pause = 0
			continue
		}
		// There may be no descriptors left; it is said at debug level, as net/http does.
		if te, ok := err.(interface{ Temporary() bool }); !ok || !te.Temporary() { //nolint:errorlint // of the socket itself
			return err
		}
		l.engine.errorLog.Printf("accept: %v", err)
		pause = min(max(2*pause, 5*time.Millisecond), longest)
		select {
		case <-time.After(pause):
		case <-l.engine.ctx.Done():
			return io.EOF
		}
	}
}
