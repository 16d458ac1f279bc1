package embedded

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"fairway/internal/route/field"

	"github.com/klauspost/compress/gzip"
)

const minCompress = 1024

// compress makes the answer a gzip one where client, status and content allow; that to
// HEAD has the header that GET would get (RFC 9110, 9.3.2).
func compress(q *request, res *reply, writers *sync.Pool) {
	h := &res.header
	if !isCompressible(h.Get("Content-Type")) || h.Get("Content-Encoding") != "" ||
		h.Get("Content-Range") != "" || h.Lists("Cache-Control", "no-transform") {
		return
	}
	varyByEncoding(h)
	switch {
	case res.status < 200, !acceptsGzip(q.header.Values("Accept-Encoding")),
		res.status == http.StatusNoContent, res.status == http.StatusNotModified,
		res.status == http.StatusPartialContent,
		res.length >= 0 && res.length < minCompress:
		return
	}
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	h.Set("Content-Encoding", "gzip")
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("Etag", "W/"+tag) // a strong one is for other bytes (RFC 9110, 8.8.1)
	}
	if q.Method != http.MethodHead {
		res.body = newGzipBody(res.body, res.length < 0, writers)
	}
	res.length = -1
}

// varyByEncoding has Vary say that the answer depends on Accept-Encoding.
func varyByEncoding(h *field.List) {
	if h.Lists("Vary", "*") || h.Lists("Vary", "Accept-Encoding") {
		return
	}
	h.Set("Vary", strings.Join(append(h.Values("Vary"), "Accept-Encoding"), ", "))
}

// isCompressible knows the types that are text in some form.
func isCompressible(contentType string) bool {
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

// acceptsGzip says whether gzip may be sent (RFC 9110, 12.5.3): its own quality
// counts, else that of "*", and it is above zero and not below that of identity.
func acceptsGzip(values []string) bool {
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

// newGzips returns a pool of *gzip.Writer, which are large.
func newGzips() *sync.Pool {
	return &sync.Pool{New: func() any {
		gz, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
		return gz
	}}
}

type gzipBody struct {
	src    io.ReadCloser
	stream bool // pass on each piece at once
	out    bytes.Buffer
	pool   *sync.Pool
	gz     *gzip.Writer // nil when it is back in the pool
	in     []byte
	err    error
}

func newGzipBody(src io.ReadCloser, stream bool, pool *sync.Pool) *gzipBody {
	b := &gzipBody{src: src, stream: stream, pool: pool, gz: pool.Get().(*gzip.Writer), in: make([]byte, 16<<10)}
	b.gz.Reset(&b.out)
	return b
}

// Read returns compressed bytes.
func (b *gzipBody) Read(p []byte) (int, error) {
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
func (b *gzipBody) Close() error {
	if b.gz != nil {
		b.gz.Reset(io.Discard) // the pool must not hold on to the answer
		b.pool.Put(b.gz)
		b.gz, b.err = nil, http.ErrBodyReadAfterClose
	}
	return b.src.Close()
}
