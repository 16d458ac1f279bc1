package admin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/admin/access"
	"fairway/internal/api"
	"fairway/internal/testkit"
)

// send puts JSON to the handler.
func sendJSON(t *testing.T, s *Server, method, path, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, s, method, path, func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if edit != nil {
			edit(r)
		}
	})
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// The first token is made once, is for admin, and holds after a restart.
func TestFirstToken(t *testing.T) {
	dir := t.TempDir()
	o := options(t, newWorld(t))
	o.StateDir = dir
	s := newServer(t, o)
	path := filepath.Join(dir, access.FirstTokenFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, filepath.Join(dir, "tokens.json")} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	token := strings.TrimSpace(string(data))
	if !strings.HasPrefix(token, api.TokenPrefix) || len(token) != len(api.TokenPrefix)+43 {
		t.Errorf("the token is %q", token)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "tokens.json"))
	if err != nil || bytes.Contains(kept, []byte(token)) {
		t.Errorf("the token itself is kept: %s, %v", kept, err)
	}
	for range 2 {
		rec := ask(t, s, "GET", "/v1/identity", bearer(token))
		if want := `{"name":"admin","role":"admin","by":"token"}` + "\n"; rec.Body.String() != want {
			t.Errorf("identity %s, want %s", rec.Body, want)
		}
		o := options(t, newWorld(t))
		o.StateDir = dir
		s = newServer(t, o)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	o = options(t, newWorld(t))
	o.StateDir = dir
	newServer(t, o)
	if _, err := os.Stat(path); err == nil {
		t.Error("a token that was taken away came back")
	}
}

func TestNoFirstTokenBesideATokenFile(t *testing.T) {
	o := options(t, newWorld(t))
	o.StateDir, o.Token = t.TempDir(), goodToken
	newServer(t, o)
	if files, _ := os.ReadDir(o.StateDir); len(files) != 0 {
		t.Errorf("made %v", files)
	}
}

// A file of tokens that cannot be read lets nobody in, stays as it is and keeps
// nothing from starting.
func TestTokensThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens.json")
	if err := os.WriteFile(path, []byte(`[{"name":`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, newWorld(t))
	o.StateDir = dir
	s := newServer(t, o)
	if data, err := os.ReadFile(path); err != nil || string(data) != `[{"name":` {
		t.Errorf("the file is now %q, %v", data, err)
	}
	if rec := ask(t, s, "GET", "/v1/info", nil); rec.Code != 200 {
		t.Errorf("reading: %d", rec.Code)
	}
}

func TestTokens(t *testing.T) {
	o := options(t, newWorld(t))
	o.StateDir, o.Token = t.TempDir(), goodToken
	s := newServer(t, o)
	admin := bearer(goodToken)
	var made api.MadeToken
	rec := sendJSON(t, s, "POST", "/v1/tokens", `{"name":"deploy","role":"operator","days":90}`, admin)
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != 200 {
		t.Fatal(rec.Code, rec.Body, err)
	}
	if made.By != "token-file" || made.Expires.Sub(made.Created) < 89*24*time.Hour {
		t.Errorf("made %+v", made.Token)
	}
	for body, want := range map[string]int{
		`{"name":"deploy","role":"operator"}`:                             409,
		`{"name":"","role":"operator"}`:                                   400,
		`{"name":"a b","role":"operator"}`:                                400,
		`{"name":"` + strings.Repeat("a", 65) + `","role":"operator"}`:    400,
		`{"name":"x","role":"root"}`:                                      400,
		`{"name":"x","role":""}`:                                          400,
		`{"name":"x","role":"viewer","days":-1}`:                          400,
		`{"name":"x","role":"viewer","days":3651}`:                        400,
		`{"name":"x","role":"viewer","surprise":1}`:                       400,
		`{"name":"x","role":"viewer"}{}`:                                  400,
		`{"name":"x"`:                                                     400,
		``:                                                                400,
		`{"name":"` + strings.Repeat("a", maxBody) + `","role":"viewer"}`: 413,
	} {
		if rec := sendJSON(t, s, "POST", "/v1/tokens", body, admin); rec.Code != want {
			t.Errorf("POST %.80s = %d, want %d: %s", body, rec.Code, want, rec.Body)
		}
	}
	form := sendJSON(t, s, "POST", "/v1/tokens", `{"name":"x","role":"viewer"}`, func(r *http.Request) {
		admin(r)
		r.Header.Set("Content-Type", "text/plain")
	})
	if form.Code != 415 {
		t.Errorf("a form of another page: %d", form.Code)
	}
	if rec := ask(t, s, "GET", "/v1/identity", bearer(made.Secret)); !strings.Contains(rec.Body.String(), `"name":"deploy","role":"operator"`) {
		t.Errorf("identity: %s", rec.Body)
	}
	if rec := ask(t, s, "GET", "/v1/tokens", admin); strings.Contains(rec.Body.String(), made.Secret) || strings.Contains(rec.Body.String(), fmt.Sprintf("%x", sha256.Sum256([]byte(made.Secret)))) ||
		!strings.Contains(rec.Body.String(), `"deploy"`) {
		t.Errorf("tokens: %s", rec.Body)
	}
	for _, want := range []int{200, 404} {
		if rec := ask(t, s, "DELETE", "/v1/tokens/deploy", admin); rec.Code != want {
			t.Errorf("revoke = %d, want %d", rec.Code, want)
		}
	}
	if rec := ask(t, s, "GET", "/v1/identity", bearer(made.Secret)); rec.Code != 401 {
		t.Errorf("revoked: %d", rec.Code)
	}
	var entries api.List[api.AuditEntry]
	if err := json.Unmarshal(ask(t, s, "GET", "/v1/audit?limit=1000", admin).Body.Bytes(), &entries); err != nil {
		t.Fatal(err)
	}
	first, last := entries.Items[len(entries.Items)-1], entries.Items[0]
	if first.Text != "made the token deploy for operator" || first.Who != "token-file" || first.From != "192.0.2.1" || first.Operation != "POST /v1/tokens" || first.Status != 200 {
		t.Errorf("the first entry is %+v", first)
	}
	if last.Status != 404 || last.Text != `no token "deploy"` {
		t.Errorf("the last entry is %+v", last)
	}
}

// A token that cannot be kept does not hold.
func TestTokenThatCannotBeKept(t *testing.T) {
	o := options(t, newWorld(t))
	o.StateDir, o.Token = t.TempDir(), goodToken
	s := newServer(t, o)
	if err := os.RemoveAll(o.StateDir); err != nil {
		t.Fatal(err)
	}
	rec := sendJSON(t, s, "POST", "/v1/tokens", `{"name":"x","role":"viewer"}`, bearer(goodToken))
	if rec.Code != 500 || len(s.access.Tokens.List()) != 0 {
		t.Errorf("%d %s, tokens %v", rec.Code, rec.Body, s.access.Tokens.List())
	}
	if n := len(s.access.Audit.Newest(10)); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestSession(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token = goodToken
	s := newServer(t, o)
	rec := sendJSON(t, s, "POST", "/v1/session", `{"token":"`+goodToken+`"}`, nil)
	var began api.Session
	if err := json.Unmarshal(rec.Body.Bytes(), &began); err != nil || rec.Code != 200 {
		t.Fatal(rec.Code, rec.Body, err)
	}
	cookies := rec.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/" || cookies[0].Domain != "" {
		t.Fatalf("cookies %+v", cookies)
	}
	if strings.Contains(rec.Body.String(), cookies[0].Value) || strings.Contains(rec.Body.String(), goodToken) {
		t.Error("the body tells the cookie or the token")
	}
	with := func(key string) func(*http.Request) {
		return func(r *http.Request) {
			r.AddCookie(cookies[0])
			r.Header.Set(api.SessionKeyHeader, key)
		}
	}
	if rec := ask(t, s, "GET", "/v1/identity", with("")); !strings.Contains(rec.Body.String(), `"by":"session"`) {
		t.Errorf("identity: %s", rec.Body)
	}
	if rec := ask(t, s, "DELETE", "/v1/session", with("")); rec.Code != 403 {
		t.Errorf("signing out without the key: %d", rec.Code)
	}
	rec = ask(t, s, "DELETE", "/v1/session", with(began.Key))
	if c := rec.Result().Cookies(); rec.Code != 200 || len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("signing out: %d, %+v", rec.Code, c)
	}
	if rec := ask(t, s, "GET", "/v1/identity", with(began.Key)); rec.Code != 401 {
		t.Errorf("after signing out: %d", rec.Code)
	}
}

// Over TLS the cookie has the prefix that ties it to this host name.
func TestSessionCookieOverTLS(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token = goodToken
	s := newServer(t, o)
	rec := sendJSON(t, s, "POST", "/v1/session", `{"token":"`+goodToken+`"}`, func(r *http.Request) { r.TLS = &tls.ConnectionState{} })
	if c := rec.Result().Cookies(); len(c) != 1 || c[0].Name != "__Host-fairway" || !c[0].Secure {
		t.Errorf("cookies %+v", c)
	}
}

// issuer signs certificates for tests.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns a certificate with its key in PEM.
func (a *issuer) issue(t *testing.T, subject pkix.Name, names ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
}

// A listener with TLS over real connections: roles by client certificates, the
// name in the certificate, and a new certificate without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours, theirs := newIssuer(t), newIssuer(t)
	cert, key := ours.issue(t, pkix.Name{CommonName: "one"}, "fairway.example.com", "*.example.com")
	o := options(t, newWorld(t))
	o.Anonymous = api.RoleNone
	o.TLS = access.TLS{CertFile: write("cert", cert), KeyFile: write("key", key), ClientCAFile: write("ca", ours.pem)}
	s := newServer(t, o)
	run(t, s)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.pem)
	get := func(host string, config *tls.Config) (int, string, *tls.ConnectionState) {
		config.RootCAs = roots
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}, Timeout: 5 * time.Second}
		req, err := http.NewRequest("GET", "https://"+s.Addr().String()+"/v1/identity", nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, err.Error(), nil
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body), res.TLS
	}
	shows := func(a *issuer, subject pkix.Name) *tls.Config {
		cert, key := a.issue(t, subject)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
	}
	port := s.Addr().(*net.TCPAddr).Port
	if code, body, state := get("", &tls.Config{}); code != 401 || state.Version != tls.VersionTLS13 {
		t.Errorf("nobody: %d %s", code, body)
	}
	if code, body, _ := get(fmt.Sprintf("fairway.example.com:%d", port), shows(ours, pkix.Name{CommonName: "ci", Organization: []string{"operator"}})); code != 200 ||
		!strings.Contains(body, `"name":"ci","role":"operator","by":"certificate"`) {
		t.Errorf("an operator by the name in the certificate: %d %s", code, body)
	}
	if code, body, _ := get(fmt.Sprintf("evil.example.com:%d", port), shows(ours, pkix.Name{CommonName: "ci", Organization: []string{"operator"}})); code != 403 {
		t.Errorf("by a name that the wildcard covers: %d %s", code, body)
	}
	if code, body, _ := get("", shows(ours, pkix.Name{CommonName: "ci"})); code != 403 {
		t.Errorf("without role: %d %s", code, body)
	}
	if code, body, _ := get("", shows(theirs, pkix.Name{CommonName: "ci", Organization: []string{"admin"}})); code == 200 {
		t.Errorf("of another authority: %d %s", code, body)
	}
	if code, body, _ := get("", &tls.Config{MaxVersion: tls.VersionTLS12}); code != 0 {
		t.Errorf("TLS 1.2: %d %s", code, body)
	}

	write("cert", []byte("broken"))
	next := func() string {
		time.Sleep(1050 * time.Millisecond)
		code, body, state := get("", &tls.Config{})
		if code != 401 {
			t.Fatalf("%d %s", code, body)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if name := next(); name != "one" {
		t.Errorf("a broken file made the certificate %s", name)
	}
	cert, key = ours.issue(t, pkix.Name{CommonName: "two"})
	write("key", key)
	write("cert", cert)
	if name := next(); name != "two" {
		t.Errorf("the certificate stays %s", name)
	}

	// The authorities follow their file as well.
	write("ca", theirs.pem)
	operator := pkix.Name{CommonName: "ci", Organization: []string{"operator"}}
	testkit.Eventually(t, "the new authority vouches, and the old one does not", func() string {
		code, body, _ := get("", shows(theirs, operator))
		before, _, _ := get("", shows(ours, operator))
		if code != 200 || before == 200 {
			return fmt.Sprintf("by the new one %d %s, by the old one %d", code, body, before)
		}
		return ""
	})
}

// Who may too little learns the role that is needed, and of what type the error is.
func TestTooLittle(t *testing.T) {
	for _, tt := range []struct {
		who    api.Identity
		status int
		detail string
	}{
		{api.Identity{}, 401, "the admin API asks for a token here"},
		{api.Identity{Role: api.RoleViewer, By: api.ByNothing}, 401, "without a token one is viewer here, and this needs the role operator"},
		{api.Identity{Name: "ann", Role: api.RoleViewer, By: "token"}, 403, "ann is viewer, and this needs the role operator"},
	} {
		if e := access.TooLittle(tt.who, api.RoleOperator); e.Status != tt.status || e.Detail != tt.detail || e.Type != api.TypeRole {
			t.Errorf("%+v: %+v", tt.who, e)
		}
	}
}
