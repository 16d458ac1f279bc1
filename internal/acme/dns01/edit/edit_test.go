package edit

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var record = Record{Zone: "example.com.", Name: "_acme-challenge.app.example.com.", Text: "text"}

func file(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWebhook: what is sent, and that an answer that repeats the token does not get it out.
func TestWebhook(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 200)
		n, _ := r.Body.Read(body)
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(body[:n]))
		if r.URL.Path == "/dns/cleanup" {
			http.Error(w, `{"message": "I do not know `+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`"}`, http.StatusForbidden)
		}
	}))
	defer server.Close()
	e := NewWebhook(server.URL+"/dns/", file(t, "t0ken\n", 0o600))
	if err := e.Add(t.Context(), record); err != nil {
		t.Error(err)
	}
	err := e.Remove(t.Context(), record)
	if err == nil || !strings.HasSuffix(err.Error(), " answers 403: I do not know …") {
		t.Error(err)
	}
	body := ` Bearer t0ken {"fqdn":"_acme-challenge.app.example.com.","value":"text"}`
	if want := "POST /dns/present" + body + "; POST /dns/cleanup" + body; strings.Join(got, "; ") != want {
		t.Errorf("%q", got)
	}
	server.Close()
	if err := NewWebhook(server.URL+"/s3cret?key=s3cret", "").Add(t.Context(), record); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a service that is away: %v", err)
	}
	if err := NewWebhook(server.URL, "/missing").Add(t.Context(), record); err == nil || !strings.HasPrefix(err.Error(), "acme.dns.token-file: ") {
		t.Error(err)
	}
}

// TestExec: what a program is run with, what is said of one that fails, and that one that
// hangs, with what it has started, ends.
func TestExec(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	e := Exec{file(t, "#!/bin/sh\necho \"$@\" >>"+out+"\n[ $1 = present ] || { echo 'no such zone' >&2; exit 3; }\n", 0o700)}
	if err := e.Add(t.Context(), record); err != nil {
		t.Error(err)
	}
	if err := e.Remove(t.Context(), record); err == nil || !strings.HasSuffix(err.Error(), " cleanup: exit status 3: no such zone") {
		t.Error(err)
	}
	if data, _ := os.ReadFile(out); string(data) != "present _acme-challenge.app.example.com. text\ncleanup _acme-challenge.app.example.com. text\n" {
		t.Errorf("%q", data)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	hangs := Exec{file(t, "#!/bin/sh\nsleep 60 & wait\n", 0o700)}
	if err := hangs.Add(ctx, record); err == nil || !strings.HasSuffix(err.Error(), " present took too long") {
		t.Error(err)
	}
	if time.Since(began) > 30*time.Second {
		t.Error("it was waited for")
	}
}

// TestKeys: a key as BIND writes it has all; a secret alone is of HMAC-SHA256.
func TestKeys(t *testing.T) {
	bind := "key \"acme-key\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n"
	for _, tt := range []struct {
		text, id string
		want     tsig
	}{
		{bind, "", tsig{"acme-key.", "hmac-sha512.", "c2VjcmV0"}},
		{bind, "other", tsig{"other.", "hmac-sha512.", "c2VjcmV0"}},
		{"c2VjcmV0\n", "k", tsig{"k.", "hmac-sha256.", "c2VjcmV0"}},
	} {
		if got, err := (RFC2136{KeyID: tt.id, KeyFile: file(t, tt.text, 0o600)}).key(); err != nil || got != tt.want {
			t.Errorf("%+v, %v", got, err)
		}
	}
}
