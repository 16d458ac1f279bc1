package render

import (
	"strings"
	"testing"
)

// TestLogLines: a format has as many fields as readers count, and none when there
// is nowhere to write to.
func TestLogLines(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		var lines text
		(&renderer{o: &Options{LogSocket: "/run/log.sock"}}).writeLog(&lines, tcp)
		if n := strings.Count(lines.String(), `\t`) + 1; n != FieldCount {
			t.Errorf("tcp %v: %d fields, want %d", tcp, n, FieldCount)
		}
	}
	var nothing text
	r := &renderer{o: &Options{}}
	r.writeLog(&nothing, false)
	r.writeRing(&nothing)
	if nothing.Len() > 0 {
		t.Error("something is logged to nowhere")
	}
}

// TestClientOf: the address that the rules have found goes before that of the connection,
// which lines of workers with older rules do not have.
func TestClientOf(t *testing.T) {
	for field, want := range map[string]string{
		"-,192.0.2.1": "192.0.2.1", "2001:db8::1,192.0.2.1": "2001:db8::1", "192.0.2.7,-": "192.0.2.7", "192.0.2.7": "192.0.2.7", "-,-": "", "-": "", "": "",
	} {
		if got := ClientOf(field); got != want {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}

// TestUsualRequestsPassFewRules: what every request costs is the rules that it is put to
// before it is let through. One that is not for all requests stands behind.
func TestUsualRequestsPassFewRules(t *testing.T) {
	text := string(mustRender(t, services(t, 1, nil), nil, Options{}).Text)
	_, rules, _ := strings.Cut(text, "\ndefaults "+requestSection+" ")
	rules, _, found := strings.Cut(rules, "http-request allow")
	if n := strings.Count(rules, "http-request "); !found || n > 15 {
		t.Errorf("%d rules, want 15 at most:\n%s", n, rules)
	}
}
