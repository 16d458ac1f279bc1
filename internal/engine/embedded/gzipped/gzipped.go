// Package gzipped compresses the bodies of answers, for clients that take them so.
package gzipped

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// IsCompressible knows the types that are text in some form.
func IsCompressible(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil, t == "text/event-stream":
		return false
	case strings.HasPrefix(t, "text/"), strings.HasSuffix(t, "+json"), strings.HasSuffix(t, "+xml"):
		return true
	}
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm",
		"application/x-javascript", "application/x-ndjson", "font/ttf", "font/otf":
		return true
	}
	return false
}

// Accepts says whether gzip may be sent (RFC 9110, 12.5.3): its own quality
// counts, else that of "*", and it is above zero and not below that of identity.
func Accepts(values []string) bool {
	quality := map[string]float64{}
	for _, v := range values {
		for entry := range strings.SplitSeq(v, ",") {
			coding, params, _ := strings.Cut(entry, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding == "x-gzip" { // the same (RFC 9110, 8.4.1.3)
				coding = "gzip"
			}
			quality[coding] = qualityOf(params)
		}
	}
	gzip, named := quality["gzip"]
	if !named {
		gzip = quality["*"]
	}
	return gzip > 0 && gzip >= quality["identity"]
}

// qualityOf reads the weight of an entry: 1 for none, 0 for one that cannot be read.
func qualityOf(params string) float64 {
	name, value, _ := strings.Cut(params, "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err == nil && q >= 0 && q <= 1 {
		return q
	}
	return 0
}

// NewWriters returns a pool of *gzip.Writer for NewBody, which are large.
func NewWriters() *sync.Pool {
	return &sync.Pool{New: func() any {
		gz, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
		return gz
	}}
}

// Body is the body of an answer as it is compressed. It belongs to one goroutine.
type Body struct {
	src    io.ReadCloser
	stream bool // pass on each piece at once
	out    bytes.Buffer
	pool   *sync.Pool
	gz     *gzip.Writer // nil when it is back in the pool
	in     []byte
	err    error
}

// NewBody compresses src with a writer of the pool. A stream is passed on piece by piece.
func NewBody(src io.ReadCloser, stream bool, pool *sync.Pool) *Body {
	b := &Body{src: src, stream: stream, pool: pool, gz: pool.Get().(*gzip.Writer), in: make([]byte, 16<<10)}
	b.gz.Reset(&b.out)
	return b
}

// Read returns compressed bytes.
func (b *Body) Read(p []byte) (int, error) {
	for b.out.Len() == 0 && b.err == nil {
		n, err := b.src.Read(b.in)
		_, _ = b.gz.Write(b.in[:n]) // into memory
		switch {
		case err == io.EOF:
			_ = b.gz.Close()
			b.err = io.EOF
		case err != nil:
			b.err = err
		case b.stream:
			_ = b.gz.Flush()
		}
	}
	if b.out.Len() > 0 {
		return b.out.Read(p)
	}
	return 0, b.err
}

// Close closes the source and gives the writer back. Nothing is read afterwards.
func (b *Body) Close() error {
	if b.gz != nil {
		b.gz.Reset(io.Discard) // the pool must not hold on to the answer
		b.pool.Put(b.gz)
		b.gz, b.err = nil, http.ErrBodyReadAfterClose
	}
	return b.src.Close()
}
