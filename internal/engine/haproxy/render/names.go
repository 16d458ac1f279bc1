package render

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"path/filepath"
	"strings"

	"fairway/internal/route"
)

// hashed identifies a text by so many hexadecimal digits.
func hashed(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// digest is a short name for any text.
func digest(parts ...string) string { return hashed(strings.Join(parts, "\x00")+"\x00", 10) }

// answersSection answers what no endpoint gets.
const answersSection = "answers"

// dedicatedName is the section of a route with rules of its own.
func dedicatedName(id string) string { return dedicatedPrefix + digest("dedicated", id) }

const dedicatedPrefix = "route-"

// serverName names an endpoint at its address. It is in logs, so no digest of cookies.
func serverName(b *route.Backend, e *route.Endpoint, address netip.AddrPort) string {
	return "s" + digest("server", b.ID, e.ID, address.String())
}

func (o *Options) mapPath(name string) string {
	return filepath.Join(o.Dir, DirMaps, name+".map")
}

// certPath is where the joined key pair is.
func (o *Options) certPath(c route.Certificate) string {
	return filepath.Join(o.Dir, DirCerts, digest(append([]string{"pair", c.CertFile, c.KeyFile}, strings.Fields(c.Host)...)...)+".pem")
}

func (o *Options) certListPath(listener string) string {
	return filepath.Join(o.Dir, "crt-list-"+listenerWord(listener)+".txt")
}
