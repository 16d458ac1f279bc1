package tlsoption

import (
	"errors"
	"strings"
)

// QUICConfig is the keys about HTTP/3, as in docs/https.md.
type QUICConfig struct {
	ListenQUIC string `name:"listen-quic" placeholder:"ADDR" preset:"off" help:"UDP address for HTTP/3, beside listen-tls: :443; off for none. Not with HAProxy."`
	QUICPort   int    `name:"quic-port" placeholder:"N" derived:"the port of listen-quic" least:"0" most:"65535" help:"Port for HTTP/3 that clients get to know (Alt-Svc), where another one is mapped to that of listen-quic."`
}

// QUIC is the address for HTTP/3, and the port that clients get to know; empty and 0 for none.
func (c QUICConfig) QUIC() (address string, port int) {
	if c.ListenQUIC == "off" {
		return "", 0
	}
	return c.ListenQUIC, c.QUICPort
}

// Check calls add with what is wrong with the keys, for an engine and an address of TLS.
func (c QUICConfig) Check(engine, listenTLS string, add func(key, value, reason string)) {
	address, _ := c.QUIC()
	switch {
	case address == "":
	case engine == "haproxy":
		add("listen-quic", address, "Fairway serves HTTP/3 with engine: embedded alone; HAProxy as Debian has it is built without QUIC (haproxy -vv)")
	case listenTLS == "off":
		add("listen-quic", address, "HTTP/3 is served beside listen-tls, which is off: clients learn of it over TLS")
	}
}

// Certificate is a key pair in PEM files: "cert.pem,key.pem", or one file for both.
type Certificate struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// UnmarshalText reads the text form.
func (c *Certificate) UnmarshalText(text []byte) error {
	cert, key, two := strings.Cut(string(text), ",")
	if !two {
		key = cert
	}
	cert, key = strings.TrimSpace(cert), strings.TrimSpace(key)
	if cert == "" || key == "" || strings.Contains(key, ",") {
		return errors.New("write CERT,KEY, or one path for a file with both")
	}
	*c = Certificate{Cert: cert, Key: key}
	return nil
}

// String returns the text form.
func (c Certificate) String() string {
	if c.Cert == c.Key {
		return c.Cert
	}
	return c.Cert + "," + c.Key
}
