package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What pages ask operations to do, and the commands that ask for the same.
func pageCalls() map[string][]string {
	return map[string][]string{
		"POST /v1/commands":                                          {"drain", "pause", "maintenance", "weight", "pin", "rollback"},
		"DELETE /v1/commands/*":                                      {"undrain", "resume", "unpin", "weight"},
		"POST /v1/certificates/*/renew":                              {"certs renew"},
		"POST /v1/certificates/*/revoke":                             {"certs revoke"},
		"GET by the client: Certificates (a page waits for nothing)": {"certs list"},
		"POST /v1/tokens":                                            {"token create"},
		"DELETE /v1/tokens/*":                                        {"token revoke"},
		"POST /v1/notify/channels/*/test":                            {"notify test"},
		"POST /v1/fleet/documents/*/drift":                           {"fleet drift"},
		"DELETE /v1/fleet/documents/*/rollout":                       {"fleet stop"},
		"POST /v1/fleet/documents/*/rollout":                         {"fleet rollout", "fleet rollback"},
		"POST /v1/fleet/documents/*/check":                           {"fleet check"},
		"POST /v1/fleet/documents/*/revisions":                       {"fleet put"},
		"POST /v1/session":                                           nil, // a browser's own; commands show a token
		"DELETE /v1/session":                                         nil,
		"GET by the client: Recent (a page waits for nothing)":       {"routes"},
		"GET by the client: Info (a page waits for nothing)":         {"status"}, // which says of the table what matters
	}
}

// Everything a page asks of the operations, a command can ask for, too.
func TestPagesDoWhatCommandsDo(t *testing.T) {
	read := func(pattern string) string {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, files, err)
		}
		var all strings.Builder
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(data)
		}
		return all.String()
	}
	found := map[string]bool{}
	note := func(method, path string) {
		path = regexp.MustCompile(`\{\{.*?\}\}|\$\{[^}]*\}`).ReplaceAllString(strings.Trim(path, "'`"), "*")
		path = strings.Replace(path, "path + '", "/v1/fleet/documents/*", 1)
		found[method+" "+path] = true
	}
	for _, m := range regexp.MustCompile(`data-call="(\w+) ([^"]+)"`).FindAllStringSubmatch(read("../../internal/admin/ui/templates/*.html"), -1) {
		note(m[1], m[2])
	}
	for _, m := range regexp.MustCompile(`\bask\('(\w+)', (\x60[^\x60]+\x60|'[^']+'|path \+ '[^']+')`).FindAllStringSubmatch(read("../../internal/admin/ui/assets/*.js"), -1) {
		note(m[1], m[2])
	}
	commands := read("*.go")
	for _, m := range regexp.MustCompile(`\bask\.([A-Z]\w+)\(`).FindAllStringSubmatch(read("../../internal/admin/ui/*.go"), -1) {
		if !regexp.MustCompile(`\.` + m[1] + `\b`).MatchString(commands) {
			found["GET by the client: "+m[1]+" (a page waits for nothing)"] = true
		}
	}
	p, err := newParser(&grammar{}, newCLI(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, leaf := range p.Model.Leaves(true) {
		known[strings.TrimPrefix(leaf.FullPath(), p.Model.Name+" ")] = true
	}
	calls := pageCalls()
	for call := range found {
		all, ok := calls[call]
		if !ok {
			t.Errorf("a page asks %s; which command does?", call)
		}
		for _, name := range all {
			if !known[name] {
				t.Errorf("%s: there is no command %q", call, name)
			}
		}
	}
	for call := range calls {
		if !found[call] {
			t.Errorf("no page asks %s", call)
		}
	}
}
