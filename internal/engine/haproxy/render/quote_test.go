package render

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/quote"
)

// nasty are values that have been used to break out of configurations.
func nasty() []string {
	return []string{
		"plain", "a b", "\t", " a ", "", "\n", "\n  http-request deny", "\r\nglobal", "\r", "a#b", "# comment", `"`, `a"b`, `'`, `''`, `a\`, `\\`, `a\ b`,
		`\n`, `\x41`, `a\"b`, "${HOME}", "$HOME", `"${HOME}"`, "${PATH[*]}", "${NOPE-def}", "$$", "%[path]", "%[env(HOME)]", "%[", "%]", "%%", "100%",
		"%{+Q}o", "%ci", "%[var(txn.x),lower]", "{ path / }", "{", "}", "a if { always_true }", "if", "unless", "|| or !", "-f /etc/passwd", "-m reg .*",
		"--", "-i", "-M -f /etc/shadow", ".*", "^(a+)+$", "a,b", "a;b", "a(b)c", ")", "/demo/../etc", "*.example.com", "é", "日本", "\u202e", "\x00",
		"a\x00b", "\x7f", "\x1b[31m", strings.Repeat("a", 3000), strings.Repeat("word ", 100), ".if 1", ".notice pwn", "|cat", "`id`", "$(id)", "<<", "@1",
		"\u00a0", "\ufeff", "/var/run/docker.sock", "unix@x", "127.0.0.1:80 ssl verify none", "0.0.0.0", "127.1:80", "0x7f000001", ":80", "99999", "-1", "+8",
		"80-90", "10.0.0.1;show version", "a|b", "~", "a|~|b", ">", "host/path>",
	}
}

// unquote reads a word as HAProxy's lexer does, and fails when it is not one word.
func unquote(word string) (string, error) {
	var out []byte
	inside := false
	for i := 0; i < len(word); i++ {
		c := word[i]
		switch {
		case c == '\n' || c == '\r' || c == 0:
			return "", fmt.Errorf("a line ends at %d", i)
		case c == '"':
			inside = !inside
		case c == '\\':
			if i++; i == len(word) {
				return "", fmt.Errorf("a backslash ends the line")
			}
			switch word[i] {
			case 'x':
				var b byte
				if _, err := fmt.Sscanf(word[i+1:i+3], "%02x", &b); err != nil {
					return "", err
				}
				out = append(out, b)
				i += 2
			case '\\', '"', '$':
				out = append(out, word[i])
			default:
				return "", fmt.Errorf("escape %q", word[i])
			}
		case !inside:
			return "", fmt.Errorf("%q is outside of the quotes", c)
		case c == '$':
			return "", fmt.Errorf("a variable of the environment at %d", i)
		default:
			out = append(out, c)
		}
	}
	if inside {
		return "", fmt.Errorf("the quotes stay open")
	}
	return string(out), nil
}

func FuzzQuoted(f *testing.F) {
	for _, v := range nasty() {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		got, err := unquote(quote.Word(v))
		if err != nil || got != v {
			t.Fatalf("%q became %s, which is read as %q (%v)", v, quote.Word(v), got, err)
		}
		if w := quote.MapWord(v); strings.ContainsAny(w, " \t\r\n\x00#|") {
			t.Fatalf("%q became %q in a map", v, w)
		}
		if strings.ContainsAny(quote.Comment(v), "\r\n\x00") {
			t.Fatalf("%q ends a comment", v)
		}
	})
}

// TestQuotedForHAProxy has HAProxy say every value back, out of a pattern and out of
// a log format.
func TestQuotedForHAProxy(t *testing.T) {
	dir, err := os.MkdirTemp("", "quote")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := freePort(t)
	var b strings.Builder
	b.WriteString("global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\nfrontend f\n  bind " + address.String() + "\n")
	values := map[string]string{}
	for i, v := range nasty() {
		if !quote.IsText(v) {
			continue
		}
		path := fmt.Sprint("/", i)
		values[path] = v
		fmt.Fprintf(&b, "  http-request return status 200 hdr X-Value %s if { path -m str -- %s } { req.fhdr(x-want) -m str -- %s }\n",
			quote.Word(quote.Literal("<"+v+">")), quote.Word(path), quote.Word("<"+v+">"))
	}
	b.WriteString("  http-request return status 404\n")
	file := filepath.Join(dir, FileConfig)
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, dir)
	cmd := exec.Command(haproxy(t), "-db", "-f", file)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	client := &http.Client{Timeout: 5 * time.Second}
	for path, v := range values {
		req, err := http.NewRequest(http.MethodGet, "http://"+address.String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-Want"] = []string{"<" + v + ">"}
		resp, err := client.Do(req)
		for tries := 0; err != nil && tries < 100; tries++ { // it may be starting
			time.Sleep(10 * time.Millisecond)
			resp, err = client.Do(req)
		}
		if err != nil {
			t.Fatalf("%q: %v\n%s", v, err, &said)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("X-Value"); resp.StatusCode != http.StatusOK || got != "<"+v+">" {
			t.Errorf("%q: answered %d with %q", v, resp.StatusCode, got)
		}
	}
}
