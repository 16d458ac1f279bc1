// Package wire is HTTP/1.1 on the wire: it reads and writes the heads and bodies of
// messages in memory, strictly, and opens no connection.
//
// What it accepts has one reading only. RFC 9112 lets a recipient be lenient in places;
// where two programs could then disagree about what a message says or where it ends, the
// message is a Fault here. Each Fault names its section.
package wire

import "strconv"

// Fault is why a message is refused. The connection it came by has to be closed: where the
// next message begins is not known. It is an error; the zero value is none of them.
type Fault uint8

// The faults of messages.
const (
	_                Fault = iota
	FaultBareLF            // a line that ends without CR
	FaultBareCR            // a CR that ends no line
	FaultEmptyLine         // an empty line in front of the message
	FaultLine              // not three parts with single blanks between them
	FaultMethod            // a method that is no token
	FaultTarget            // a target with blanks or control bytes
	FaultVersion           // not HTTP/1
	FaultStatus            // not three digits, or below 100
	FaultReason            // a reason phrase with control bytes
	FaultFold              // a field line that goes on in the next line
	FaultColon             // a field line without a colon, or without a name
	FaultName              // a field name that is no token; a blank in front of the colon
	FaultValue             // a field value with control bytes
	FaultTooMany           // more than MaxFields fields
	FaultTooLarge          // a head or trailer section beyond its bound
	FaultLength            // a Content-Length that is not one number
	FaultLengths           // several of them
	FaultCoding            // a Transfer-Encoding other than chunked
	FaultCodings           // several of them
	FaultOldCoding         // one in HTTP/1.0
	FaultBothLengths       // a length beside chunks
	FaultNoBody            // chunks in an answer that has no body
	FaultNoHost            // no Host
	FaultHosts             // several of them, or another one than the target's
	FaultHost              // bytes beyond ASCII in it
	FaultScheme            // a target of another scheme than http and https
	FaultConnection        // more than maxConnection names in Connection
	FaultChunkSize         // not plain hexadecimal digits, or too large
	FaultChunkExt          // an extension with control bytes, or too much of them
	FaultChunkEnd          // no end of line behind a chunk
)

// explain is what a fault means, where that is written, and the status for a request.
func (f Fault) explain() (text, section string, status int) {
	switch f {
	case FaultBareLF:
		return "a line ends without CR", "RFC 9112, 2.2", 400
	case FaultBareCR:
		return "a CR stands where no line ends", "RFC 9112, 2.2", 400
	case FaultEmptyLine:
		return "an empty line stands in front", "RFC 9112, 2.2", 400
	case FaultLine:
		return "the first line has not its three parts", "RFC 9112, 3 and 4", 400
	case FaultMethod:
		return "the method is not valid", "RFC 9110, 9.1", 400
	case FaultTarget:
		return "the target has blanks or control bytes", "RFC 9112, 3.2", 400
	case FaultVersion:
		return "the version is not HTTP/1", "RFC 9110, 15.6.6", 505
	case FaultStatus:
		return "the status is not valid", "RFC 9112, 4", 400
	case FaultReason:
		return "the reason has control bytes", "RFC 9112, 4", 400
	case FaultFold:
		return "a field goes on in the next line", "RFC 9112, 5.2", 400
	case FaultColon:
		return "a field has no colon or no name", "RFC 9112, 5", 400
	case FaultName:
		return "the name of a field is not valid", "RFC 9112, 5.1", 400
	case FaultValue:
		return "the value of a field has control bytes", "RFC 9110, 5.5", 400
	case FaultTooMany:
		return "there are too many fields", "RFC 6585, 5", 431
	case FaultTooLarge:
		return "the fields are too large", "RFC 6585, 5", 431
	}
	return f.explainFraming()
}

func (f Fault) explainFraming() (text, section string, status int) {
	switch f {
	case FaultLength:
		return "the length is not one number", "RFC 9110, 8.6", 400
	case FaultLengths:
		return "there are several lengths", "RFC 9112, 6.3", 400
	case FaultCoding:
		return "the transfer coding is not known", "RFC 9112, 6.1", 501
	case FaultCodings:
		return "there are several transfer codings", "RFC 9112, 6.1", 501
	case FaultOldCoding:
		return "HTTP/1.0 has no transfer coding", "RFC 9112, 6.1", 400
	case FaultBothLengths:
		return "a length stands beside a transfer coding", "RFC 9112, 6.1", 400
	case FaultNoBody:
		return "an answer without a body has a transfer coding", "RFC 9112, 6.1", 400
	case FaultNoHost:
		return "the host is missing", "RFC 9112, 3.2", 400
	case FaultHosts:
		return "several hosts are named", "RFC 9112, 3.2", 400
	case FaultHost:
		return "the host has bytes beyond ASCII", "RFC 3986, 3.2.2", 400
	case FaultScheme:
		return "the scheme of the target is not http or https", "RFC 9110, 4.2", 400
	case FaultConnection:
		return "Connection names too many fields", "RFC 9110, 7.6.1", 400
	case FaultChunkSize:
		return "the size of a chunk is not valid", "RFC 9112, 7.1", 400
	case FaultChunkExt:
		return "the extension of a chunk is not valid or too long", "RFC 9112, 7.1.1", 400
	case FaultChunkEnd:
		return "a chunk does not end where it should", "RFC 9112, 7.1", 400
	}
	return "fault " + strconv.Itoa(int(f)), "", 400
}

// Error says what is wrong. Nothing of the message is in it.
func (f Fault) Error() string {
	text, _, _ := f.explain()
	return text
}

// Section is where the rule is written, such as "RFC 9112, 5.2".
func (f Fault) Section() string {
	_, section, _ := f.explain()
	return section
}

// Status is that of the answer to a request with the fault. An answer with one is 502.
func (f Fault) Status() int {
	_, _, status := f.explain()
	return status
}
