package quote

import (
	"net/url"
	"strings"
)

// FrontendPrefix begins the name of every frontend for a listener.
const FrontendPrefix = "in-"

// Frontend is HAProxy's name for a listener; bytes that it does not take in a
// name are written as "_" and two digits in hexadecimal.
func Frontend(listener string) string {
	return FrontendPrefix + Escape(listener, "_%02x", func(c byte) bool { return c != '_' && IsPlain(c) })
}

// Listener is the listener with a Frontend; empty when the name is none.
func Listener(frontend string) string {
	name, ok := strings.CutPrefix(frontend, FrontendPrefix)
	listener, err := url.PathUnescape(strings.ReplaceAll(name, "_", "%"))
	if !ok || err != nil {
		return ""
	}
	return listener
}
