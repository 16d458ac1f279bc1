package enginetest

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"

	"fairway/internal/testkit"
)

// clientCertCases are certificates of clients.
func clientCertCases() []goCase {
	return []goCase{
		{"those of an authority are let in, no others", clientCertKnown},
		{"the authorities are reread when their file changes", clientCertReload},
	}
}

const routeClientCert = `
tls: [a.example]
listeners: [{name: https, clientCAFile: $DIR/ca.pem}]
routes:
  - {id: locked, host: a.example, path: /locked, filters: [{requireClientCert: {}}], to: [e1]}
  - {id: open, host: a.example, to: [e1]}
`

// clientPair makes a key pair for a client; its certificate is its own authority.
func (w *world) clientPair(name string) (pair tls.Certificate, authority []byte) {
	w.Helper()
	cert, key := testkit.KeyPair(w, name)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		w.Fatal(err)
	}
	return pair, cert
}

// certified returns a client that has a certificate; h2 has it speak HTTP/2.
func (w *world) certified(h2 bool, pairs ...tls.Certificate) *http.Client {
	c := w.client("https", h2)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true, Certificates: pairs}
	return c
}

func clientCertKnown(w *world) {
	known, authority := w.clientPair("client")
	stranger, _ := w.clientPair("stranger")
	if err := os.WriteFile(filepath.Join(w.dir, "ca.pem"), authority, 0o600); err != nil {
		w.Fatal(err)
	}
	w.apply(routeClientCert)
	for _, h2 := range []bool{false, true} {
		w.want(w.do(w.certified(h2, known), http.MethodGet, "https://a.example/locked", nil), 200, "e1")
		w.want(w.do(w.certified(h2), http.MethodGet, "https://a.example/locked", nil), http.StatusForbidden, "")
		w.want(w.do(w.certified(h2), http.MethodGet, "https://a.example/", nil), 200, "e1")
	}
	w.want(w.get("http://a.example/locked"), http.StatusForbidden, "")
	// Go's client would leave a certificate out that the server does not ask for.
	c := w.certified(false)
	c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &stranger, nil
	}
	if resp, err := c.Get("https://a.example/"); err == nil {
		_ = resp.Body.Close()
		w.Errorf("a certificate of an unknown authority was answered with %d", resp.StatusCode)
	}
	// In another table, the same certificates are looked at.
	w.apply(routeClientCert + "  - {id: new, host: b.example, to: [e1]}\n")
	w.want(w.do(w.certified(false, known), http.MethodGet, "https://a.example/locked", nil), 200, "e1")
}

func clientCertReload(w *world) {
	first, authority := w.clientPair("first")
	second, next := w.clientPair("second")
	w.writeFile("ca.pem", string(authority))
	w.apply(routeClientCert)
	sessions := tls.NewLRUClientSessionCache(1)
	known := func() *http.Client {
		c := w.certified(false, first)
		c.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = sessions
		return c
	}
	w.want(w.do(known(), http.MethodGet, "https://a.example/locked", nil), 200, "e1")
	w.writeFile("ca.pem", "nonsense")
	w.want(w.do(w.certified(false, first), http.MethodGet, "https://a.example/locked", nil), 200, "e1")
	w.writeFile("ca.pem", string(next))
	w.eventually("the new client gets in", func() bool {
		return w.do(w.certified(false, second), http.MethodGet, "https://a.example/locked", nil).StatusCode == 200
	})
	// Who was known before is not any more, also not by the session of then.
	if resp, err := known().Get("https://a.example/locked"); err == nil {
		_ = resp.Body.Close()
		w.want(answer{Response: resp}, http.StatusForbidden, "")
	}
}
