package wire

import "strings"

// Field is one field line of a head, in the spelling of the message. The strings are
// parts of the text that was parsed.
type Field struct {
	Name, Value string
	Kind        Kind
}

// Kind is which field a name means, of those that decide about the message or the
// connection. The zero value is any other.
type Kind uint8

// The kinds of fields.
const (
	KindOther Kind = iota
	KindHost
	KindContentLength
	KindTransferEncoding
	KindConnection
	KindKeepAlive
	KindProxyConnection
	KindTE
	KindTrailer
	KindUpgrade
	KindExpect
)

// KindOf finds the kind of a name in any case.
func KindOf(name string) Kind {
	switch len(name) {
	case 2:
		return kindIf(name, "te", KindTE)
	case 4:
		return kindIf(name, "host", KindHost)
	case 6:
		return kindIf(name, "expect", KindExpect)
	case 7:
		if name[0]|0x20 == 't' {
			return kindIf(name, "trailer", KindTrailer)
		}
		return kindIf(name, "upgrade", KindUpgrade)
	case 10:
		if name[0]|0x20 == 'k' {
			return kindIf(name, "keep-alive", KindKeepAlive)
		}
		return kindIf(name, "connection", KindConnection)
	case 14:
		return kindIf(name, "content-length", KindContentLength)
	case 16:
		return kindIf(name, "proxy-connection", KindProxyConnection)
	case 17:
		return kindIf(name, "transfer-encoding", KindTransferEncoding)
	}
	return KindOther
}

func kindIf(name, want string, kind Kind) Kind {
	if equalFold(name, want) {
		return kind
	}
	return KindOther
}

// equalFold compares with a text in lower case of the same length, by ASCII alone.
func equalFold(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Lists reports whether a comma-separated list holds the word, in lower case, in any
// case (RFC 9110, 5.6.1).
func Lists(list, word string) bool {
	for len(list) > 0 {
		entry := list
		if comma := strings.IndexByte(list, ','); comma >= 0 {
			entry, list = list[:comma], list[comma+1:]
		} else {
			list = ""
		}
		if equalFold(trimBlanks(entry), word) {
			return true
		}
	}
	return false
}

// trimBlanks takes off what may surround a value (RFC 9110, 5.6.3: OWS).
func trimBlanks(s string) string {
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// The classes of bytes, as bits of an entry of classes.
const (
	classToken  = 1 << iota // RFC 9110, 5.6.2: tchar
	classValue              // RFC 9110, 5.5: field-vchar, and the blanks between them
	classTarget             // RFC 9112, 3.2: no blanks and control bytes; others are looked at later
)

// classes has the classes of every byte.
const classes = "" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x02\x07\x06\x07\x07\x07\x07\x07\x06\x06\x07\x07\x06\x07\x07\x06\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x06\x06\x06\x06\x06\x06" +
	"\x06\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x06\x06\x06\x07\x07" +
	"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x06\x07\x06\x07\x00" +
	"\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06" +
	"\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06" +
	"\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06" +
	"\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06\x06"

// all reports whether every byte of s is of the class.
func all(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// IsToken reports whether s can be a method or the name of a field (RFC 9110, 5.6.2).
func IsToken(s string) bool { return s != "" && all(s, classToken) }

// faultOf says what is wrong with a text that holds bytes outside its class.
func faultOf(s string, otherwise Fault) Fault {
	if strings.IndexByte(s, '\r') >= 0 {
		return FaultBareCR
	}
	return otherwise
}
