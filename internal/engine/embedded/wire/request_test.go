package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// readAll reads the messages of a text, one behind the other, as requests.
func readAll(text string, piece int) (got []string, err error) {
	var b Buffer
	b.Reset(&pieces{text: text, size: piece}, make([]byte, 64))
	for {
		head, err := b.Head(64<<10, nil)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		var r Request
		if err := r.Parse(head); err != nil {
			return got, err
		}
		body := NewBody(&b, r.Length, r.Length < 0)
		content, err := io.ReadAll(&body)
		if err != nil {
			return got, err
		}
		got = append(got, r.Method+" "+r.Target+" "+r.Authority+" "+string(content))
	}
}

// pieces gives a text in pieces of a size.
type pieces struct {
	text string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.text)
	p.text = p.text[n:]
	return n, nil
}

// TestRequests: what is accepted is read in one way, wherever reads end.
func TestRequests(t *testing.T) {
	for text, want := range map[string][]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                       {"GET / a "},
		"GET /x?y HTTP/1.1\r\nhost:\ta \r\nX:\r\n\r\nGET / HTTP/1.0\r\n\r\n":      {"GET /x?y a ", "GET /  "},
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello":            {"POST / a hello"},
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n":                 {"POST / a "},
		"GET http://a:80/x HTTP/1.1\r\nHost: A:80\r\n\r\n":                        {"GET http://a:80/x a:80 "},
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n":                                   {"OPTIONS * a "},
		"GET / HTTP/1.9\r\nHost: a\r\n\r\n":                                       {"GET / a "},
		"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\nX-\x21#: \xc3\xa9\r\n\r\n":          {"GET /\xc3\xa9 a "},
		chunked + "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n":      {"POST / a hello", "GET / a "},
		chunked + "a\r\n0123456789\r\nA;x=y\r\n0123456789\r\n000\r\nX: y\r\n\r\n": {"POST / a 01234567890123456789"},
	} {
		for piece := 1; piece < 12; piece++ {
			got, err := readAll(text, piece)
			if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%q by %d: got %q (%v), want %q", text, piece, got, err, want)
			}
		}
	}
}

// TestTolerance: what has one reading in spite of its form is read.
func TestTolerance(t *testing.T) {
	for text, want := range map[string]string{
		"GET http://a:80/x HTTP/1.1\r\nHost: A\r\n\r\n":                                     "GET http://a:80/x a:80 ",
		"GET HTTPS://a/x HTTP/1.1\r\nHost: a:443\r\n\r\n":                                   "GET HTTPS://a/x a ",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000005\r\n\r\nhello": "POST / a hello",
	} {
		if got, err := readAll(text, 100); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%q: %q (%v)", text, got, err)
		}
	}
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: b\xc3\xbccher\r\n\r\n", "GET / HTTP/1.1\r\nHost: b\xff\r\n\r\n"} {
		if _, err := readAll(text, 100); !errors.Is(err, FaultHost) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestRequestFaults: each rule has a message that breaks it.
func TestRequestFaults(t *testing.T) {
	field := func(line string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + line + "\r\n\r\n" }
	for text, want := range map[string]Fault{
		"GET / HTTP/1.1\nHost: a\n\n":                                              FaultBareLF,
		"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n":                                      FaultBareLF,
		"GET / HTTP/1.1\r\nHost: a\r\n\n":                                          FaultBareLF,
		"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n":                                    FaultEmptyLine,
		"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n":                                      FaultBareCR,
		field("X: a\rb"):                                                           FaultBareCR,
		field("X\r: a"):                                                            FaultBareCR,
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n":                                       FaultTarget,
		"GET / HTTP/1.1 \r\nHost: a\r\n\r\n":                                       FaultLine,
		" GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                       FaultMethod,
		"GET /\r\n\r\n":                                                            FaultLine,
		"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n":                                      FaultLine,
		"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n":                                    FaultTarget,
		"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n":                                     FaultLine,
		"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n":                                    FaultTarget,
		"G(T / HTTP/1.1\r\nHost: a\r\n\r\n":                                        FaultMethod,
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                        FaultVersion,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                         FaultVersion,
		"GET / http/1.1\r\nHost: a\r\n\r\n":                                        FaultLine,
		"GET / HTTP/1.10\r\nHost: a\r\n\r\n":                                       FaultLine,
		field("X: a\r\n b"):                                                        FaultFold,
		"GET / HTTP/1.1\r\n Host: a\r\n\r\n":                                       FaultFold,
		field("X"):                                                                 FaultColon,
		field(": a"):                                                               FaultColon,
		field("X : a"):                                                             FaultName,
		field("Content-Length : 0"):                                                FaultName,
		field("X(A): a"):                                                           FaultName,
		field("X: a\x00b"):                                                         FaultValue,
		field("X: a\x7f"):                                                          FaultValue,
		field(strings.Repeat("X: a\r\n", MaxFields) + "X: a"):                      FaultTooMany,
		field("X: " + strings.Repeat("a", 64<<10)):                                 FaultTooLarge,
		field("Content-Length: +5"):                                                FaultLength,
		field("Content-Length: 5, 5"):                                              FaultLength,
		field("Content-Length: 0x5"):                                               FaultLength,
		field("Content-Length:"):                                                   FaultLength,
		field("Content-Length: 9999999999999999999"):                               FaultLength,
		field("Content-Length: 5\r\nContent-Length: 5"):                            FaultLengths,
		field("Transfer-Encoding: gzip, chunked"):                                  FaultCoding,
		field("Transfer-Encoding: xchunked"):                                       FaultCoding,
		field("Transfer-Encoding: chunked,"):                                       FaultCoding,
		field("Transfer-Encoding:"):                                                FaultCoding,
		field("Transfer-Encoding: \"chunked\""):                                    FaultCoding,
		field("Connection: a" + strings.Repeat(",a", 64)):                          FaultConnection,
		field("Connection: a" + strings.Repeat("\r\nConnection: a", 64)):           FaultConnection,
		field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"):          FaultCodings,
		field("Transfer-Encoding: chunked\r\nContent-Length: 4"):                   FaultBothLengths,
		"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n":         FaultOldCoding,
		"GET / HTTP/1.1\r\n\r\n":                                                   FaultNoHost,
		field("Host: a"):                                                           FaultHosts,
		"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n":                                FaultHosts,
		"GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n":                                FaultHosts,
		"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n":                              FaultHosts,
		"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n":                                 FaultScheme,
		"GET 1http://a/ HTTP/1.1\r\nHost: a\r\n\r\n":                               FaultScheme,
		chunked + "5\nhello\r\n0\r\n\r\n":                                          FaultBareLF,
		chunked + "+5\r\nhello\r\n0\r\n\r\n":                                       FaultChunkSize,
		chunked + "0x5\r\nhello\r\n0\r\n\r\n":                                      FaultChunkSize,
		chunked + "5 \r\nhello\r\n0\r\n\r\n":                                       FaultChunkSize,
		chunked + " 5\r\nhello\r\n0\r\n\r\n":                                       FaultChunkSize,
		chunked + "\r\nhello\r\n0\r\n\r\n":                                         FaultChunkSize,
		chunked + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n":                        FaultChunkSize,
		chunked + "0000000000000000\r\n\r\n":                                       FaultChunkSize,
		chunked + "5;a=\x00\r\nhello\r\n0\r\n\r\n":                                 FaultChunkExt,
		chunked + "5;a=\r\r\nhello\r\n0\r\n\r\n":                                   FaultChunkExt,
		chunked + "5;a=" + strings.Repeat("b", 1<<11) + "\r\nhello\r\n0\r\n\r\n":   FaultChunkExt,
		chunked + strings.Repeat("1;a="+strings.Repeat("b", 1000)+"\r\nx\r\n", 20): FaultChunkExt,
		chunked + "5\r\nhelloX\r\n0\r\n\r\n":                                       FaultChunkEnd,
		chunked + "5\r\nhello\n0\r\n\r\n":                                          FaultBareLF,
		chunked + "0\r\nX : a\r\n\r\n":                                             FaultName,
		chunked + "0\r\nX: a\n\r\n":                                                FaultBareLF,
		chunked + "0\r\nX: " + strings.Repeat("a", 9<<10) + "\r\n\r\n":             FaultTooLarge,
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			_, err := readAll(text, piece)
			var got Fault
			if !errors.As(err, &got) || got != want {
				t.Errorf("%.80q by %d: got %v, want %v", text, piece, err, want)
			}
		}
	}
}

// TestFaults: every fault says what it is, where that is written, and what is answered.
func TestFaults(t *testing.T) {
	seen := map[string]bool{}
	for f := FaultBareLF; f <= FaultChunkEnd; f++ {
		if text := f.Error(); seen[text] || f.Section() == "" || f.Status() < 400 {
			t.Errorf("fault %d: %q, %q, %d", f, text, f.Section(), f.Status())
		} else {
			seen[text] = true
		}
	}
}

// TestConnection: whether another request follows (RFC 9112, 9.3), and what is expected.
func TestConnection(t *testing.T) {
	for head, want := range map[string]Request{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                              {},
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x , Close\r\n\r\n":                     {Close: true},
		"GET / HTTP/1.0\r\n\r\n":                                                         {Close: true},
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n":                               {},
		"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n":                        {Close: true},
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n":                      {},
		"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n": {Continue: true},
		"PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n":            {Close: true},
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n":                               {Unexpected: true},
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, tea\r\n\r\n":                 {Unexpected: true},
	} {
		var r Request
		if err := r.Parse(head); err != nil || r.Close != want.Close || r.Continue != want.Continue || r.Unexpected != want.Unexpected {
			t.Errorf("%q: close %v, continue %v, unexpected %v (%v)", head, r.Close, r.Continue, r.Unexpected, err)
		}
	}
}

// TestParseAllocatesNothing: parsing needs no memory but the fields', which stay.
func TestParseAllocatesNothing(t *testing.T) {
	var (
		r Request
		a Response
		f Finder
	)
	buf := []byte(browser)
	head := browser
	if n := testing.AllocsPerRun(100, func() {
		f = Finder{}
		if _, err := f.Find(buf); err != nil {
			t.Fatal(err)
		}
		if err := r.Parse(head); err != nil {
			t.Fatal(err)
		}
		if err := a.Parse(plainAnswer, "GET"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

const browser = "GET /path/to/page?query=value HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n"

const plainAnswer = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n" +
	"Content-Length: 1024\r\nConnection: keep-alive\r\n\r\n"

// TestClasses: the table says of each byte what the grammar says.
func TestClasses(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		control := c == 0x7f || c < 0x20 && c != '\t'
		blank := c == ' ' || c == '\t'
		token := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
		if got := classes[c]; got&classToken != 0 != token || got&classValue != 0 == control || got&classTarget != 0 != (!control && !blank) {
			t.Errorf("byte %#x has the classes %#b", c, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	var r Request
	buf := []byte(browser)
	for b.Loop() {
		var f Finder
		n, _ := f.Find(buf)
		if err := r.Parse(string(buf[:n])); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPlain: every byte at every place of a word is found to be what the classes say, but for
// the tab, which is looked at by them.
func TestPlain(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			text := []byte(strings.Repeat("~", 20))
			text[at] = byte(c)
			if want := c != '\t' && classes[c]&classValue != 0; plain(string(text)) != want {
				t.Errorf("%#x at %d: %v", c, at, !want)
			}
		}
	}
}
