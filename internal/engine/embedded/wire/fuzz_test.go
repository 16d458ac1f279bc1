package wire

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"fairway/internal/route/field"
)

// maxMessages bounds how many messages of one input are compared.
const maxMessages = 4

// FuzzRequest: what is accepted net/http reads as the same request, with the same body
// and the same rest, or refuses.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		browser,
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"POST http://a/?x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		chunked + "5;a=b\r\nhello\r\n00\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nPragma: no-cache\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		var ours Buffer
		ours.Reset(&pieces{text: string(data), size: int(piece) + 1}, make([]byte, 512))
		theirs := bufio.NewReaderSize(bytes.NewReader(data), 1<<16)
		for range maxMessages {
			head, err := ours.Head(64<<10, nil)
			if err != nil {
				return
			}
			var r Request
			if r.Parse(head) != nil {
				return
			}
			body := NewBody(&ours, r.Length, r.Length < 0)
			content, err := io.ReadAll(&body)
			if err != nil {
				return
			}
			other, err := http.ReadRequest(theirs)
			if err != nil {
				return // it refuses
			}
			compareRequests(t, &r, other)
			if !compareBodies(t, content, body.Trailers, other.Body, &other.Trailer) {
				return
			}
		}
	})
}

func compareRequests(t *testing.T, r *Request, other *http.Request) {
	t.Helper()
	if r.Method != other.Method || r.Target != other.RequestURI || r.Old == other.ProtoAtLeast(1, 1) || r.Close != other.Close {
		t.Errorf("%q %q, old %v, close %v; net/http: %q %q, %s, close %v",
			r.Method, r.Target, r.Old, r.Close, other.Method, other.RequestURI, other.Proto, other.Close)
	}
	if r.Method != http.MethodConnect && !strings.EqualFold(r.Authority, other.Host) {
		t.Errorf("authority %q, net/http: %q", r.Authority, other.Host)
	}
	if r.Length != other.ContentLength {
		t.Errorf("length %d, net/http: %d", r.Length, other.ContentLength)
	}
	compareFields(t, r.Fields, other.Header)
}

// compareFields leaves out what net/http takes out of the header or adds to it.
func compareFields(t *testing.T, list field.List, header http.Header) {
	t.Helper()
	ours := http.Header{}
	for _, f := range list {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		ours[name] = append(ours[name], f.Value)
	}
	for _, name := range []string{"Host", "Transfer-Encoding", "Trailer", "Content-Length", "Cache-Control"} {
		delete(ours, name)
		delete(header, name)
	}
	if !maps.EqualFunc(ours, header, slices.Equal) {
		t.Errorf("fields %q, net/http: %q", ours, header)
	}
}

func compareBodies(t *testing.T, content []byte, trailers field.List, other io.Reader, theirs *http.Header) bool {
	t.Helper()
	read, err := io.ReadAll(other)
	if err != nil {
		return false // it refuses
	}
	if !bytes.Equal(content, read) {
		t.Errorf("body %q, net/http: %q", content, read)
	}
	maps.DeleteFunc(*theirs, func(_ string, values []string) bool { return len(values) == 0 }) // announced, and not sent
	if len(*theirs) > 0 {
		compareFields(t, trailers, *theirs)
	}
	return true
}

// FuzzResponse: the same for answers.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		plainAnswer + strings.Repeat("x", 1024),
		"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nall of it",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(7), false)
		f.Add([]byte(seed), uint8(100), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		var ours Buffer
		ours.Reset(&pieces{text: string(data), size: int(piece) + 1}, make([]byte, 512))
		theirs := bufio.NewReaderSize(bytes.NewReader(data), 1<<16)
		for range maxMessages {
			text, err := ours.Head(64<<10, nil)
			if err != nil {
				return
			}
			var r Response
			if r.Parse(text, method) != nil {
				return
			}
			body := NewBody(&ours, r.Length, r.Chunked)
			content, err := io.ReadAll(&body)
			if err != nil {
				return
			}
			other, err := http.ReadResponse(theirs, &http.Request{Method: method})
			if err != nil {
				return
			}
			if r.Status != other.StatusCode || r.Old == other.ProtoAtLeast(1, 1) {
				t.Errorf("status %d, old %v; net/http: %s, %s", r.Status, r.Old, other.Status, other.Proto)
			}
			if other.Close && !r.Close {
				t.Error("net/http closes the connection, and we do not")
			}
			if !blanked(text) {
				compareFields(t, r.Fields, other.Header)
			}
			if !compareBodies(t, content, body.Trailers, other.Body, &other.Trailer) || r.Close {
				return
			}
		}
	})
}

// blanked reports whether a name has a blank behind it, which net/http keeps.
func blanked(head string) bool {
	for line := range strings.SplitSeq(head, "\r\n") {
		if colon := strings.IndexByte(line, ':'); colon > 0 && isBlank(line[colon-1]) {
			return true
		}
	}
	return false
}
