package enginetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fairway/internal/route"
)

// certificate returns a self-signed key pair for the name, in files of the
// case's own directory; the same one when asked again.
func (w *world) certificate(name string) route.Certificate {
	w.Helper()
	if c, ok := w.certs[name]; ok {
		return c
	}
	base := filepath.Join(w.dir, strings.ReplaceAll(name, "*", "_"))
	c := route.Certificate{CertFile: base + ".crt", KeyFile: base + ".key"}
	w.certs[name] = c
	w.writeKeyPair(c, name)
	return c
}

// writeKeyPair writes a new key pair into the files, each in one step, as a
// careful tool would.
func (w *world) writeKeyPair(c route.Certificate, name string) {
	w.Helper()
	cert, key := w.newKeyPair(name)
	for file, content := range map[string][]byte{c.CertFile: cert, c.KeyFile: key} {
		if err := os.WriteFile(file+".new", content, 0o600); err != nil {
			w.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) keyPair(name string) tls.Certificate {
	w.Helper()
	pair, err := tls.X509KeyPair(w.newKeyPair(name))
	if err != nil {
		w.Fatal(err)
	}
	return pair
}

// newKeyPair makes a self-signed certificate and its key, both in PEM.
func (w *world) newKeyPair(name string) (cert, key []byte) {
	w.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		w.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		w.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		w.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
