package wire

import (
	"strings"

	"fairway/internal/route/field"
)

// Request is the head of a request. Its strings are parts of the text it was parsed of.
type Request struct {
	Method string
	// Target is as it was sent: a path with query, an absolute URL, an authority or "*".
	Target string
	// Authority is the target's where it names one, else that of Host (RFC 9112, 3.2);
	// only a request of HTTP/1.0 may have none. It is not looked at.
	Authority string
	// Old is set for HTTP/1.0.
	Old bool
	// Fields are in the order of the head.
	Fields field.List
	// Length is that of the body: 0 for none, -1 for chunks.
	Length int64
	// Close says that the client sends nothing more on the connection (RFC 9112, 9.3).
	Close bool
	// Continue says that the client waits for 100 before it sends the body; Unexpected,
	// that it expects something else (RFC 9110, 10.1.1).
	Continue, Unexpected bool
}

// Parse reads a head that a Finder has found, with its empty line, and keeps the memory of
// Fields. After an error, which is a Fault, r holds only what was read before it.
func (r *Request) Parse(head string) error {
	*r = Request{Fields: r.Fields[:0]}
	line, rest := cutLine(head)
	if err := r.line(line); err != nil {
		return err
	}
	var f framing
	var err error
	if r.Fields, err = f.fields(r.Fields, rest); err != nil {
		return err
	}
	if r.Old && f.codings > 0 {
		return FaultOldCoding
	}
	if err := r.authority(&f); err != nil {
		return err
	}
	switch {
	case f.chunked:
		r.Length = -1
	case f.lengths > 0:
		r.Length = f.length
	}
	r.Close = f.close || r.Old && !f.keep
	r.Continue = f.expect && !r.Old && r.Length != 0 // RFC 9110, 10.1.1: of HTTP/1.0 it is ignored
	r.Unexpected = f.expectElse && !r.Old
	return nil
}

// line reads the request line (RFC 9112, 3): single blanks, and nothing around them.
func (r *Request) line(s string) error {
	if s == "" {
		return FaultEmptyLine
	}
	method, rest, ok := strings.Cut(s, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	switch {
	case !ok || !ok2:
		return faultOf(s, FaultLine)
	case method == "" || !all(method, classToken):
		return faultOf(method, FaultMethod)
	case target == "" || !all(target, classTarget):
		return faultOf(target, FaultTarget)
	}
	old, fault := version(proto)
	if fault != 0 {
		return faultOf(proto, fault)
	}
	r.Method, r.Target, r.Old = method, target, old
	return nil
}

// authority finds whom the request names. A target in absolute form counts, and Host has
// to say the same: what stands behind may look at either (RFC 9112, 3.2.2 lets a server
// ignore Host).
func (r *Request) authority(f *framing) error {
	switch {
	case f.hosts > 1:
		return FaultHosts
	case f.hosts == 0 && !r.Old:
		return FaultNoHost
	}
	r.Authority = f.host
	if strings.IndexFunc(f.host, func(c rune) bool { return c >= 0x80 }) >= 0 {
		return FaultHost
	}
	if r.Target[0] == '/' || r.Target[0] == '*' {
		return nil
	}
	scheme, rest, ok := strings.Cut(r.Target, "://")
	if !ok {
		return nil // the authority form of CONNECT, or what is no target
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	port := ":80"
	switch {
	case strings.EqualFold(scheme, "https"):
		port = ":443"
	case !strings.EqualFold(scheme, "http"):
		return FaultScheme
	}
	if f.hosts > 0 && !strings.EqualFold(strings.TrimSuffix(rest, port), strings.TrimSuffix(f.host, port)) {
		return FaultHosts
	}
	r.Authority = rest
	return nil
}
