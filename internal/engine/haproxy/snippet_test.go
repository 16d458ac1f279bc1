package haproxy

import (
	"errors"
	"strings"
	"testing"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/route"
)

// Case 52: a snippet is checked alone, by HAProxy, and one that would reach beyond
// its section never comes to that.
func TestSnippets(t *testing.T) {
	program, err := binary.Find(t.Context(), "")
	if errors.Is(err, binary.ErrNotFound) {
		t.Skip("no haproxy: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(program, func() {})
	for line, want := range map[string]string{
		"http-request deny unless { src 10.0.0.0/8 }":  "",
		`http-response set-header X-A "a 'b' + & <c>"`: "",
		"# nothing":                             "",
		"nonsense":                              "HAProxy refuses it: ",
		"http-request deny if nobody":           "HAProxy refuses it: ",
		`http-request set-header X "a`:          "cannot be read",
		"backend evil":                          "not the route's",
		`"global"`:                              "not the route's",
		"\tfrontend evil":                       "not the route's",
		".if 1":                                 "not the route's",
		"use-server nobody if TRUE":             "HAProxy refuses it: ",
		"acl a src -f /etc/shadow":              "HAProxy refuses it: ",
		`http-response set-header X "${HOME}x"`: "",
	} {
		r := &route.Route{ID: "shop", Filters: []route.Filter{{Snippet: &route.Snippet{Lines: []string{line}}}}}
		for range 2 { // the second answer is remembered
			got := j.unsupported(r, nil)
			if (got == "") != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "root:") {
				t.Errorf("%s: %q, want %q", line, got, want)
			}
		}
	}
	for _, line := range []string{
		"http-request set-header X-Key hunter2 nonsense", "http-request set-header X-Key %[hunter2]", "acl a src -f /hunter2", "http-request deny if hunter2",
	} {
		if why := j.snippet([]string{line}); why == "" || strings.Contains(why, "hunter2") {
			t.Errorf("%s is refused for %q", line, why)
		}
	}
	// Without a program only what is plainly wrong is found.
	blind := newJudge(nil, func() {})
	if blind.snippet([]string{"nonsense"}) != "" || blind.snippet([]string{"listen x"}) == "" {
		t.Error("without HAProxy another answer is given")
	}
}

func TestCheckLines(t *testing.T) {
	program, err := binary.Find(t.Context(), "")
	if err != nil {
		t.Skip("no haproxy: ", err)
	}
	for _, l := range []Lines{
		{Global: []string{"tune.bufsize 32768", "ssl-default-bind-ciphers HIGH"}},
		{Frontend: []string{"capture request header User-Agent len 20", "http-request deny if { path /x }"}},
	} {
		if err := CheckLines(t.Context(), program, l); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for _, l := range []Lines{{Global: []string{"bind :80"}}, {Frontend: []string{"server a 127.0.0.1:1"}}, {Global: []string{"frontend x"}}} {
		if err := CheckLines(t.Context(), program, l); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
}
