package enginetest

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
)

// tlsCases are what happens before the first request of a TLS connection.
func tlsCases() []goCase {
	return []goCase{
		{"certificates by server name", tlsBySNI},
		{"certificates are reread when their files change", tlsReload},
		{"files that are broken on the way leave the certificate", tlsBrokenReload},
		{"a certificate comes with a table", tlsNewCertificate},
		{"a certificate that a label names answers for its host alone", tlsNamed},
		{"a certificate that a label names and that cannot be read is left out", tlsNamedBroken},
		{"old versions are refused", tlsVersions},
		{"plain HTTP on a TLS listener", tlsPlain},
	}
}

// presented is the name in the certificate that a connection shows, and its
// serial number.
func presented(conn *tls.Conn) (name, serial string) {
	cert := conn.ConnectionState().PeerCertificates[0]
	return cert.Subject.CommonName, cert.SerialNumber.String()
}

func tlsBySNI(w *world) {
	w.apply(`
tls: [first.example, a.example, "*.wild.example"]
routes: [{id: any, to: [e1]}]
`)
	w.presents(map[string]string{
		"first.example": "first.example", "a.example": "a.example", "A.Example": "a.example", "x.wild.example": "*.wild.example", "": "first.example",
	})
}

// presents says whose certificate is shown to clients that ask for a name.
func (w *world) presents(certs map[string]string) {
	w.Helper()
	for name, want := range certs {
		if got, _ := presented(w.dialTLS(name)); got != want {
			w.Errorf("asked for %q, got the certificate of %s, want %s", name, got, want)
		}
	}
}

func tlsReload(w *world) {
	w.apply(routeTLS)
	old := w.dialTLS("a.example", "h2")
	_, before := presented(old)
	w.writeKeyPair(w.certs["a.example"], "a.example")
	w.eventually("the new certificate is shown", func() bool {
		_, now := presented(w.dialTLS("a.example"))
		return now != before
	})
	// Who is connected stays.
	c := &http.Client{Transport: onConn(old)}
	w.want(w.do(c, http.MethodGet, "https://a.example/", nil), 200, "e1")
}

func tlsBrokenReload(w *world) {
	w.apply(routeTLS)
	_, before := presented(w.dialTLS("a.example"))
	files := w.certs["a.example"]
	good, err := os.ReadFile(files.CertFile)
	if err != nil {
		w.Fatal(err)
	}
	for _, content := range []string{"", "nonsense", string(good[:len(good)/2])} {
		w.writeFile("a.example.crt", content)
		for range 5 {
			if _, now := presented(w.dialTLS("a.example")); now != before {
				w.Errorf("with %d bytes in the file another certificate is shown", len(content))
			}
		}
	}
	w.writeKeyPair(files, "a.example")
	w.eventually("the certificate that came after is shown", func() bool {
		_, now := presented(w.dialTLS("a.example"))
		return now != before
	})
}

func tlsNewCertificate(w *world) {
	w.apply(`
tls: [a.example]
routes: [{id: any, to: [e1]}]
`)
	addr := w.engine.Addr("https").String()
	w.apply(`
tls: [a.example, b.example]
routes: [{id: any, to: [e1]}]
`)
	if got := w.engine.Addr("https").String(); got != addr {
		w.Errorf("the listener moved from %s to %s", addr, got)
	}
	if got, _ := presented(w.dialTLS("b.example")); got != "b.example" {
		w.Errorf("got the certificate of %s, want b.example", got)
	}
}

func tlsNamed(w *world) {
	w.apply(`
tls: [first.example, "shop.example for shop.example", "*.wild.example for a.wild.example", "*.deep.example for *.deep.example", shop.example]
routes: [{id: any, to: [e1]}]
`)
	w.presents(map[string]string{
		"shop.example": "shop.example", "a.wild.example": "*.wild.example", "x.deep.example": "*.deep.example", "": "first.example",
		"b.wild.example": "first.example", // the file has it, and no label asks
	})
	// Without one for all names a client that asks for another one gets none.
	w.apply(`
tls: ["shop.example for shop.example"]
routes: [{id: any, to: [e1]}]
`)
	w.presents(map[string]string{"shop.example": "shop.example"})
	for _, name := range []string{"other.example", ""} {
		conn := tls.Client(w.dial("https"), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := conn.HandshakeContext(w.Context()); err == nil {
			w.Errorf("asked for %q, got the certificate of shop.example", name)
		}
	}
}

func tlsNamedBroken(w *world) {
	files := w.certificate("late.example")
	w.writeFile("late.example.crt", "not yet")
	w.apply(`
tls: [first.example, "late.example for late.example", "first.example for foreign.example"]
routes: [{id: any, to: [e1]}]
`)
	w.presents(map[string]string{"late.example": "first.example", "foreign.example": "first.example"})
	w.writeKeyPair(files, "late.example")
	w.eventually("the certificate that came after is shown", func() bool {
		got, _ := presented(w.dialTLS("late.example"))
		return got == "late.example"
	})
}

func tlsVersions(w *world) {
	w.apply(routeTLS)
	for version, fine := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		conn := tls.Client(w.dial("https"), &tls.Config{
			ServerName: "a.example", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version,
		})
		if err := conn.HandshakeContext(w.Context()); (err == nil) != fine {
			w.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func tlsPlain(w *world) {
	w.apply(routeTLS)
	conn := w.dial("https")
	_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if resp, err := http.ReadResponse(newReader(conn), nil); err == nil && resp.StatusCode < 400 {
		w.Errorf("answered %d", resp.StatusCode)
	}
	if n := w.log.len(); n != 0 {
		w.Errorf("an endpoint saw %d requests", n)
	}
}
