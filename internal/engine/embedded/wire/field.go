package wire

import "strings"

// kind is which field a name means, of those that decide about the message. The zero
// value is any other.
type kind uint8

const (
	kindOther kind = iota
	kindHost
	kindContentLength
	kindTransferEncoding
	kindConnection
	kindExpect
)

// kindOf finds the kind of a name in any case.
func kindOf(name string) kind {
	switch len(name) {
	case 4:
		return kindIf(name, "host", kindHost)
	case 6:
		return kindIf(name, "expect", kindExpect)
	case 10:
		return kindIf(name, "connection", kindConnection)
	case 14:
		return kindIf(name, "content-length", kindContentLength)
	case 17:
		return kindIf(name, "transfer-encoding", kindTransferEncoding)
	}
	return kindOther
}

func kindIf(name, want string, k kind) kind {
	if equalFold(name, want) {
		return k
	}
	return kindOther
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

// lists reports whether a comma-separated list holds the word, in lower case, in any
// case (RFC 9110, 5.6.1).
func lists(list, word string) bool {
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

// plain reports whether s has visible bytes and blanks alone, which most values do: it looks at
// eight bytes at once.
func plain(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		del := w ^ 0x7f*ones
		if ((w-0x20*ones)&^w|(del-ones)&^del)&tops != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

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
