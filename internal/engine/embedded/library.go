package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/library"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
	"fairway/internal/route/field"
)

// overLibrary sends the request by net/http, to endpoints that speak HTTP/2.
func (a *attempt) overLibrary(ctx context.Context) (*reply, error) {
	a.byCore, a.sent, a.reused = false, false, false // the pool may have had a connection of HTTP/1.1
	out := &a.x.out
	var mu sync.Mutex
	over := false // the exchange may belong to another client; net/http may still call
	during := func(do func()) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			do()
		}
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(info httptrace.GotConnInfo) { during(func() { a.gotConn, a.reused = true, info.Reused }) },
		GotFirstResponseByte: func() { during(func() { a.answered.Store(true) }) },
		Got1xxResponse: func(status int, h textproto.MIMEHeader) (err error) {
			during(func() { err = a.x.w.Early(status, field.Of(http.Header(h))) })
			return err
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
		if a.x.in.whole != nil {
			body.Own() // it may be read after the exchange
		}
		req.Body = a.x.bounded(body)
		req.GetBody = func() (io.ReadCloser, error) {
			if body.Lost() {
				return nil, http1.ErrLost
			}
			return a.x.bounded(body), nil
		}
	}
	res, err := a.transport.library.RoundTrip(req)
	mu.Lock()
	over = true
	mu.Unlock()
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 100 {
		return nil, errors.Join(errHead, res.Body.Close())
	}
	r := &reply{
		status: res.StatusCode, header: field.Of(res.Header), length: res.ContentLength, body: res.Body,
	}
	for name := range res.Trailer {
		r.header.Add("Trailer", name)
	}
	r.trailer = func() field.List { return field.Of(res.Trailer) }
	return r, nil
}

// url names the scheme, and what a certificate is verified for.
func (a *attempt) url() *url.URL {
	q := a.x.q
	u := &url.URL{Scheme: "http", Host: a.endpoint.Address(), RawQuery: q.Query, ForceQuery: q.bareQuery}
	library.SetPath(u, q.path)
	if a.x.route.def.Scheme == route.SchemeHTTPS {
		u.Scheme = "https"
		if name := a.serverName(); name != "" {
			u.Host = arrival.Bracketed(name)
		}
	}
	return u
}
