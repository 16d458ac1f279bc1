package wire

import (
	"strings"

	"fairway/internal/route/field"
)

// Response is the head of an answer. Its strings are parts of the text it was parsed of.
type Response struct {
	// Status is from 100 to 999.
	Status int
	Reason string
	// Old is set for HTTP/1.0.
	Old bool
	// Fields are in the order of the head.
	Fields field.List
	// Length is that of the body that follows: 0 for none, -1 where it is not known. Then
	// it is in chunks, or ends with the connection.
	Length int64
	// Said is the length that the head says, which may be of no body; -1 for none.
	Said    int64
	Chunked bool
	// Close says that the connection cannot be used for another request.
	Close bool
}

// Parse reads the head of an answer to a request with the method, as Request.Parse does.
// What follows the head is decided by RFC 9112, 6.3.
func (r *Response) Parse(head, method string) error {
	*r = Response{Fields: r.Fields[:0]}
	line, rest := cutLine(head)
	if err := r.line(line); err != nil {
		return err
	}
	f := framing{answer: true}
	var err error
	if r.Fields, err = f.fields(r.Fields, rest); err != nil {
		return err
	}
	r.Close = f.close || r.Old && !f.keep
	if r.Said = -1; f.lengths > 0 {
		r.Said = f.length
	}
	switch none := r.Status < 200 || r.Status == 204; {
	case r.Old && f.codings > 0:
		return FaultOldCoding
	case none && f.codings > 0:
		return FaultNoBody
	case none:
		r.Close = r.Close || f.length > 0 // it must have no length, and may send what that says
	case r.Status == 304 || method == "HEAD":
	case f.chunked:
		r.Length, r.Chunked = -1, true
	case f.lengths > 0:
		r.Length = f.length
	default:
		r.Length, r.Close = -1, true
	}
	return nil
}

// line reads the status line (RFC 9112, 4). The blank in front of an empty reason may be
// missing, as it is in many answers.
func (r *Response) line(s string) error {
	if s == "" {
		return FaultEmptyLine
	}
	proto, rest, ok := strings.Cut(s, " ")
	old, fault := version(proto)
	if fault != 0 {
		return faultOf(proto, fault)
	}
	code, reason, _ := strings.Cut(rest, " ")
	if !ok || len(code) != 3 || !digit(code[0]) || !digit(code[1]) || !digit(code[2]) || code[0] == '0' {
		return faultOf(rest, FaultStatus)
	}
	if !all(reason, classValue) {
		return faultOf(reason, FaultReason)
	}
	r.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	r.Reason, r.Old = reason, old
	return nil
}

// Trailers reads a trailer section that a Finder has found, with its empty line, and
// appends its fields to list (RFC 9112, 7.1.2).
func Trailers(list field.List, section string) (field.List, error) {
	var f framing
	return f.fields(list, section)
}
