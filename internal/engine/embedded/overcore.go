package embedded

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/wire"
)

// trip is one request on a connection to an endpoint.
type trip struct {
	peer    *http1.Peer
	timeout time.Duration
	sending *sending // nil when the request was sent in one piece
	stop    func() bool
	over    atomic.Bool
}

// roundTrip sends a request to the endpoint and reads the head of the answer. whole is
// its body, when that was read beforehand.
func (t *transport) roundTrip(req *http.Request, whole []byte) (*http.Response, error) {
	ctx := req.Context()
	peer, err := t.pool.Get(ctx)
	if err != nil {
		return nil, err
	}
	trace := httptrace.ContextClientTrace(ctx)
	trace.GotConn(httptrace.GotConnInfo{Conn: peer.Conn, Reused: peer.Reused()})
	r := &trip{peer: peer, timeout: t.timeout}
	r.stop = context.AfterFunc(ctx, func() { _ = peer.SetDeadline(time.Unix(1, 0)) })
	res, err := r.run(req, whole, trace)
	if err == nil {
		return res, nil
	}
	if peer.Answered() {
		trace.GotFirstResponseByte()
	}
	r.end(false)
	if cause := ctx.Err(); cause != nil {
		err = cause
	}
	return nil, err
}

func (r *trip) run(req *http.Request, whole []byte, trace *httptrace.ClientTrace) (*http.Response, error) {
	streams := req.Body != nil && whole == nil
	out := requestHead(req, streams)
	if _, err := r.peer.Write(append(out, whole...)); err != nil {
		return nil, err
	}
	if streams {
		r.sending = newSending(req, r)
	} else {
		r.peer.ReadWithin(r.timeout)
	}
	err := r.peer.Receive(req.Method, func(early *wire.Response) {
		r.sending.proceed()
		if trace.Got1xxResponse != nil && early.Status != http.StatusContinue {
			_ = trace.Got1xxResponse(early.Status, textproto.MIMEHeader(headerOf(early.Fields)))
		}
	})
	if err != nil {
		if cause := r.sending.failed(); cause != nil {
			err = cause
		}
		return nil, err
	}
	trace.GotFirstResponseByte()
	return r.answer(req), nil
}

// requestHead is the head of a request as it is sent.
func requestHead(req *http.Request, streams bool) []byte {
	b := make([]byte, 0, 1<<10)
	b = wire.AppendRequestLine(b, req.Method, req.URL.RequestURI())
	b = wire.AppendField(b, "Host", req.Host)
	for name, values := range req.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		case "User-Agent":
			if len(values) == 1 && values[0] == "" {
				continue
			}
		}
		if !wire.IsToken(name) {
			continue
		}
		for _, v := range values {
			b = wire.AppendField(b, name, v)
		}
	}
	switch {
	case streams && req.ContentLength < 0:
		b = wire.AppendChunked(b)
	case req.ContentLength > 0, req.Body == nil && (req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch):
		b = wire.AppendLength(b, max(req.ContentLength, 0))
	}
	return wire.AppendEnd(b)
}

func headerOf(fields []wire.Field) http.Header {
	h := make(http.Header, len(fields))
	for i := range fields {
		name := textproto.CanonicalMIMEHeaderKey(fields[i].Name)
		h[name] = append(h[name], fields[i].Value)
	}
	return h
}

// answer is the answer as net/http has it.
func (r *trip) answer(req *http.Request) *http.Response {
	a := &r.peer.Response
	res := &http.Response{
		StatusCode: a.Status, Status: strconv.Itoa(a.Status) + " " + a.Reason, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: headerOf(a.Fields), ContentLength: a.Length, Request: req,
	}
	if a.Status == http.StatusSwitchingProtocols {
		r.stop()
		res.Body = passing{r.peer.Pass()}
		return res
	}
	delete(res.Header, "Transfer-Encoding")
	if n := res.Header.Get("Content-Length"); n != "" && a.Length == 0 { // of an answer without a body
		res.ContentLength, _ = strconv.ParseInt(n, 10, 64)
	}
	for _, v := range res.Header["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); mayTrail(name) {
				if res.Trailer == nil {
					res.Trailer = http.Header{}
				}
				res.Trailer[name] = nil
			}
		}
	}
	delete(res.Header, "Trailer")
	if r.peer.BodyEnded() && r.sending.done() {
		r.end(true)
		res.Body = http.NoBody
		return res
	}
	res.Body = &tripBody{r: r, res: res}
	return res
}

// mayTrail reports whether a field may stand behind a body (RFC 9110, 6.5.1).
func mayTrail(name string) bool {
	return name != "Content-Length" && name != "Transfer-Encoding" && name != "Trailer" && wire.IsToken(name)
}

// end gives the connection back, once.
func (r *trip) end(clean bool) {
	if r.over.Swap(true) {
		return
	}
	stopped := r.stop()
	clean = clean && stopped && r.sending.done()
	r.peer.Done(clean)
	r.sending.proceed()
}

// passing is a connection that another protocol has.
type passing struct{ io.ReadWriteCloser }

// CloseWrite passes the end of one direction on.
func (p passing) CloseWrite() error {
	return p.ReadWriteCloser.(interface{ CloseWrite() error }).CloseWrite()
}

// tripBody is the body of an answer.
type tripBody struct {
	r   *trip
	res *http.Response
	mu  sync.Mutex
	err error
}

// Read reads the body; behind its end the trailers are known.
func (b *tripBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.peer.Read(p)
	if b.err = err; err == nil {
		return n, nil
	}
	if err == io.EOF {
		for _, f := range b.r.peer.Trailers() {
			if name := textproto.CanonicalMIMEHeaderKey(f.Name); mayTrail(name) {
				if b.res.Trailer == nil {
					b.res.Trailer = http.Header{}
				}
				b.res.Trailer[name] = append(b.res.Trailer[name], f.Value)
			}
		}
	}
	b.r.end(err == io.EOF)
	return n, err
}

// Close gives the connection up when the body was not read whole.
func (b *tripBody) Close() error {
	b.r.end(false)
	return nil
}

// sending is a body that is sent while the answer may come already.
type sending struct {
	waits  chan struct{} // closed when the endpoint wants the body
	once   sync.Once
	ended  atomic.Bool // it was sent whole
	mu     sync.Mutex
	reason error // why it was not: of reading
}

// expectTime is how long an endpoint may take to say that it wants a body.
const expectTime = time.Second

func newSending(req *http.Request, r *trip) *sending {
	s := &sending{waits: make(chan struct{})}
	if req.Header.Get("Expect") == "" {
		s.proceed()
	}
	go func() {
		select {
		case <-s.waits:
		case <-time.After(expectTime):
		}
		defer req.Body.Close()
		if r.over.Load() {
			return
		}
		s.copy(req, r.peer)
		r.peer.ReadWithin(r.timeout)
	}()
	return s
}

// copy sends the body. When that cannot be read the endpoint must not take what it has
// for the whole: the connection is closed. When it takes no more, it may have answered.
func (s *sending) copy(req *http.Request, peer *http1.Peer) {
	buf := make([]byte, copyBuffer)
	var out []byte
	left := req.ContentLength
	for {
		n, err := req.Body.Read(buf)
		piece := buf[:n]
		if left >= 0 {
			piece = piece[:min(int64(n), left)]
			left -= int64(len(piece))
		} else if n > 0 {
			out = wire.AppendChunk(out[:0], piece)
			piece = out
		}
		if err == io.EOF && left < 0 {
			out = wire.AppendLastChunk(append(out[:0], piece...), nil)
			piece = out
		}
		if len(piece) > 0 {
			if _, err := peer.Write(piece); err != nil {
				return
			}
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF && left <= 0:
			s.ended.Store(true)
			return
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
		s.mu.Lock()
		s.reason = err
		s.mu.Unlock()
		_ = peer.Close()
		return
	}
}

func (s *sending) proceed() {
	if s != nil {
		s.once.Do(func() { close(s.waits) })
	}
}

func (s *sending) done() bool { return s == nil || s.ended.Load() }

func (s *sending) failed() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}
