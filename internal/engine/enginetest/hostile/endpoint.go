package hostile

import (
	"net/http"
	"strings"
)

// Endpoint is one way in which an endpoint misbehaves: what it does with a request, on a
// connection that it has served well before.
type Endpoint struct {
	// Name says what it does.
	Name string
	// Method of the request; POST unless given, which is not repeated.
	Method string
	// Answer is what it sends, and Again what it goes on with until that fails.
	Answer, Again string
	// Then is what it does afterwards.
	Then Then
	// Early has it misbehave behind a good answer, before it gets another request.
	Early bool
	// Want is what the client gets: a status, with "cut" behind it where the client has to
	// see that the answer is not whole, "closed", or "endless" for a row of 1xx. Alternatives
	// have a bar between them.
	Want string
	// Reason is a part of why the request failed, as the embedded engine keeps it for the
	// route; empty where the answer was good.
	Reason string
}

// Then is how an endpoint goes on.
type Then uint8

// It waits for what comes, closes the connection, or resets it.
const (
	Waits Then = iota
	Closes
	Resets
)

const (
	ok        = "HTTP/1.1 200 OK\r\n"
	okay      = ok + "Content-Length: 2\r\n\r\nok"
	chunks    = ok + "Transfer-Encoding: chunked\r\n\r\n"
	malformed = "the answer is malformed: "
	unheard   = "the connection was closed before there was an answer"
	brokenOff = "the endpoint broke off its answer"
)

// Endpoints are the ways there are. Each answer is read strictly: where two programs may
// disagree about one, it is an error, and its connection is closed (RFC 9112, 6.3 and 11.1).
func Endpoints() []Endpoint {
	head := func(name, lines, reason string) Endpoint {
		return Endpoint{Name: name, Answer: ok + lines + "\r\n\r\nok", Want: "502", Reason: malformed + reason}
	}
	cut := func(name, answer string, then Then) Endpoint {
		return Endpoint{Name: name, Answer: answer, Then: then, Want: "200 cut", Reason: brokenOff}
	}
	return append([]Endpoint{
		// No answer, or half of one.
		{Name: "no answer", Want: "504", Reason: "no answer in time"},
		{Name: "half a head, and nothing more", Answer: ok + "Content-", Want: "504", Reason: "no answer in time"},
		{Name: "closes without an answer", Then: Closes, Want: "502", Reason: unheard},
		{Name: "resets without an answer", Then: Resets, Want: "502", Reason: ""},
		{Name: "closes in the status line", Answer: "HTTP/1.1 2", Then: Closes, Want: "502", Reason: unheard},
		{Name: "closes in the head", Answer: ok + "Content-Length: 2\r\n", Then: Closes, Want: "502", Reason: unheard},
		{Name: "answers early hints and closes", Answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", Then: Closes, Want: "502", Reason: unheard},

		// What is no answer.
		{Name: "another protocol", Answer: "SSH-2.0-OpenSSH_9.2\r\n\r\n", Want: "502", Reason: malformed + "the first line has not its three parts"},
		{Name: "HTTP/2", Answer: "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", Then: Closes, Want: "502", Reason: unheard},
		{Name: "status 000", Answer: "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", Want: "502", Reason: malformed + "the status is not valid"},
		{Name: "status 2000", Answer: "HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n", Want: "502", Reason: malformed + "the status is not valid"},
		{Name: "HTTP/3.0", Answer: "HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n", Want: "502", Reason: malformed + "the version is not HTTP/1"},
		{Name: "an empty line in front", Answer: "\r\n" + okay, Want: "502", Reason: malformed + "an empty line stands in front"},
		{Name: "lines that end without CR", Answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Want: "502", Reason: malformed + "a line ends without CR"},
		{Name: "a switch of protocols unasked", Answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", Want: "502", Reason: "switched protocols unasked"},

		// Fields that can be read in two ways.
		head("two lengths", "Content-Length: 2\r\nContent-Length: 1", "there are several lengths"),
		head("the same length twice", "Content-Length: 2\r\nContent-Length: 2", "there are several lengths"),
		head("a list of lengths", "Content-Length: 2, 2", "the length is not one number"),
		head("a length with a sign", "Content-Length: +2", "the length is not one number"),
		head("a negative length", "Content-Length: -2", "the length is not one number"),
		head("a length beyond all", "Content-Length: 99999999999999999999", "the length is not one number"),
		head("a blank before the colon of a length", "Content-Length : 2", "the name of a field is not valid"),
		head("a length beside chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked", "a length stands beside a transfer coding"),
		head("an unknown transfer coding", "Transfer-Encoding: gzip", "the transfer coding is not known"),
		head("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "there are several transfer codings"),
		head("NUL in a field", "X: a\x00b\r\nContent-Length: 2", "the value of a field has control bytes"),
		head("CR in a field", "X: a\rb\r\nContent-Length: 2", "a CR stands where no line ends"),
		head("a field that goes on in the next line", "X: a\r\n b\r\nContent-Length: 2", "a field goes on in the next line"),
		head("a name that is none", "X(A): b\r\nContent-Length: 2", "the name of a field is not valid"),
		{Name: "chunks in HTTP/1.0", Answer: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Want: "502", Reason: malformed + "HTTP/1.0 has no transfer coding"},
		{Name: "chunks with 204", Answer: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Want: "502", Reason: malformed + "an answer without a body has a transfer coding"},

		// Bodies that break off, or are none.
		cut("closes in the body", ok+"Content-Length: 5\r\n\r\nhel", Closes),
		cut("resets in the body", ok+"Content-Length: 500000\r\n\r\n"+strings.Repeat("hello", 1000), Resets),
		cut("closes in a chunk", chunks+"5\r\nhel", Closes),
		cut("closes between chunks", chunks+"5\r\nhello\r\n", Closes),
		cut("a size of a chunk that is none", chunks+"5\r\nhello\r\nxyz\r\n", Waits),
		cut("a size of a chunk beyond all", chunks+"5\r\nhello\r\nfffffffffffffffff\r\n", Waits),
		cut("a chunk that is longer than it says", chunks+"2\r\nhello\r\n0\r\n\r\n", Waits),
	}, more()...)
}

// more are those that go on for ever, and those that harm the next request.
func more() []Endpoint {
	behind := func(name, method, answer, want string) Endpoint {
		return Endpoint{Name: name, Method: method, Answer: answer, Want: want}
	}
	const next = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	return []Endpoint{
		{Name: "early hints for ever", Again: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", Want: "502", Reason: malformed},
		{Name: "an endless status line", Answer: ok[:len(ok)-2], Again: strings.Repeat("x", 4096), Want: "502", Reason: malformed + "the fields are too large"},
		{Name: "an endless field", Answer: ok + "X: ", Again: strings.Repeat("x", 4096), Want: "502", Reason: malformed + "the fields are too large"},
		{Name: "endless fields", Answer: ok, Again: "X: " + strings.Repeat("y", 1000) + "\r\n", Want: "502", Reason: malformed + "the fields are too large"},
		{Name: "10,000 small fields", Answer: ok + strings.Repeat("a:\r\n", 10_000) + "\r\n", Want: "502", Reason: malformed + "there are too many fields"},
		{Name: "an endless extension of a chunk", Answer: chunks + "2\r\nok\r\n2;", Again: strings.Repeat("x", 4096), Want: "200 cut", Reason: brokenOff},
		{Name: "small chunks with large extensions", Answer: chunks + "2\r\nok\r\n", Again: "1;" + strings.Repeat("x", 1000) + "\r\ny\r\n", Want: "200 cut", Reason: brokenOff},
		{Name: "endless trailers", Answer: chunks + "2\r\nok\r\n0\r\n", Again: "X: " + strings.Repeat("y", 1000) + "\r\n", Want: "200 cut", Reason: brokenOff},

		behind("bytes behind the answer", "", okay+"more", "200"),
		behind("an answer behind the answer", "", okay+next, "200"),
		behind("an answer behind chunks", "", chunks+"2\r\nok\r\n0\r\n\r\n"+next, "200"),
		behind("a body with HEAD", http.MethodHead, okay+next, "200"),
		behind("chunks with HEAD", http.MethodHead, chunks+"2\r\nok\r\n0\r\n\r\n"+next, "200"),
		behind("a body with 204", "", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"+next, "204"),
		behind("a body with 304", http.MethodGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok"+next, "304"),
		{Name: "a body without a length", Answer: ok + "\r\n" + next, Then: Closes, Want: "200"},
		behind("says that it closes, and does not", "", ok+"Connection: close\r\nContent-Length: 2\r\n\r\nok", "200"),
		behind("HTTP/1.0 that does not close", "", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200"),

		{Name: "closes after an answer", Early: true, Then: Closes, Want: "200"},
		{Name: "resets after an answer", Early: true, Then: Resets, Want: "200"},
		{Name: "sends an answer unasked", Early: true, Answer: next, Want: "200"},
		{Name: "sends bytes unasked", Early: true, Answer: "x", Want: "200"},
	}
}
