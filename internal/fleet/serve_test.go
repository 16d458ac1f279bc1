package fleet

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fairway/internal/fleet/driver"
	"fairway/internal/history"
	"fairway/internal/testkit"
)

// TestServe fetches documents as plain curl would.
func TestServe(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 1, text("v1"))
	s.m.Templates["tuned"] = true
	s.m.Targets = append(s.m.Targets, driver.Target{Host: "h1", Docker: s.hosts[0].url, Document: "tuned", Container: "none", Values: map[string]string{"port": "81"}})
	token, other := sha256.Sum256([]byte("0123456789abcdef")), sha256.Sum256([]byte("fedcba9876543210"))
	s.m.Readers = []Reader{
		{Name: "all", Token: &token, Documents: []string{"web", "tuned", "nothing", "free"}},
		{Name: "other", Token: &other, Documents: []string{"192.*"}},
		{Name: "cert", Certificate: "edge.example.com", Documents: []string{"web"}},
	}
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	for document, content := range map[string]string{"tuned": "bind :{{port}}\n", "free": "as it is\n"} {
		_, err := f.Put(history.Draft{Document: document, Content: []byte(content)})
		check(t, err)
	}
	handler := f.Handler()
	edge := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{DNSNames: []string{"edge.example.com"}, Subject: pkix.Name{CommonName: "x"}}}}}
	stranger := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{DNSNames: []string{"evil.example.com"}}}}}
	unverified := &tls.ConnectionState{PeerCertificates: edge.VerifiedChains[0]}
	for name, tt := range map[string]struct {
		path, bearer, password, tag, method string
		tls                                 *tls.ConnectionState
		status                              int
		body                                string
	}{
		// Revision 2 is not out: the first was, at once.
		"what is out":              {path: "/haproxy/web", bearer: "0123456789abcdef", status: 200, body: text("v1")},
		"by password":              {path: "/haproxy/web", password: "0123456789abcdef", status: 200, body: text("v1")},
		"by certificate":           {path: "/haproxy/web", tls: edge, status: 200, body: text("v1")},
		"no hosts, out at once":    {path: "/haproxy/free", bearer: "0123456789abcdef", status: 200, body: "as it is\n"},
		"a template":               {path: "/haproxy/tuned", bearer: "0123456789abcdef", status: 200, body: "bind :{{port}}\n"},
		"of a host":                {path: "/hosts/h1/haproxy/tuned", bearer: "0123456789abcdef", status: 200, body: "bind :81\n"},
		"of no host":               {path: "/hosts/h9/haproxy/tuned", bearer: "0123456789abcdef", status: 404, body: "no such document\n"},
		"nobody":                   {path: "/haproxy/web", status: 401, body: "a token or a client certificate is needed\n"},
		"wrong token":              {path: "/haproxy/web", bearer: "0123456789abcdeF", status: 401, body: "a token or a client certificate is needed\n"},
		"stranger":                 {path: "/haproxy/web", tls: stranger, status: 401, body: "a token or a client certificate is needed\n"},
		"unverified":               {path: "/haproxy/web", tls: unverified, status: 401, body: "a token or a client certificate is needed\n"},
		"not his":                  {path: "/haproxy/web", bearer: "fedcba9876543210", status: 403, body: "not yours to read\n"},
		"not his, nor there":       {path: "/haproxy/what", bearer: "fedcba9876543210", status: 403, body: "not yours to read\n"},
		"not there":                {path: "/haproxy/nothing", bearer: "0123456789abcdef", status: 404, body: "no such document\n"},
		"the same":                 {path: "/haproxy/web", bearer: "0123456789abcdef", tag: `"x", W/"` + driver.Digest([]byte(text("v1"))) + `"`, status: 304},
		"another":                  {path: "/haproxy/web", bearer: "0123456789abcdef", tag: `"x"`, status: 200, body: text("v1")},
		"a bad wait":               {path: "/haproxy/web?wait=x", bearer: "0123456789abcdef", status: 400, body: "wait: want a duration such as 60s\n"},
		"a short wait for nothing": {path: "/haproxy/web?wait=20ms", bearer: "0123456789abcdef", tag: "*", status: 304},
		"writing":                  {path: "/haproxy/web", method: http.MethodPut, bearer: "0123456789abcdef", status: 405, body: "Method Not Allowed\n"},
	} {
		r := httptest.NewRequest(tt.method, tt.path, nil)
		r.TLS = tt.tls
		if tt.bearer != "" {
			r.Header.Set("Authorization", "Bearer "+tt.bearer)
		}
		if tt.password != "" {
			r.SetBasicAuth("x", tt.password)
		}
		r.Header.Set("If-None-Match", tt.tag)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s: %d %q, want %d %q", name, w.Code, w.Body, tt.status, tt.body)
		}
		if w.Code == 200 && w.Header().Get("ETag") != `"`+driver.Digest([]byte(tt.body))+`"` {
			t.Errorf("%s: tag %s", name, w.Header().Get("ETag"))
		}
	}
	if r := write2(t, f); r != "2" {
		t.Errorf("the wait ended with revision %s", r)
	}
}

// write2 waits for news, while a rollout puts revision 2 out.
func write2(t *testing.T, f *Fleet) string {
	t.Helper()
	server := httptest.NewServer(f.Handler())
	defer server.Close()
	got := make(chan *http.Response, 1)
	go func() {
		r, _ := http.NewRequest(http.MethodGet, server.URL+"/haproxy/web?wait=30s", nil)
		r.Header.Set("Authorization", "Bearer 0123456789abcdef")
		r.Header.Set("If-None-Match", `"`+driver.Digest([]byte(text("v1")))+`"`)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
		}
		got <- answer
	}()
	time.Sleep(20 * time.Millisecond) // whether it waits already makes no difference
	rollout(t, f, quick)
	answer := <-got
	if answer == nil {
		return ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != text("v2") {
		t.Errorf("news: %q, %v", body, err)
	}
	return answer.Header.Get("Fairway-Revision")
}

// TestMeant has a host ask for its own in the middle of a rollout.
func TestMeant(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, text("v1"))
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	settings := quick
	settings.Pause = 15 * time.Second
	r, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: settings})
	check(t, err)
	want := map[string]uint64{"": 1, "h1": 2, "h2": 1}
	testkit.Eventually(t, "the canary has it", func() bool {
		p, err := f.Progress("web")
		check(t, err)
		return p.Steps[0].State == Applied
	})
	for host, number := range want {
		if _, got, err := f.meant(host, "web"); err != nil || got != number {
			t.Errorf("host %q is meant to have revision %d, %v, want %d", host, got, err, number)
		}
	}
	check(t, f.Stop("web", "ann"))
	await(t, f, r.Number)
	for host := range want {
		if _, got, err := f.meant(host, "web"); err != nil || got != 1 {
			t.Errorf("host %q is meant to have revision %d, %v, want 1", host, got, err)
		}
	}
}
