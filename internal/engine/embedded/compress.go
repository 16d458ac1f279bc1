package embedded

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// minCompress is the smallest body worth compressing.
const minCompress = 1024

// compress makes the answer a gzip one where client, status and content allow.
// Streams of events and gRPC stay as they are: they are read piece by piece.
func compress(q *request, res *http.Response) {
	h := res.Header
	if !isCompressible(h.Get("Content-Type")) || h.Get("Content-Encoding") != "" ||
		h.Get("Content-Range") != "" || strings.Contains(h.Get("Cache-Control"), "no-transform") {
		return
	}
	h.Add("Vary", "Accept-Encoding")
	switch {
	case q.Method == http.MethodHead, res.StatusCode < 200, !acceptsGzip(q.header["Accept-Encoding"]),
		res.StatusCode == http.StatusNoContent, res.StatusCode == http.StatusNotModified,
		res.StatusCode == http.StatusPartialContent,
		res.ContentLength >= 0 && res.ContentLength < minCompress:
		return
	}
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	h.Set("Content-Encoding", "gzip")
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("Etag", "W/"+tag)
	}
	res.Body = newGzipBody(res.Body, res.ContentLength < 0)
	res.ContentLength = -1
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

// acceptsGzip is true when gzip, or anything, is accepted with a quality above
// zero.
func acceptsGzip(values []string) bool {
	for _, v := range values {
		for entry := range strings.SplitSeq(v, ",") {
			coding, params, _ := strings.Cut(entry, ";")
			coding = strings.TrimSpace(coding)
			if !strings.EqualFold(coding, "gzip") && coding != "*" {
				continue
			}
			quality, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			return !ok || strings.Trim(quality, "0.") != ""
		}
	}
	return false
}

// gzipBody compresses a body while it is read.
type gzipBody struct {
	src    io.ReadCloser
	stream bool // pass on each piece at once
	out    bytes.Buffer
	gz     *gzip.Writer
	in     []byte
	err    error
}

func newGzipBody(src io.ReadCloser, stream bool) *gzipBody {
	b := &gzipBody{src: src, stream: stream, in: make([]byte, 16<<10)}
	b.gz, _ = gzip.NewWriterLevel(&b.out, gzip.BestSpeed) // the level is valid
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

// Close closes the source.
func (b *gzipBody) Close() error { return b.src.Close() }
