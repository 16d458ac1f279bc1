package wire

import (
	"bytes"
	"strings"

	"fairway/internal/route/field"
)

// MaxFields is how many fields a head or a trailer section may have. It bounds memory.
const MaxFields = 256

// maxConnection is how many names Connection may have: each costs a look at all fields.
const maxConnection = 64

// Finder looks for the end of a head in a buffer that grows. The zero value begins anew.
type Finder struct {
	line int // where the line begins that has not ended yet
}

// Find returns how many bytes of the buffer the head has, with its empty line; 0 when
// that is not there yet. Each call has the bytes of the one before, and more: lines
// that have ended are not looked at twice. A line that ends without CR is a fault (RFC 9112, 2.2 would allow it).
func (f *Finder) Find(buf []byte) (int, error) {
	at := max(f.line, 0)
	for {
		n := bytes.IndexByte(buf[at:], '\n')
		if n < 0 {
			return 0, nil
		}
		end := at + n
		if end == 0 || buf[end-1] != '\r' || n == 0 {
			return 0, FaultBareLF
		}
		at = end + 1
		if n == 1 { // CR and LF alone
			f.line = 0
			return at, nil
		}
		f.line = at
	}
}

// cutLine takes the first line off a text of whole lines.
func cutLine(s string) (line, rest string) {
	end := strings.IndexByte(s, '\n')
	return s[:end-1], s[end+1:]
}

// framing is what the fields of a head say about the body and the connection.
type framing struct {
	answer     bool
	length     int64
	chunked    bool
	close      bool // Connection: close
	keep       bool // Connection: keep-alive
	lengths    int
	codings    int
	hosts      int
	named      int // names in Connection
	host       string
	expect     bool // Expect: 100-continue
	expectElse bool // another expectation
}

// fields reads field lines up to the empty line, which ends the text, and appends them.
// In an answer blanks in front of a colon are taken away, except where the field decides
// about the message (RFC 9112, 5.1: a proxy has to, and a request is refused).
func (f *framing) fields(list field.List, s string) (field.List, error) {
	for len(s) > 2 {
		var line string
		line, s = cutLine(s)
		if isBlank(line[0]) {
			return list, FaultFold
		}
		colon := strings.IndexByte(line, ':')
		if colon <= 0 {
			return list, faultOf(line, FaultColon)
		}
		if len(list) >= MaxFields {
			return list, FaultTooMany
		}
		name, value := line[:colon], trimBlanks(line[colon+1:])
		blanks := false
		if f.answer && isBlank(name[colon-1]) {
			name, blanks = strings.TrimRight(name, " \t"), true
		}
		if name == "" || !all(name, classToken) {
			return list, faultOf(name, FaultName)
		}
		if !plain(value) && !all(value, classValue) {
			return list, faultOf(value, FaultValue)
		}
		if k := kindOf(name); k != kindOther {
			if blanks {
				return list, FaultName
			}
			if fault := f.note(k, value); fault != 0 {
				return list, fault
			}
		}
		list = append(list, field.Line{Name: name, Value: value})
	}
	return list, nil
}

// note reads a field that decides. A length is digits alone, and a transfer coding is
// "chunked" in any case, once (RFC 9112, 6.1 and 6.3).
func (f *framing) note(k kind, v string) Fault {
	switch k {
	case kindContentLength:
		n, ok := decimal(v)
		if !ok {
			return FaultLength
		}
		f.length = n
		f.lengths++
	case kindTransferEncoding:
		f.codings++
		if f.chunked = equalFold(v, "chunked"); !f.chunked {
			return FaultCoding
		}
	case kindConnection:
		if f.named += 1 + strings.Count(v, ","); f.named > maxConnection {
			return FaultConnection
		}
		f.close = f.close || lists(v, "close")
		f.keep = f.keep || lists(v, "keep-alive")
	case kindHost:
		f.hosts++
		f.host = v
	case kindExpect:
		if equalFold(v, "100-continue") {
			f.expect = true
		} else {
			f.expectElse = f.expectElse || v != ""
		}
	case kindOther:
	}
	switch {
	case f.codings > 1:
		return FaultCodings
	case f.lengths > 1:
		return FaultLengths
	case f.codings > 0 && f.lengths > 0:
		return FaultBothLengths
	}
	return 0
}

// decimal reads digits alone, of a number that an int64 holds (RFC 9110, 8.6).
func decimal(s string) (n int64, ok bool) {
	if s == "" {
		return 0, false
	}
	if s = strings.TrimLeft(s, "0"); len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// version reads "HTTP/1." and a digit. A later minor version counts as 1.1, the latest
// one known (RFC 9110, 2.5).
func version(s string) (old bool, fault Fault) {
	const shape = "HTTP/1."
	if len(s) != len(shape)+1 || s[:len(shape)] != shape || s[len(shape)] < '0' || s[len(shape)] > '9' {
		if len(s) == len(shape)+1 && s[:5] == shape[:5] && s[6] == '.' && digit(s[5]) && digit(s[7]) {
			return false, FaultVersion
		}
		return false, FaultLine
	}
	return s[len(shape)] == '0', 0
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
