package haproxy_test

import (
	"math/rand/v2"
	"strings"
)

// wireCase is a request with one or two faults or peculiarities in it.
type wireCase struct {
	tags []string // what is peculiar, as group/name
	text string
}

// short is the text as it can be read.
func (c wireCase) short() string {
	if len(c.text) > 300 {
		return c.text[:300] + "…"
	}
	return c.text
}

// message is a request while it is made.
type message struct {
	method, target, version string
	between, behind         string // of the request line: the blanks, and its end
	front                   string // in front of the line
	hosts                   []string
	fields                  []string // whole lines
	body                    string   // with its framing
}

// bodies are the ways in which a request may have a body.
func (m *message) length(n string)  { m.fields = append(m.fields, "Content-Length: "+n) }
func (m *message) coding(te string) { m.fields = append(m.fields, "Transfer-Encoding: "+te) }

const wholeChunks = "5\r\nhello\r\n0\r\n\r\n"

// change is a peculiarity: what it does to a message.
type change struct {
	tag string
	do  func(m *message)
}

// each makes a group of changes of a list of texts.
func each(group string, do func(m *message, text string), texts ...string) []change {
	var all []change
	for _, text := range texts {
		all = append(all, change{group, func(m *message) { do(m, text) }})
	}
	return all
}

// wireGroups are the peculiarities, by what they are of. At most one of a group is in
// a message.
func wireGroups() [][]change {
	return [][]change{
		append(requestLineChanges(), targetChanges()...), hostChanges(), fieldChanges(),
		append(append(append(lengthChanges(), codingChanges()...), chunkChanges()...), trailerChanges()...), expectChanges(),
	}
}

func requestLineChanges() []change {
	var all []change
	all = append(all, each("method", func(m *message, s string) { m.method = s },
		"post", "PURGE", "QUERY", "GE T", "", "G@T", "\"GET\"", "CONNECT", "TRACE", "OPTIONS", "HEAD", "DELETE", "M-SEARCH", "G\x00T", "G\xe4T")...)
	all = append(all, each("version", func(m *message, s string) { m.version = s },
		"HTTP/1.0", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "http/1.1", "HTTP/1", "HTTP/1.10", "HTTP/01.1", "HTTP/1.1 x", "HTTP/1.x", "ICY/1.1", "")...)
	all = append(all, each("blanks", func(m *message, s string) { m.between = s }, "  ", "\t", " \t", "\v")...)
	all = append(all, each("line-end", func(m *message, s string) { m.behind = s }, " \r\n", "\n", "\t\r\n", "\r\r\n", "\x00\r\n")...)
	return append(all, each("front", func(m *message, s string) { m.front = s }, "\r\n", "\r\n\r\n", "\n", " ", "\r\n\r\n\r\n\r\n", "\x00")...)
}

func targetChanges() []change {
	all := each("target", func(m *message, s string) { m.target = s },
		"/%2e%2e/x", "/a/../b", "/a/./b", "/%61", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00", "/a%zz", "/a%2", "//a", "/a//b", "/a;x=1", "/a/..;/b", "/a|b", "/a\"b", "/a<b>", "/a{b}", "/a^b", "/a`b",
		"/a?x=%zz", "/a?", "/a??", "/a?x=<>\"", "/a?x=\\", "/a?x=[1]", "/a#x", "/a%23x", "/a?x#y", "/a%7f", "/a\x7f", "/a\x01", "*", "a", "?x", "", "/..", "/../x", "/%c0%af", "/a%c3%a9", "/:80", "/a:b@c", "/a%20b", "/a+b")
	all = append(all, each("target-8bit", func(m *message, s string) { m.target = s }, "/\xc3\xa9", "/a?x=\xe9", "/\xff")...)
	all = append(all, each("target-absolute", func(m *message, s string) { m.target = s },
		"http://a.example/x", "HTTP://a.example/x", "https://a.example/x", "ftp://a.example/x", "http://a.example", "http://a.example?x", "http://A.Example/x", "http://a.example:80/x", "http:a.example/x")...)
	return append(all, each("target-other", func(m *message, s string) { m.target = s },
		"http:///x", "http://b.example/x", "http://u@a.example/x", "http://u:p@a.example/x", "http://a.example:x/x", "://a.example/x", "a.example:80", "http://", "http://?x", "http://a.example@b.example/x", "h-t+p.1://a.example/x", "1http://a.example/x", "http://[::1]/x")...)
}

func hostChanges() []change {
	all := each("host", func(m *message, s string) { m.hosts = []string{s} },
		"", "A.EXAMPLE", "a.example.", "a.example:80", "a.example:", "a.example:0", "a.example:0080", "a.example:65535", "a.example:65536", "a.example:x", "a.example:-1", "u@a.example", "a..example", ".a.example", "[::1]", "[::1]:80", "[::1", "::1", "[v1.x]", "[::ffff:1.2.3.4]", "1.2.3.4", "1.2.3",
		"a.example/x", "a.example?x", "a.example#x", "a.example, b.example", "a.example b.example", "a_b.example", "-a.example", "a%2eexample", "a%.example", "a!b", "a'b", "a\x00b", "a\x01b", "xn--bcher-kva.example", "xn--a.example", strings.Repeat("a", 64)+".example", strings.Repeat("a.", 127)+"aa", "*", "*.example", "http://a.example")
	all = append(all, each("host-8bit", func(m *message, s string) { m.hosts = []string{s} }, "b\xc3\xbccher.example", "a\xff.example")...)
	all = append(all, change{"no-host", func(m *message) { m.hosts = nil }})
	all = append(all, change{"equal-hosts", func(m *message) { m.hosts = []string{"a.example", "a.example"} }})
	all = append(all, change{"equal-hosts", func(m *message) { m.hosts = []string{"a.example", "A.example"} }})
	all = append(all, change{"two-hosts", func(m *message) { m.hosts = []string{"a.example", "b.example"} }})
	all = append(all, change{"two-hosts", func(m *message) { m.hosts = []string{"a.example", ""} }})
	return all
}

func fieldChanges() []change {
	add := func(m *message, s string) { m.fields = append(m.fields, s) }
	all := each("field", add,
		"X A: b", "X-A : b", "X-A\t: b", ": b", "X-A", "X(A): b", "X@A: b", "X-A: b\r\n c", "X-A: b\r\n\tc", " X-A: b", "X-A:b", "X-A:", "X-A:  b  ", "X-A: \t b\t", "X-A: a\rb", "X-A: a\x00b", "X-\x00A: b", "X-\x7fA: b", "X-\x01A: b",
		"X-A: b\nX-B: c", "X-A: b\r", "X_Forwarded_For: 1.2.3.4", "X-Forwarded_Proto: https", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Original-URL: /admin", "X-Forwarded-Prefix: /x", "X_A: b", "X.A: b", "Proxy: x", "Max-Forwards: 0", "Via: 1.1 x", "Date: x", "Cookie: a=b; c", "Range: bytes=0-1", "Authorization: Basic eDp5", "Proxy-Authorization: Basic eDp5", "HTTP2-Settings: AAMAAABk", "Content-Encoding: gzip")
	all = append(all, each("value-bytes", add, "X-A: a\x01b", "X-A: a\x7fb", "X-A: a\x0bb", "X-A: \x0cb", "X-A: a\x1bb")...)
	all = append(all, each("value-8bit", add, "X-A: \xc3\xa9", "X-A: \xff")...)
	all = append(all, each("name-8bit", add, "X-\xc3\xa9: b", "X-\xff: b")...)
	all = append(all, each("connection", add,
		"Connection: Host", "Connection: X-A\r\nX-A: b", "Connection: X-A, X-B\r\nX-A: b\r\nX-B: c\r\nX-C: d", "Connection: Content-Length", "Connection: Transfer-Encoding", "Connection: X-Forwarded-For", "Connection: keep-alive", "Connection: Keep-Alive, X-A\r\nX-A: b", "Connection: ,", "Connection: x y", "Connection: Upgrade\r\nUpgrade: foo", "Connection: Upgrade\r\nUpgrade: h2c", "Upgrade: websocket", "TE: trailers", "TE: gzip", "TE: gzip, trailers", "TE: trailers;q=0.5", "Connection: TE\r\nTE: trailers", "Keep-Alive: timeout=5", "Proxy-Connection: close", "Trailer: X-T", "Connection: Cookie\r\nCookie: a=b", "Connection: Authorization\r\nAuthorization: Basic eDp5")...)
	all = append(all, each("closing", add, "Connection: close", "Connection: CLOSE", "Connection: close, X-A\r\nX-A: b", "Connection: keep-alive, close")...)
	for _, n := range []int{90, 190, 210, 390, 410, 3000} {
		all = append(all, change{"many-fields", func(m *message) { m.fields = append(m.fields, numberedFields(n)...) }})
	}
	for _, n := range []int{8000, 15000, 17000, 60000, 80000} {
		all = append(all, change{"large", func(m *message) { m.fields = append(m.fields, "X-A: "+strings.Repeat("y", n)) }})
		all = append(all, change{"large", func(m *message) { m.target = "/" + strings.Repeat("y", n) }})
	}
	return all
}

func numberedFields(n int) []string {
	var all []string
	for i := range n {
		all = append(all, "X-"+string(rune('a'+i%26))+": y")
	}
	return all
}

func lengthChanges() []change {
	all := each("length", func(m *message, s string) { m.length(s); m.body = "hello" },
		"5", "05", "0000000000000000000005", "+5", "-5", "0x5", "5.0", "5;", "5 5", "", "a", "5\x00", "\x0b5", "5,", ",5", "99999999999999999999", "4", "0")
	all = append(all, each("equal-lengths", func(m *message, s string) { m.length(s); m.body = "hello" }, "5, 5", "5,5", "5\r\nContent-Length: 5", "5\r\nContent-Length: 05")...)
	return append(all, each("two-lengths", func(m *message, s string) { m.length(s); m.body = "hello" }, "5, 6", "5\r\nContent-Length: 6", "0\r\nContent-Length: 5", "5\r\nContent_Length: 6")...)
}

func codingChanges() []change {
	chunks := func(m *message, te string) { m.coding(te); m.body = wholeChunks }
	all := each("chunked", chunks, "chunked", "Chunked", "CHUNKED", " chunked ", "\tchunked\t")
	all = append(all, each("coding", chunks,
		"chunked,", ",chunked", "chunked, chunked", "chunked, identity", "identity", "identity, chunked", "gzip, chunked", "gzip", "xchunked", "chunked;q=1", "chunke", "chunked x", "\"chunked\"", "", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity", "gzip\r\nTransfer-Encoding: chunked", "\x0bchunked", "chunked\x00", "\xa0chunked", "chunked\x0b", "chunked, ", "deflate, gzip, chunked", "trailers, chunked")...)
	all = append(all, each("length-and-chunks", func(m *message, te string) { m.length("5"); chunks(m, te) }, "chunked")...)
	all = append(all, each("length-and-chunks", func(m *message, te string) { chunks(m, te); m.length("15") }, "chunked")...)
	return append(all, each("length-and-coding", func(m *message, te string) { m.length("5"); chunks(m, te) }, "identity", "chunked,", "xchunked", "")...)
}

func chunkChanges() []change {
	body := func(m *message, s string) { m.coding("chunked"); m.body = s }
	all := each("chunk", body,
		"5\r\nhello\r\n0\r\n\r\n", "05\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n00\r\n\r\n", "5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "g\r\nhello\r\n0\r\n\r\n",
		"5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n", "0000000000000000000005\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n", "0\r\n\r\n")
	all = append(all, each("chunk-blank", body, "5 \r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0 \r\n\r\n")...)
	all = append(all, each("chunk-extension", body, "5;a\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0;c\r\n\r\n", "5 ; a=\"b\"\r\nhello\r\n0\r\n\r\n", "5;"+strings.Repeat("a", 3000)+"\r\nhello\r\n0\r\n\r\n", "5;a\x00\r\nhello\r\n0\r\n\r\n", "5;a\x01\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n")...)
	return append(all, each("chunk-lf", body, "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\n\n", "5;a\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n")...)
}

func trailerChanges() []change {
	trailer := func(m *message, s string) { m.coding("chunked"); m.body = "5\r\nhello\r\n0\r\n" + s + "\r\n\r\n" }
	all := each("trailer", trailer, "X-T: 1", "X-T: 1\r\nX-U: 2", "Content-Length: 5", "Host: b.example", "Transfer-Encoding: chunked", "X-Forwarded-For: 1.2.3.4", "x-t:1", "Authorization: x")
	return append(all, each("bad-trailer", trailer, "X-T", "X T: 1", ": 1", "X-T: a\x00b", "X-T : 1", " X-T: 1", "GET /evil HTTP/1.1", "X-T: a\x01b", "X-T: 1\r\n y")...)
}

func expectChanges() []change {
	expect := func(m *message, s string) { m.fields = append(m.fields, "Expect: "+s) }
	all := each("expect", expect, "100-continue", "100-Continue", "100-continue\r\nExpect: 100-continue")
	return append(all, each("other-expect", expect, "a-miracle", "100-continue, x", "100-continue,", "200-ok", "", "100-continue;q=1")...)
}

// newWireCase makes a case by chance.
func newWireCase(r *rand.Rand) wireCase {
	m := message{method: "POST", target: "/c", version: "HTTP/1.1", between: " ", behind: "\r\n", hosts: []string{"a.example"}}
	groups := wireGroups()
	n := 1
	if r.IntN(3) == 0 {
		n = 2
	}
	var c wireCase
	for _, g := range r.Perm(len(groups))[:n] {
		ch := groups[g][r.IntN(len(groups[g]))]
		ch.do(&m)
		c.tags = append(c.tags, ch.tag)
	}
	var b strings.Builder
	b.WriteString(m.front + m.method + m.between + m.target)
	if m.version != "" {
		b.WriteString(m.between + m.version)
	}
	b.WriteString(m.behind)
	for _, h := range m.hosts {
		b.WriteString("Host: " + h + "\r\n")
	}
	if m.body != "" && !strings.Contains(strings.Join(m.fields, "\n"), "Content-Length") && !strings.Contains(strings.Join(m.fields, "\n"), "Transfer-Encoding") {
		m.body = ""
	}
	for _, f := range m.fields {
		b.WriteString(f + "\r\n")
	}
	c.text = b.String() + "\r\n" + m.body
	return c
}
