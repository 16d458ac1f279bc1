package wire

import (
	"errors"
	"io"
	"strings"
	"testing"

	"fairway/internal/route/field"
)

// readAnswer reads one answer to a request with the method, and what follows it.
func readAnswer(text, method string, piece int) (r Response, content, rest string, err error) {
	var b Buffer
	b.Reset(&pieces{text: text, size: piece}, make([]byte, 64))
	head, err := b.Head(64<<10, nil)
	if err != nil {
		return r, "", "", err
	}
	if err := r.Parse(head, method); err != nil {
		return r, "", "", err
	}
	body := NewBody(&b, r.Length, r.Chunked)
	all, err := io.ReadAll(&body)
	behind, _ := io.ReadAll(&b)
	return r, string(all), string(behind), err
}

// TestResponses: where an answer ends (RFC 9112, 6.3), and whether the connection can be
// used again.
func TestResponses(t *testing.T) {
	type want struct {
		status        int
		content, rest string
		close         bool
	}
	for text, w := range map[string]want{
		"GET HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX":                            {200, "ok", "X", false},
		"GET HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nokX":                               {200, "ok", "X", false},
		"GET HTTP/1.1 299 \r\nContent-Length: 0\r\nConnection: close\r\n\r\nX":           {299, "", "X", true},
		"GET HTTP/1.0 200 Fine \xe9\r\nContent-Length: 2\r\n\r\nokX":                     {200, "ok", "X", true},
		"GET HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok":   {200, "ok", "", false},
		"GET HTTP/1.1 200 OK\r\n\r\nall of it":                                           {200, "all of it", "", true},
		"HEAD HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nX":                             {200, "", "X", false},
		"HEAD HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nX":                    {200, "", "X", false},
		"GET HTTP/1.1 204 No Content\r\n\r\nX":                                           {204, "", "X", false},
		"GET HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\nX":                      {204, "", "X", true},
		"GET HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nX":                    {304, "", "X", false},
		"GET HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nX":                              {101, "", "X", false},
		"GET HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nX": {200, "ok", "X", false},
		"GET HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok":                    {200, "ok", "", false},
	} {
		method, answer, _ := strings.Cut(text, " ")
		for piece := 1; piece < 12; piece++ {
			r, content, rest, err := readAnswer(answer, method, piece)
			if got := (want{r.Status, content, rest, r.Close}); got != w || err != nil {
				t.Errorf("%q by %d: got %+v (%v), want %+v", text, piece, got, err, w)
			}
		}
	}
}

// TestResponseFaults: an answer that can be read in two ways is none.
func TestResponseFaults(t *testing.T) {
	field := func(line string) string { return "HTTP/1.1 200 OK\r\n" + line + "\r\n\r\n" }
	for text, want := range map[string]Fault{
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n":                         FaultBareLF,
		"\r\nHTTP/1.1 200 OK\r\n\r\n":                                    FaultEmptyLine,
		"HTTP/2.0 200 OK\r\n\r\n":                                        FaultVersion,
		"ICY 200 OK\r\n\r\n":                                             FaultLine,
		"HTTP/1.1  200 OK\r\n\r\n":                                       FaultStatus,
		"HTTP/1.1 000 X\r\n\r\n":                                         FaultStatus,
		"HTTP/1.1 99 X\r\n\r\n":                                          FaultStatus,
		"HTTP/1.1 2000 X\r\n\r\n":                                        FaultStatus,
		"HTTP/1.1 20x X\r\n\r\n":                                         FaultStatus,
		"HTTP/1.1\r\n\r\n":                                               FaultStatus,
		"HTTP/1.1 200 O\x00K\r\n\r\n":                                    FaultReason,
		"HTTP/1.1 200 O\rK\r\n\r\n":                                      FaultBareCR,
		field("Content-Length : 2"):                                      FaultName,
		field("Transfer-Encoding\t: chunked"):                            FaultName,
		field("X : a\r\n Y: b"):                                          FaultFold,
		field("X\x00: a"):                                                FaultName,
		field("X: \x00"):                                                 FaultValue,
		field("Content-Length: 5\r\nContent-Length: 6"):                  FaultLengths,
		field("Content-Length: 5, 5"):                                    FaultLength,
		field("Content-Length: 5\r\nTransfer-Encoding: chunked"):         FaultBothLengths,
		field("Transfer-Encoding: gzip"):                                 FaultCoding,
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":          FaultOldCoding,
		"HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": FaultNoBody,
	} {
		var got Fault
		if _, _, _, err := readAnswer(text, "GET", 5); !errors.As(err, &got) || got != want {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
}

// TestCutBodies: an end before the end is no end.
func TestCutBodies(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Le",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n",
	} {
		for piece := 1; piece < 12; piece++ {
			if _, _, _, err := readAnswer(text, "GET", piece); err != io.ErrUnexpectedEOF {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}

// TestWrite: what is written is read back, and nothing in a value ends its line.
func TestWrite(t *testing.T) {
	b := AppendStatusLine(nil, 200, "OK\r\nX: y")
	b = AppendField(b, "A", "b\r\nC: d")
	b = AppendChunked(b)
	b = AppendEnd(b)
	for _, content := range []string{"x", strings.Repeat("y", 300), strings.Repeat("z", 70000)} {
		b = AppendChunk(b, []byte(content))
	}
	b = AppendLastChunk(b, field.List{{Name: "T", Value: "u"}})
	r, content, rest, err := readAnswer(string(b), "GET", 1000)
	if err != nil || len(r.Fields) != 2 || r.Fields[0].Value != "b  C: d" || len(content) != 70301 || rest != "" {
		t.Errorf("got %+v, %d bytes, then %q (%v)", r, len(content), rest, err)
	}
}
