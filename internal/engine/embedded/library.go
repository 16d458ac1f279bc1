package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"

	"fairway/internal/route"
	"fairway/internal/route/arrival"
	"fairway/internal/route/field"
)

// overLibrary sends the request by net/http: to endpoints that may speak HTTP/2.
func (a *attempt) overLibrary(ctx context.Context) (*reply, error) {
	out := &a.x.out
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              a.gotConnection,
		GotFirstResponseByte: func() { a.answered.Store(true) },
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			return a.x.w.Early(status, field.Of(http.Header(h)))
		},
	})
	req := (&http.Request{
		Method: out.method, URL: a.url(), Host: out.host, Header: out.header.Header(), ContentLength: out.length,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if req.Header["User-Agent"] == nil {
		req.Header["User-Agent"] = []string{""} // none, instead of that of the transport
	}
	delete(req.Header, "Content-Length")
	if body := a.body; body != nil {
		req.Body = a.x.bounded(body)
		req.GetBody = func() (io.ReadCloser, error) {
			if body.lost.Load() {
				return nil, errLost
			}
			return a.x.bounded(body), nil
		}
	}
	res, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := checkHead(res); err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	r := &reply{
		status: res.StatusCode, header: field.Of(res.Header), length: res.ContentLength, body: res.Body,
	}
	for name := range res.Trailer {
		r.header.Add("Trailer", name)
	}
	r.trailer = func() field.List { return field.Of(res.Trailer) }
	if rwc, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		r.conn = rwc
	}
	return r, nil
}

// url names the scheme, and what a certificate is verified for.
func (a *attempt) url() *url.URL {
	q, def := a.x.q, a.x.route.def
	u := &url.URL{Scheme: "http", Host: a.endpoint.Address(), RawQuery: q.Query, ForceQuery: q.bareQuery}
	setPath(u, q.path)
	if def.Scheme == route.SchemeHTTPS {
		u.Scheme = "https"
		if q.Host != "" && (def.TLS == nil || def.TLS.ServerName == "") {
			u.Host = arrival.Bracketed(q.Host)
		}
	}
	return u
}

// setPath puts the very bytes of the path into the request line. Opaque does that, but
// takes what begins with two slashes for a host.
func setPath(u *url.URL, path string) {
	if decoded, err := url.PathUnescape(path); err == nil && strings.HasPrefix(path, "//") {
		u.Path, u.RawPath = decoded, path
		return
	}
	u.Opaque = path
}

// gotConnection notes which connection the request goes to. It may be called
// again when the transport tries another by itself.
func (a *attempt) gotConnection(info httptrace.GotConnInfo) {
	a.gotConn, a.reused = true, info.Reused
	a.conn = nil
	t, secure := info.Conn.(*tls.Conn)
	if !secure || t.ConnectionState().NegotiatedProtocol == "h2" {
		return // many requests share the connection
	}
	a.conn = t.NetConn().(*endpointConn)
	a.before = a.conn.written.Load()
	a.conn.began.Store(a.before)
	if info.Reused && !isIdempotent(a.x.q.Method) && a.conn.isClosed() {
		// The endpoint has hung up, and what is written now would be lost: make the
		// write fail instead.
		_ = a.conn.Close()
	}
}

// checkHead refuses what net/http takes for an answer and is none: a status below 100, and
// a blank behind the name of a field that says where the answer ends. Behind other names
// the blank is taken away (RFC 9112, 5.1).
func checkHead(res *http.Response) error {
	if res.StatusCode < 100 {
		return errHead
	}
	for name, values := range res.Header {
		trimmed := strings.TrimRight(name, " \t")
		if len(trimmed) == len(name) {
			continue
		}
		delete(res.Header, name)
		switch name = http.CanonicalHeaderKey(trimmed); name {
		case "Content-Length", "Transfer-Encoding", "Connection":
			return errHead
		}
		res.Header[name] = append(res.Header[name], values...)
	}
	return nil
}
