package wire

import "io"

// Buffer is what was read of a connection and has not been used yet. It belongs to one
// goroutine.
type Buffer struct {
	src  io.Reader
	buf  []byte
	r, w int // what is unused is between them
}

// Reset makes it read src, through memory that the caller keeps until the next Reset.
// What was unused is gone.
func (b *Buffer) Reset(src io.Reader, memory []byte) {
	*b = Buffer{src: src, buf: memory}
}

// Unused is what was read and not used. It is valid until the next call.
func (b *Buffer) Unused() []byte { return b.buf[b.r:b.w] }

// Use takes n bytes off what is unused.
func (b *Buffer) Use(n int) {
	if b.r += n; b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// Fill reads once, behind what is unused. The memory grows where that needs it, up to
// limit bytes; beyond them it is FaultTooLarge.
func (b *Buffer) Fill(limit int) error {
	if b.w == len(b.buf) {
		switch {
		case b.r > 0:
			b.w = copy(b.buf, b.buf[b.r:b.w])
			b.r = 0
		case len(b.buf) >= limit:
			return FaultTooLarge
		default:
			grown := make([]byte, min(2*len(b.buf), limit))
			b.w = copy(grown, b.buf)
			b.buf = grown
		}
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// Read gives what is unused, and else reads from the connection past the buffer.
func (b *Buffer) Read(p []byte) (int, error) {
	if b.r == b.w {
		return b.src.Read(p)
	}
	n := copy(p, b.buf[b.r:b.w])
	b.Use(n)
	return n, nil
}

// Head waits for a whole head, of at most limit bytes, and takes it off as a text of its
// own, which may be kept. started is called, if it is not nil, when the first bytes are
// there and more are needed. Without a byte an end of the connection is io.EOF.
func (b *Buffer) Head(limit int, started func()) (string, error) {
	var find Finder
	for {
		n, err := find.Find(b.Unused())
		switch {
		case err != nil:
			return "", err
		case n > limit, n == 0 && b.w-b.r >= limit:
			return "", FaultTooLarge
		case n > 0:
			head := string(b.Unused()[:n])
			b.Use(n)
			return head, nil
		}
		if b.r != b.w && started != nil {
			started()
			started = nil
		}
		before := b.w - b.r
		if err := b.Fill(limit); err != nil {
			if err == io.EOF && before > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}
