package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route/field"
)

// Exchange is a request of a client and its answer. It belongs to the handler until that
// returns, and may be used by one goroutine for reading the body and one for the answer.
type Exchange struct {
	// Request is the head; its fields may be changed.
	Request wire.Request

	conn *conn
	body wire.Body

	mu    sync.Mutex    // what is said before the answer is said from any goroutine
	asked bool          // 100 was sent
	limit time.Duration // of a write, as WriteWithin had it last; 0 for none

	out    []byte
	form   answerForm
	begun  bool             // the head of the answer is written, at least to out
	ended  bool             // so is all of it
	keep   bool             // another request may follow
	left   int64            // of the length that was said
	err    error            // the first one of writing
	passed bool             // the connection belongs to another protocol
	piece  io.LimitedReader // that is spliced
	slow   bool             // the client has not taken a spliced piece quickly
}

// Answer is the head of an answer.
type Answer struct {
	Status int
	// Fields have no Content-Length, Transfer-Encoding and Connection.
	Fields field.List
	// Length is that of the body; -1 is for one that ends with End. An answer to HEAD, or
	// with 304, has none and may say it; -1 says nothing then.
	Length int64
	// Close has the connection end with the answer.
	Close bool
}

// answerForm is how the client finds the end of an answer.
type answerForm uint8

const (
	formNone answerForm = iota // there is no body
	formLength
	formChunks
	formClose
)

// outSize is how much of an answer is gathered for one write.
const outSize = 16 << 10

// The errors of an answer.
var (
	errTooLong  = errors.New("the answer is longer than it said")
	errTooShort = errors.New("the answer is shorter than it said")
	errAborted  = errors.New("the answer was broken off")
	errNoAnswer = errors.New("the handler gave no answer")
	errNotAsked = errors.New("no other protocol was asked for")
)

func (x *Exchange) begin(k *conn) {
	x.conn, x.asked, x.begun, x.ended, x.keep, x.passed, x.slow = k, false, false, false, false, false, false
	x.out, x.form, x.left, x.err, x.limit = x.out[:0], formNone, 0, nil, 0
}

// leave gives the exchange back to the server.
func (x *Exchange) leave() {
	s := x.conn.server
	x.clear()
	s.work.Put(x)
}

// clear lets go of what the exchange refers to.
func (x *Exchange) clear() {
	clear(x.Request.Fields[:cap(x.Request.Fields)]) // also what was deleted
	x.Request = wire.Request{Fields: x.Request.Fields[:0]}
	x.conn, x.body, x.err = nil, wire.Body{}, nil
	if cap(x.out) > 2*outSize {
		x.out = make([]byte, 0, outSize)
	}
}

// Context ends when the client is gone, with ErrClientGone, or is cut off. It is that of
// the connection.
func (x *Exchange) Context() context.Context { return x.conn.ctx }

// Interrupt ends with Context.
func (x *Exchange) Interrupt() *Interrupt { return &x.conn.interrupt }

// Conn is the connection, as Serve was given it.
func (x *Exchange) Conn() net.Conn { return x.conn.Conn }

// SetReadDeadline bounds the reading of the body, and no longer than that.
func (x *Exchange) SetReadDeadline(t time.Time) error {
	x.conn.readBy = time.Time{}
	return x.conn.SetReadDeadline(t)
}

// WriteWithin bounds the writing of the answer, or lets it have an eighth more, so that the
// deadline need not be set each time. Answers with 1xx and what Pass sends get as long.
func (x *Exchange) WriteWithin(now time.Time, limit time.Duration) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.limit = limit
	return x.writeWithin(now.Add(limit), limit)
}

// renew gives the next write its whole limit. It is called with mu held.
func (x *Exchange) renew() {
	if x.limit > 0 {
		_ = x.writeWithin(time.Now().Add(x.limit), x.limit)
	}
}

func (x *Exchange) writeWithin(t time.Time, limit time.Duration) error {
	k := x.conn
	if spare := k.writeBy.Sub(t); limit > 0 && spare >= 0 && spare <= limit/4 {
		return nil
	}
	k.writeBy = t.Add(limit / 8)
	return k.Conn.SetWriteDeadline(k.writeBy)
}

// Read reads the body without its coding. A client that waits to be asked for it is asked,
// unless the answer has begun: then there is none.
func (x *Exchange) Read(p []byte) (int, error) {
	if x.Request.Continue {
		if err := x.ask(); err != nil {
			return 0, err
		}
	}
	return x.body.Read(p)
}

// whole reports whether the body is there, or there is none: nothing is read for it.
func (x *Exchange) whole() bool {
	n := x.Request.Length
	return n == 0 || n > 0 && int64(x.body.Buffered()) == n
}

// Whole takes the body, where it has come with the head, and is nil otherwise. It is valid
// until the handler returns, as nothing else is read until then.
func (x *Exchange) Whole() []byte {
	if x.Request.Continue {
		return nil
	}
	return x.body.Whole()
}

// ask has a client send the body that it waits with.
func (x *Exchange) ask() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.asked:
		return nil
	case x.begun:
		return http.ErrBodyReadAfterClose
	}
	x.asked = true
	return x.early(http.StatusContinue, nil)
}

// Early sends an answer with 1xx ahead of the answer, from any goroutine. HTTP/1.0 gets
// none (RFC 9110, 15.2), and neither does a client whose answer has begun.
func (x *Exchange) Early(status int, fields field.List) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.early(status, fields)
}

func (x *Exchange) early(status int, fields field.List) error {
	if x.Request.Old || x.begun {
		return nil
	}
	x.out = wire.AppendStatusLine(x.out, status, http.StatusText(status))
	for i := range fields {
		x.out = wire.AppendField(x.out, fields[i].Name, fields[i].Value)
	}
	x.out = wire.AppendEnd(x.out)
	x.renew()
	return x.Flush()
}

// Begin writes the head of the answer, which goes out with the first bytes of the body,
// with Flush or End. Chunks are for what has no length; HTTP/1.0 has the end of the
// connection instead (RFC 9112, 6.1 and 6.3).
func (x *Exchange) Begin(a *Answer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begun {
		return
	}
	x.begun = true
	none := a.Status < 200 || a.Status == http.StatusNoContent
	x.frame(a, none)
	b := x.head(a)
	switch {
	case x.form == formChunks:
		b = wire.AppendChunked(b)
	case a.Length >= 0 && !none:
		b = wire.AppendLength(b, a.Length)
	}
	switch {
	case !x.keep && a.Status != http.StatusSwitchingProtocols:
		b = append(b, "Connection: close\r\n"...)
	case x.Request.Old:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	x.out = wire.AppendEnd(b)
}

// frame decides where the answer ends, and whether another request may follow.
func (x *Exchange) frame(a *Answer, none bool) {
	r := &x.Request
	switch {
	case none, a.Status == http.StatusNotModified, r.Method == http.MethodHead:
		x.form = formNone
	case a.Length >= 0:
		x.form, x.left = formLength, a.Length
	case r.Old:
		x.form = formClose
	default:
		x.form = formChunks
	}
	unasked := r.Continue && !x.asked && !x.body.Ended() // it may send the body or not
	x.keep = !a.Close && !r.Close && x.form != formClose && !unasked && !x.conn.server.draining.Load()
}

// head writes the status line and the fields that are the handler's, and Date.
func (x *Exchange) head(a *Answer) []byte {
	b := wire.AppendStatusLine(x.out, a.Status, http.StatusText(a.Status))
	dated := false
	for i := range a.Fields {
		f := &a.Fields[i]
		dated = dated || strings.EqualFold(f.Name, "Date")
		b = wire.AppendField(b, f.Name, f.Value)
	}
	if !dated {
		b = wire.AppendField(b, "Date", x.conn.server.today(time.Now()))
	}
	return b
}

// Write writes some of the body. It is gathered until there is enough for a write.
func (x *Exchange) Write(p []byte) (int, error) {
	switch {
	case x.err != nil:
		return 0, x.err
	case x.form == formNone:
		return len(p), nil
	case x.form == formChunks:
		return x.writeChunks(p)
	case x.form == formLength && int64(len(p)) > x.left:
		x.fail(errTooLong)
		return 0, x.err
	}
	x.left -= int64(len(p))
	rest := p
	if n := outSize - len(x.out); len(rest) > n && len(x.out) > 0 {
		x.out = append(x.out, rest[:max(n, 0)]...)
		rest = rest[max(n, 0):]
		if err := x.Flush(); err != nil {
			return 0, err
		}
	}
	if len(rest) >= outSize { // without a copy
		_, err := x.conn.write(rest)
		x.fail(err)
		return len(p), err
	}
	x.out = append(x.out, rest...)
	return len(p), nil
}

// writeChunks makes a chunk of what fits into one write with what is there.
func (x *Exchange) writeChunks(p []byte) (int, error) {
	const least = 512 // bytes for which a chunk of its own is made
	for rest := p; len(rest) > 0; {
		room := outSize - len(x.out) - wire.ChunkFront - wire.ChunkBack
		if room < min(len(rest), least) {
			if err := x.Flush(); err != nil {
				return 0, err
			}
			continue
		}
		piece := rest[:min(room, len(rest))]
		rest = rest[len(piece):]
		x.out = wire.AppendChunk(x.out, piece)
	}
	return len(p), nil
}

// Flush sends what was gathered.
func (x *Exchange) Flush() error {
	if x.err != nil || len(x.out) == 0 {
		return x.err
	}
	_, err := x.conn.write(x.out)
	x.out = x.out[:0]
	x.fail(err)
	return err
}

func (x *Exchange) fail(err error) {
	if x.err == nil {
		x.err = err
	}
}

// End ends the answer. The trailers are sent where it has chunks.
func (x *Exchange) End(trailers field.List) error {
	switch {
	case x.ended || x.err != nil:
		return x.err
	case !x.begun:
		x.fail(errNoAnswer)
		return x.err
	case x.form == formChunks:
		x.out = wire.AppendLastChunk(x.out, trailers)
	case x.form == formLength && x.left > 0:
		x.fail(errTooShort)
		return x.err
	}
	x.ended = true
	return x.Flush()
}

// Abort breaks the answer off: the connection is closed, so that the client notices.
func (x *Exchange) Abort() { x.fail(errAborted) }

// Close has the connection end with the answer, where that has not begun.
func (x *Exchange) Close() { x.Request.Close = true }

// Pass gives the connection to another protocol: what was read of it comes first. Who
// has it closes it, before the handler returns.
func (x *Exchange) Pass() (net.Conn, error) {
	if x.conn.turns.inside() {
		return nil, errNotAsked // who does not name a protocol may not get one
	}
	x.mu.Lock()
	x.renew()
	x.mu.Unlock()
	if err := x.Flush(); err != nil {
		return nil, err
	}
	x.passed = true
	x.conn.watch.end()
	_ = x.conn.SetDeadline(time.Time{})
	return &passed{Conn: x.conn.Conn, in: &x.conn.in}, nil
}

// passed is a connection that another protocol has.
type passed struct {
	net.Conn
	in *wire.Buffer
}

// Read reads what had been read before, and then on.
func (p *passed) Read(b []byte) (int, error) { return p.in.Read(b) }

// CloseWrite passes the end of one direction on.
func (p *passed) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// finish ends what the handler has left, and reports whether another request may follow.
func (x *Exchange) finish() bool {
	if x.passed || x.End(nil) != nil {
		return false
	}
	return x.keep && x.body.Ended()
}

// refuse answers what is no request, where something was sent that looks like one.
func (x *Exchange) refuse(reason error) {
	var fault wire.Fault
	status := http.StatusExpectationFailed
	switch {
	case errors.As(reason, &fault):
		status = fault.Status()
	case !errors.Is(reason, ErrExpectation):
		return // the connection has ended, or it took too long
	}
	if x.conn.hooks.Refused != nil {
		x.conn.hooks.Refused(reason)
	}
	text := "fairway: " + reason.Error() + "\n"
	x.Request.Old, x.Request.Method = false, ""
	x.Begin(&Answer{Status: status, Length: int64(len(text)), Close: true, Fields: field.List{
		{Name: "Content-Type", Value: "text/plain; charset=utf-8"},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "X-Fairway-Error", Value: "bad-message"},
	}})
	_ = x.conn.SetWriteDeadline(time.Now().Add(refuseTime))
	_, _ = io.WriteString(x, text)
	_ = x.End(nil)
}

// refuseTime bounds the writing of an answer to what is no request.
const refuseTime = 5 * time.Second
