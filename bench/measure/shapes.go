package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// shape is what a client asks for.
type shape struct {
	name   string
	path   string // of the backend
	answer int    // bytes
	post   int    // bytes of the body that is sent; 0 for GET
	tls    bool
	fresh  bool // a new connection for each request
	h2     bool // HTTP/2, by h2load
}

// shapes are the requests that are measured, by name.
func shapes() []shape {
	return []shape{
		{name: "get", path: "/", answer: 1 << 10},
		{name: "post-4k", path: "/", answer: 1 << 10, post: 4 << 10},
		{name: "64k", path: "/64k", answer: 64 << 10},
		{name: "1m", path: "/1m", answer: 1 << 20},
		{name: "100m", path: "/100m", answer: 100 << 20},
		{name: "tls", path: "/", answer: 1 << 10, tls: true},
		{name: "tls-new", path: "/", answer: 1 << 10, tls: true, fresh: true},
		{name: "tls-1m", path: "/1m", answer: 1 << 20, tls: true},
		{name: "h2", path: "/", answer: 1 << 10, tls: true, h2: true},
	}
}

// shapeOf finds a shape by its name.
func shapeOf(name string) shape {
	var names []string
	for _, s := range shapes() {
		if s.name == name {
			return s
		}
		names = append(names, s.name)
	}
	check(fmt.Errorf("no shape is called %q; there are %s", name, strings.Join(names, ", ")))
	return shape{}
}

// scheme is that of the URL that is asked for.
func (s shape) scheme() string {
	if s.tls {
		return "https"
	}
	return "http"
}

// writeBodies writes what the backend answers with, as files, so that it costs the backend
// next to nothing.
func writeBodies(dir string) {
	for _, s := range shapes() {
		if path := filepath.Join(dir, s.path); s.path != "/" {
			f := must(os.Create(path))
			check(f.Truncate(int64(s.answer)))
			check(f.Close())
		}
	}
}

// keyPair is a certificate of ECDSA P-256 for *.bench, as all proxies get it.
type keyPair struct {
	cert, key, both string // files in PEM; both has the certificate and the key
}

func newKeyPair(dir string) keyPair {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"*.bench", "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	pair := keyPair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "both.pem")}
	check(os.WriteFile(pair.cert, cert, 0o600))
	check(os.WriteFile(pair.key, private, 0o600))
	check(os.WriteFile(pair.both, append(cert, private...), 0o600))
	return pair
}
