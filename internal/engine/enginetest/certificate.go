package enginetest

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"

	"fairway/internal/route"
	"fairway/internal/testkit"
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
	cert, key := testkit.KeyPair(w, name)
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
	pair, err := tls.X509KeyPair(testkit.KeyPair(w, name))
	if err != nil {
		w.Fatal(err)
	}
	return pair
}
