package wire

import (
	"bytes"
	"io"

	"fairway/internal/route/field"
)

// Bounds of chunks. A sender may make small chunks, but not send much that is no content:
// extensions are read for nothing (RFC 9112, 7.1.1).
const (
	maxChunkLine   = 1 << 10
	maxChunkExcess = 16 << 10
	maxTrailers    = 8 << 10
)

// Body is the body of a message, without its coding. It belongs to one goroutine.
type Body struct {
	from  *Buffer
	form  form
	state chunkState
	left  int64 // of the body, or of the chunk
	extra int64 // bytes of chunks that are no content, less what is usual
	err   error // io.EOF: it was read whole

	// Trailers are the fields behind chunks, when the body was read whole.
	Trailers field.List
}

// form is how the end of a body is found.
type form uint8

const (
	byLength form = iota
	byChunks
	byClose
)

// chunkState is what comes next in chunks.
type chunkState uint8

const (
	atSize chunkState = iota
	inChunk
	atChunkEnd
	atTrailers
)

// NewBody returns the body of length bytes that begins with what b has not used; -1 is for
// chunks, or for one that ends with the connection.
func NewBody(b *Buffer, length int64, chunked bool) Body {
	switch {
	case chunked:
		return Body{from: b, form: byChunks}
	case length < 0:
		return Body{from: b, form: byClose}
	case length == 0:
		return Body{err: io.EOF}
	}
	return Body{from: b, left: length}
}

// Ended reports whether the body was read whole: the next message follows.
func (b *Body) Ended() bool { return b.err == io.EOF }

// Buffered is how much of the body can be read without waiting, at least.
func (b *Body) Buffered() int {
	if b.err != nil {
		return 0
	}
	n := len(b.from.Unused())
	if b.form != byClose {
		n = int(min(int64(n), b.left))
	}
	return n
}

// Whole takes what is left of a body with a length, where all of it is there, and is nil
// otherwise. It is valid until the Buffer is used again.
func (b *Body) Whole() []byte {
	n := b.Buffered()
	if n == 0 || b.form != byLength || int64(n) != b.left {
		return nil
	}
	whole := b.from.Unused()[:n:n]
	b.from.Use(n)
	b.Skip(int64(n))
	return whole
}

// Beyond is how much of a body with a length is still to come from the connection, past the
// buffer: who reads it elsewhere says so with Skip.
func (b *Body) Beyond() int64 {
	if b.err != nil || b.form != byLength || len(b.from.Unused()) > 0 {
		return 0
	}
	return b.left
}

// Skip says that n bytes of a body with a length were read elsewhere.
func (b *Body) Skip(n int64) {
	if b.left -= n; b.left == 0 {
		b.err = io.EOF
	}
}

// Read reads what is there, and waits only for the first byte. The end comes with the
// last bytes. A connection that ends before is io.ErrUnexpectedEOF; what is no chunk is a
// Fault. Errors stay.
func (b *Body) Read(p []byte) (n int, err error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	switch b.form {
	case byChunks:
		n, b.err = b.readChunks(p)
	case byClose:
		n, b.err = b.from.Read(p)
		return n, b.err
	default:
		n, b.err = b.readSome(p)
		if b.left == 0 && b.err == nil {
			b.err = io.EOF
			return n, b.err
		}
	}
	return n, b.err
}

// readSome reads of what is left. A connection that ends here ends too early.
func (b *Body) readSome(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	b.left -= int64(n)
	switch {
	case n > 0:
		err = nil // it comes again, if more is needed
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// readChunks reads the content of chunks, of several when they are there.
func (b *Body) readChunks(p []byte) (n int, err error) {
	for {
		switch b.state {
		case inChunk:
			if n > 0 && len(b.from.Unused()) == 0 || n == len(p) {
				return n, nil
			}
			some, err := b.readSome(p[n:])
			n += some
			if err != nil {
				return n, err
			}
			if b.left == 0 {
				b.state = atChunkEnd
			}
		case atTrailers:
			var end Finder
			if there, _ := end.Find(b.from.Unused()); n > 0 && there == 0 {
				return n, nil // the content first: trailers may be long in coming
			}
			return n, b.readTrailers()
		default:
			line, err := b.line(n == 0)
			if line == nil {
				return n, err
			}
			if err := b.take(line); err != nil {
				return n, err
			}
		}
	}
}

// line takes off the next line, without its end. It is nil, without an error, when that
// is not there and wait is false.
func (b *Body) line(wait bool) ([]byte, error) {
	for {
		buf := b.from.Unused()
		end := bytes.IndexByte(buf, '\n')
		switch {
		case end > 0 && buf[end-1] == '\r':
			b.from.r += end + 1 // the line is valid until the buffer is filled
			return buf[: end-1 : end-1], nil
		case end >= 0:
			return nil, FaultBareLF
		case b.state == atChunkEnd && len(buf) > 0 && buf[0] != '\r':
			return nil, FaultChunkEnd
		case len(buf) > maxChunkLine:
			return nil, FaultChunkExt
		case !wait:
			return nil, nil
		}
		if err := b.from.Fill(2 * maxChunkLine); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// take reads a line of the coding: the size of a chunk, or the nothing behind one.
func (b *Body) take(line []byte) error {
	if b.state == atChunkEnd {
		if len(line) > 0 {
			return FaultChunkEnd
		}
		b.state = atSize
		return nil
	}
	size, digits := chunkSize(line)
	ext := line[digits:]
	switch {
	case digits == 0 || digits > 15, len(ext) > 0 && ext[0] != ';':
		return FaultChunkSize
	case len(ext) > maxChunkLine:
		return FaultChunkExt
	}
	for _, c := range ext {
		if classes[c]&classValue == 0 {
			return FaultChunkExt
		}
	}
	// As in net/http: what is no content may be 16 bytes for each chunk and twice the
	// content, and some more in all.
	if b.extra = max(0, b.extra+int64(len(line)+2)-16-2*size); b.extra > maxChunkExcess {
		return FaultChunkExt
	}
	if b.left, b.state = size, inChunk; size == 0 {
		b.state = atTrailers
	}
	return nil
}

// chunkSize reads the hexadecimal digits in front, and says how many there are.
func chunkSize(line []byte) (size int64, digits int) {
	for _, c := range line {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return size, digits
		}
		if digits++; digits > 15 {
			return 0, digits
		}
		size = size<<4 | int64(c)
	}
	return size, digits
}

// readTrailers reads what follows the last chunk. It returns io.EOF when that was right.
func (b *Body) readTrailers() error {
	head, err := b.from.Head(maxTrailers, nil)
	switch {
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	if len(head) > 2 {
		if b.Trailers, err = Trailers(nil, head); err != nil {
			return err
		}
	}
	return io.EOF
}
