package wire

import (
	"strconv"
	"strings"

	"fairway/internal/route/field"
)

// AppendRequestLine begins the head of a request of HTTP/1.1. Bytes of the target that
// could end it are encoded: HTTP/2 lets blanks through.
func AppendRequestLine(b []byte, method, target string) []byte {
	b = append(b, method...)
	b = append(b, ' ')
	if all(target, classTarget) {
		b = append(b, target...)
	} else {
		b = appendEncoded(b, target)
	}
	return append(b, " HTTP/1.1\r\n"...)
}

func appendEncoded(b []byte, target string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(target) {
		if c := target[i]; classes[c]&classTarget != 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// AppendStatusLine begins the head of an answer of HTTP/1.1.
func AppendStatusLine(b []byte, status int, reason string) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = appendSafe(b, reason)
	return append(b, '\r', '\n')
}

// AppendField adds a field line. Bytes of the value that could end the line become
// blanks (RFC 9110, 5.5); the name has to be a token.
func AppendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = appendSafe(b, value)
	return append(b, '\r', '\n')
}

func appendSafe(b []byte, s string) []byte {
	if plain(s) || strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, 0) < 0 {
		return append(b, s...)
	}
	for i := range len(s) {
		c := s[i]
		if classes[c]&classValue == 0 {
			c = ' '
		}
		b = append(b, c)
	}
	return b
}

// AppendLength adds Content-Length.
func AppendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, '\r', '\n')
}

// AppendChunked adds the one transfer coding there is.
func AppendChunked(b []byte) []byte { return append(b, "Transfer-Encoding: chunked\r\n"...) }

// AppendEnd ends a head.
func AppendEnd(b []byte) []byte { return append(b, '\r', '\n') }

// ChunkFront is how many bytes in front of its content a chunk needs at most, and
// ChunkBack how many behind it.
const (
	ChunkFront = 10
	ChunkBack  = 2
)

// AppendChunk adds a chunk with the content, which has at least one byte, because an
// empty chunk is the end.
func AppendChunk(b, content []byte) []byte {
	b = strconv.AppendInt(b, int64(len(content)), 16)
	b = append(b, '\r', '\n')
	b = append(b, content...)
	return append(b, '\r', '\n')
}

// AppendLastChunk ends chunks, with trailers (RFC 9112, 7.1.2).
func AppendLastChunk(b []byte, trailers field.List) []byte {
	b = append(b, "0\r\n"...)
	for _, f := range trailers {
		b = AppendField(b, f.Name, f.Value)
	}
	return AppendEnd(b)
}
