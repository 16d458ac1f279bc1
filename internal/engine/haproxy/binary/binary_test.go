package binary

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// program is the haproxy of this machine; without one the test is skipped.
func program(t *testing.T) *Binary {
	t.Helper()
	b, err := Find(t.Context(), "")
	if errors.Is(err, ErrNotFound) {
		t.Skip("no haproxy on this machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseDebian(t *testing.T) {
	text, err := os.ReadFile("testdata/vv-2.6.12.txt")
	if err != nil {
		t.Fatal(err)
	}
	b, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.Version, (Version{2, 6, 12, "2.6.12-1+deb12u3"}); got != want {
		t.Errorf("version %+v, want %+v", got, want)
	}
	if b.Has("QUIC") || !b.Has("PCRE2_JIT") || !b.Has("LUA") || !b.Has("PCRE2") || !b.Has("OPENSSL") {
		t.Errorf("features %v", b.Features)
	}
	if !b.Version.Supported() || b.Version.String() != "2.6.12" {
		t.Errorf("version %v, supported %v", b.Version, b.Version.Supported())
	}
}

func TestParseVersions(t *testing.T) {
	for text, want := range map[string]Version{
		"HAProxy version 3.2.0-e134140d2 2025/05/28 - https://haproxy.org/":   {3, 2, 0, "3.2.0-e134140d2"},
		"HA-Proxy version 2.2.9-2+deb11u6 2023/08/10 - https://haproxy.org/":  {2, 2, 9, "2.2.9-2+deb11u6"},
		"HAProxy version 3.5-dev2-8a2ff0-29 2026/07/01 - https://haproxy.org": {3, 5, 2, "3.5-dev2-8a2ff0-29"},
		"HAProxy version 3.4.0 2026/06/03 - https://haproxy.org/":             {3, 4, 0, "3.4.0"},
	} {
		b, err := parse(text)
		if err != nil || b.Version != want {
			t.Errorf("%s: %+v, %v", text, b, err)
		}
	}
	if b, err := parse("nginx version: nginx/1.22.1"); err == nil {
		t.Errorf("another program is taken for %+v", b)
	}
	old, _ := parse("HA-Proxy version 2.4.0 2021/05/14")
	if old.Version.Supported() {
		t.Error("2.4 is taken for supported")
	}
}

func TestFind(t *testing.T) {
	if _, err := Find(t.Context(), "/nonexistent/haproxy"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "/nonexistent/haproxy") {
		t.Errorf("no program: %v", err)
	}
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("#!/bin/sh\necho hello\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if b, err := Find(t.Context(), other); err == nil {
		t.Errorf("another program is taken for %+v", b)
	}
	if b := program(t); !filepath.IsAbs(b.Path) || !b.Version.AtLeast(1, 5) {
		t.Errorf("found %+v", b)
	}
}

// A haproxy that does not answer is ended with the context, also when a child of
// its own keeps its output open.
func TestCheckDeadline(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\n/bin/sleep 30\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b := &Binary{Path: slow}
	if r, err := b.Check(ctx, CheckOptions{Files: []string{"x"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("report %+v, error %v", r, err)
	}
	if _, err := b.Check(t.Context(), CheckOptions{}); err == nil {
		t.Error("nothing to check is no error")
	}
}

const minimal = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
`

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	b, dir := program(t), t.TempDir()
	secret := write(t, dir, "secret", "root:*:20228:it's:99999 hunter2 ' and hunter2\nhunter3\n")
	good := write(t, dir, "good.cfg", minimal+"listen a\n    bind 127.0.0.1:1\n")
	warned := write(t, dir, "warned.cfg", "listen a\n    bind 127.0.0.1:1\n    mode http\n")

	r, err := b.Check(t.Context(), CheckOptions{Files: []string{good}})
	if err != nil || !r.OK || len(r.Alerts)+len(r.Warnings) > 0 || r.Err() != nil {
		t.Errorf("good: %+v, %v", r, err)
	}
	r, err = b.Check(t.Context(), CheckOptions{Files: []string{"good.cfg"}, Dir: dir})
	if err != nil || !r.OK {
		t.Errorf("relative: %+v, %v", r, err)
	}
	r, err = b.Check(t.Context(), CheckOptions{Files: []string{warned}})
	if err != nil || !r.OK || len(r.Alerts) > 0 || len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0].Text, "missing timeouts for proxy 'a'") {
		t.Errorf("warned: %+v, %v", r, err)
	}
	if text := r.Warnings[0].Text; !strings.Contains(text, "'client', 'connect', 'server'") {
		t.Errorf("HAProxy's own words are left out: %s", text)
	}
	_ = secret
}

// What HAProxy says of a mistake: file, line and its words.
func TestCheckMistakes(t *testing.T) {
	b, dir := program(t), t.TempDir()
	for _, c := range []struct{ text, want string }{
		{"listen a\n    foo bar\n", "bad.cfg:7: unknown keyword 'foo' in 'listen' section"},
		{"listen a\n    bind :80 tfoo\n", "did you mean 'tfo' maybe ?"},
		{"listen a\n    bind \"127.0.0.1:80\n", "bad.cfg:7: unmatched quote at position"},
		{"listen a\n    bind :99999\n", "bad.cfg:7: 'bind' : invalid port '99999'"},
		{"listen a\n    bind :80 ssl crt /nope.pem\n", "unable to stat SSL certificate from file '/nope.pem'"},
		{"frontend a\n    bind :80\n    default_backend nope\n", "unable to find required default_backend: 'nope'"},
	} {
		bad := write(t, dir, "bad.cfg", minimal+c.text)
		r, err := b.Check(t.Context(), CheckOptions{Files: []string{bad}})
		if err != nil {
			t.Fatal(err)
		}
		var refused *RefusedError
		if r.OK || !errors.As(r.Err(), &refused) {
			t.Errorf("%q is taken", c.text)
			continue
		}
		if text := r.Err().Error(); !strings.Contains(text, c.want) {
			t.Errorf("%q: %q does not say %q", c.text, text, c.want)
		}
	}
	r, err := b.Check(t.Context(), CheckOptions{Files: []string{filepath.Join(dir, "missing.cfg")}})
	if err != nil || r.OK || !strings.Contains(r.Err().Error(), "missing.cfg") {
		t.Errorf("a missing file: %+v, %v", r, err)
	}
}

// TestReadSuggestion: what HAProxy suggests is its own keyword, also where the line
// may have made it read another file.
func TestReadSuggestion(t *testing.T) {
	r := Read("[ALERT]    (9) : config : parsing [/dev/stdin:2] : unknown keyword 'secret' in 'listen' section; did you mean 'stats' maybe ?\n", "/dev/stdin", "listen a\n    ${X} uri /haproxy\n", false)
	want := "unknown keyword '…' in 'listen' section; did you mean 'stats' maybe ?"
	if len(r.Alerts) != 1 || r.Alerts[0].Text != want {
		t.Errorf("%+v", r.Alerts)
	}
}

// A configuration that names other files must not bring their content into a
// message, and the environment is not ours to give away.
func TestCheckQuotesNoOtherFile(t *testing.T) {
	b, dir := program(t), t.TempDir()
	secrets := []string{
		"hunter2:*:20228:0:99999:7:::\nhunter2\n",
		"a hunter2' : 'x\n",
		"'hunter2' 'hunter2\n",
		"hunter2\n",
		"%[hunter2] hunter2\n",
		"[hunter2] hunter2 { ' \"\n",
		"function hunter2 hunter2 'hunter2'\n",
	}
	lines := []string{
		"listen a\n acl x src -f SECRET\n",
		"listen a\n acl x hdr(hunter) -m reg -f SECRET\n",
		"listen a\n http-request deny if { src -f SECRET }\n",
		"listen a\n http-request deny if { src,map_ip_int(SECRET) -m int 1 }\n",
		"listen a\n http-request deny if { str(a),map_reg(SECRET) -m found }\n",
		"listen a\n bind :1 ssl crt-list SECRET\n",
		"listen a\n bind :1 ssl crt SECRET\n",
		"listen a\n bind :1 ssl crt SECRET ca-file SECRET verify required\n",
		"listen a\n errorfile 503 SECRET\n",
		"listen a\n http-request return status 200 content-type a/b lf-file SECRET\n",
		"listen a\n filter spoe engine x config SECRET\n",
		"listen a\n filter opentracing config SECRET\n",
		"resolvers x\n parse-resolv-conf\n nameserver SECRET\n",
		"global\n lua-load SECRET\n",
		"global\n lua-load-per-thread SECRET\n",
		"global\n server-state-file SECRET\nlisten b\n load-server-state-from-file global\n server s 127.0.0.1:1\n",
		"global\n ssl-dh-param-file SECRET\n",
		"global\n user \"${HUNTER}\"\n",
		"global\n \"${HUNTER}\"\n",
		".notice \"${HUNTER}\"\n",
		".if defined(HUNTER)\n .alert defined-\"${HUNTER}\"\n.endif\n",
	}
	refusals := 0
	t.Setenv("HUNTER", "hunter2")
	all, tried := testkit.Soaking(), 0
	for i, s := range secrets {
		secret := write(t, dir, "secret", s)
		for j, l := range lines {
			if !all && (i+j)%3 != 0 {
				continue
			}
			tried++
			bad := write(t, dir, "bad.cfg", minimal+strings.ReplaceAll(l, "SECRET", secret))
			r, err := b.Check(t.Context(), CheckOptions{Files: []string{bad}})
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK {
				refusals++
			}
			for _, m := range append(r.Alerts, r.Warnings...) {
				if strings.Contains(m.File+m.Text, "hunter2") {
					t.Errorf("%q over %q says: %s", l, s, m)
				}
			}
		}
	}
	if refusals < tried/3 {
		t.Errorf("only %d of %d configurations were refused", refusals, tried)
	}
}

// A file of the same hand may be quoted.
func TestCheckQuotesKnownFile(t *testing.T) {
	b, dir := program(t), t.TempDir()
	addresses := write(t, dir, "addresses.txt", "10.0.0.0/99\n")
	bad := write(t, dir, "bad.cfg", minimal+"listen a\n acl x src -f "+addresses+"\n")
	r, err := b.Check(t.Context(), CheckOptions{Files: []string{bad}, Known: []string{addresses}})
	if err != nil || r.OK || !strings.Contains(r.Alerts[0].Text, "'10.0.0.0/99' is not a valid") {
		t.Errorf("known: %+v, %v", r, err)
	}
	r, err = b.Check(t.Context(), CheckOptions{Files: []string{bad}})
	if err != nil || r.OK || strings.Contains(r.Alerts[0].Text, "10.0.0.0/99") || !strings.Contains(r.Alerts[0].Text, "at line 1 of file '"+addresses+"'") {
		t.Errorf("unknown: %+v, %v", r, err)
	}
}

// TestMessagesQuoteNoSecret: of a line that is shown otherwise than it is, HAProxy's
// own words alone are repeated; secrets are left out of messages without a place, too.
func TestMessagesQuoteNoSecret(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "a.cfg", "listen shop\n  stats auth ann:hunter2!\n  server one 127.0.0.1:80\n")
	shown := func(string) (string, bool) { return "listen shop\n  stats auth ***\n  server one 127.0.0.1:80\n", true }
	for _, c := range []struct{ said, want string }{
		{"config : parsing [" + file + ":2] : 'stats' : unknown value 'ann:hunter2!' in 'stats auth'", ": … : unknown value … in …"},
		{"config : parsing [" + file + ":2] : unmatched quote at position 12 :\n  stats auth ann:hunt", ": unmatched quote at position … : …"},
		{"config : parsing [" + file + ":3] : 'server one' : unknown keyword 'weigt'", "'server one' : unknown keyword 'weigt'"},
		{"config : proxy shop uses hunter2 and 'hunt'", "proxy shop uses … and '…'"},
	} {
		r := Messages("[ALERT]    (9) : "+c.said+"\n", CheckOptions{Files: []string{file}, Shown: shown})
		if len(r.Alerts) != 1 || !strings.Contains(": "+r.Alerts[0].Text, c.want) || strings.Contains(r.Alerts[0].Text, "hunt") {
			t.Errorf("%q becomes %q", c.said, r.Alerts)
		}
	}
	moved := func(string) (string, bool) { return "one line", true }
	r := Messages("[ALERT]    (9) : config : parsing ["+file+":3] : unknown keyword 'weigt'\n", CheckOptions{Files: []string{file}, Shown: moved})
	if len(r.Alerts) != 1 || strings.Contains(r.Alerts[0].Text, "weigt") {
		t.Errorf("lines that cannot be matched are quoted: %q", r.Alerts)
	}
}
