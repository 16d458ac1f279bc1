package traffic

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// maxReason is how many bytes a reason has at most.
const maxReason = 240

// Reason says why a request to the endpoint at address failed: what the network or TLS
// says of err, or else. It holds nothing that the client or the endpoint has sent.
func Reason(err error, address, otherwise string) string {
	var (
		errno       syscall.Errno
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		timeout     interface{ Timeout() bool }
	)
	reason := otherwise
	switch {
	case errors.As(err, &certificate):
		reason = "the certificate is not accepted: " + strings.TrimPrefix(certificate.Err.Error(), "x509: ")
	case errors.As(err, &record):
		reason = "no TLS is spoken"
	case errors.As(err, &alert):
		reason = "TLS failed: " + strings.TrimPrefix(alert.Error(), "tls: ")
	case errors.As(err, &errno):
		reason = errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = "the connection was closed before there was an answer"
	case errors.As(err, &timeout) && timeout.Timeout():
		reason = "no answer in time"
	case strings.Contains(otherwise, address):
		return bounded(otherwise, maxReason)
	}
	return bounded(reason, maxReason-len(address)-4) + " at " + address
}

// bounded is a copy of a text, of at most n bytes, in which control characters are visible.
func bounded(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return utf8.RuneError
		}
		return c
	}, s)
	if len(s) <= n {
		return strings.Clone(s) // what it was cut from is not held
	}
	n = max(0, n-len("…"))
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// ClientLeft is the reason of an answer that the client has broken off.
const ClientLeft = "the client went away, or took the answer too slowly"

// BrokenOff says why an answer was broken off: by its endpoint, by a stop of Fairway, or
// else by the client.
func BrokenOff(byEndpoint, stopped bool) string {
	switch {
	case stopped:
		return "the request was cut off by a stop"
	case byEndpoint:
		return "the endpoint broke off its answer"
	}
	return ClientLeft
}
