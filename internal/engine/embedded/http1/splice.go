package http1

import (
	"io"
	"time"
)

// How answers are spliced: passed on by the kernel, without a copy (splice(2)).
const (
	// spliceLeast is what must have come: what is less is copied at no more cost.
	spliceLeast = 32 << 10
	// spliceMost is the largest piece. The client must take it within the limit of a write,
	// so it is not larger, though a pipe holds four of it.
	spliceMost = 256 << 10
	// spliceSlow is for how long a client may take a piece; what follows is copied to it.
	spliceSlow = 100 * time.Millisecond
	// maxSplicing is how many pieces of a server are spliced at once, with two descriptors
	// each for a pipe, which are counted nowhere else.
	maxSplicing = 16
)

// MaySplice is false where Splice would do nothing.
func (x *Exchange) MaySplice(p *Peer) bool {
	return x.form == formLength && !x.slow && x.err == nil && p.body.Beyond() >= spliceLeast && x.left >= spliceLeast
}

// Splice passes on a piece of the answer's body that has come from the endpoint, where both
// connections are sockets in clear and the length is known. It is 0 where that cannot be
// done, or is not worth it: then the body is read on. It waits for the client alone.
func (x *Exchange) Splice(p *Peer) (int64, error) {
	if !x.MaySplice(p) {
		return 0, x.err
	}
	from, to := lineOf(p.Conn), lineOf(x.conn.Conn)
	if from == nil || to == nil {
		return 0, nil
	}
	most := min(int64(from.unread()), p.body.Beyond(), x.left, spliceMost)
	if most < spliceLeast || x.Flush() != nil {
		return 0, x.err
	}
	s := x.conn.server
	defer s.splicing.Add(-1)
	if s.splicing.Add(1) > maxSplicing {
		return 0, nil
	}
	p.endless()
	began := time.Now()
	x.piece = io.LimitedReader{R: from.TCPConn, N: most}
	n, err := to.ReadFrom(&x.piece)
	x.piece.R = nil
	if err == nil && n < most {
		err = io.ErrUnexpectedEOF
	}
	x.conn.watch.wrote.Add(1)
	x.left -= n
	p.body.Skip(n)
	x.slow = time.Since(began) > spliceSlow
	x.fail(err)
	return n, err
}
