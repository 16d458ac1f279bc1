package enginetest

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/engine/enginetest/script"

	"pgregory.net/rapid"

	"fairway/internal/route"
	"fairway/internal/route/canonical"
	"fairway/internal/route/match"
)

// randomCases try what no other case does. A failure prints the smallest
// input that shows it.
func randomCases() []goCase {
	return []goCase{
		{"what was matched is what is sent", randomPaths},
		{"what was matched is what is sent, behind strip-prefix", randomStrippedPaths},
		{"what was matched is what is sent, beside guards", randomGuardedPaths},
		{"no spelling of a forwarded header gets through", randomForwarded},
		{"hosts in any spelling", randomHosts},
	}
}

// pathPieces are what random paths are made of: all that has ever been used to
// make two programs disagree on one.
func pathPieces() []string {
	return []string{
		"/", "/", "/", "//", ".", "..", "../", "/..", "/./", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", ";x=y", "..;", "%3b", "%23", "#", "?", "%3f",
		"%00", "%0a", "%", "%zz", "%25", "%252e", "%2F", "%252f", "%253b", "%255c", "%2561dmin", "/%2fadmin", "%c0%ae", "%ef%bc%8f", "é", " ", "+", "*", "a", "pub", "admin", "%61dmin", "Admin", "admin.", "~",
	}
}

// genTarget draws a path, or something near one. Blanks at its end are left out: a
// recipient may take them for more of the one that follows (RFC 9112, 3).
func genTarget(t *rapid.T) string {
	target := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pathPieces()), 0, 8).Draw(t, "target"), "")
	return "/" + strings.TrimRight(target, " ")
}

const randomTable = `
routes:
  - {id: admin, path: /admin, to: [admin]}
  - {id: pub, path: /pub, to: [pub]}
  - {id: pub-admin, path: /pub/admin, to: [pub-admin]}
  - {id: exact, path: =/a, to: [exact]}
  - {id: regexp, path: "~/admin[./a-z]*~", to: [regexp]}
  - {id: start, path: "^/~a", to: [start]}
  - {id: condition, path: /, when: [{kind: path-prefix, values: [/a/a, /a/pub]}], to: [condition]}
  - {id: rest, to: [rest]}
`

// The endpoint that is reached is the one that the path it gets belongs to, in every
// way in which applications are known to read one.
func randomPaths(w *world) {
	t := w.table(randomTable)
	w.applyTable(t)
	matcher, err := match.New(t.Routes)
	if err != nil {
		w.Fatal(err)
	}
	rapid.Check(w, func(rt *rapid.T) {
		target := genTarget(rt)
		sent, ok := w.pathOf(rt, target)
		if !ok {
			return
		}
		last := w.log.since(w.log.len() - 1)[0]
		for how, path := range readings(sent) {
			found := matcher.Find(&route.Request{Method: "GET", Host: "a.example", Path: path})
			if found == nil || found.ID != last.Endpoint {
				rt.Errorf("%q went to %s as %q; who reads it as %q (%s) would send it to %v", target, last.Endpoint, sent, path, how, found)
			}
		}
	})
}

// readings are the ways in which applications read a path: they decode it once or
// twice or not at all, take parameters away before or after that, or do not, resolve
// dots, and merge slashes or take what follows two of them for a host.
func readings(sent string) map[string]string {
	parameter := regexp.MustCompile(`;[^/]*`)
	all := map[string]string{}
	for _, host := range []string{"", "host "} {
		for _, first := range []string{"", "strip "} {
			for _, decode := range []string{"", "decode ", "decode decode ", "decode decode decode "} {
				for _, last := range []string{"", "strip "} {
					read := sent
					how := host + first + decode + last
					for step := range strings.FieldsSeq(how) {
						switch step {
						case "host":
							if strings.HasPrefix(read, "//") {
								_, read, _ = strings.Cut(strings.TrimLeft(read, "/"), "/")
								read = "/" + read
							}
						case "strip":
							read = parameter.ReplaceAllString(read, "")
						case "decode":
							if decoded, err := url.PathUnescape(read); err == nil {
								read = strings.ReplaceAll(decoded, `\`, "/")
							}
						}
					}
					clean := path.Clean(read)
					if strings.HasSuffix(read, "/") && clean != "/" {
						clean += "/"
					}
					all[how] = (&url.URL{Path: clean}).EscapedPath()
				}
			}
		}
	}
	return all
}

// Taking a prefix off must not make another path of the rest.
func randomStrippedPaths(w *world) {
	w.apply(`routes: [{id: any, path: /pub, filters: [{stripPrefix: {prefix: /pub}}], to: [e1]}]`)
	rapid.Check(w, func(rt *rapid.T) {
		target := "/pub" + genTarget(rt)
		sent, ok := w.pathOf(rt, target)
		if !ok {
			return
		}
		raw, _, _ := strings.Cut(target, "?")
		want, err := canonical.ReadPath(raw)
		got, _ := canonical.ReadPath(sent)
		if rest := strings.TrimPrefix(want.Canonical, "/pub"); err != nil || got.Canonical != rest && got.Canonical != "/"+rest || strings.HasPrefix(sent, "//") {
			rt.Errorf("%q went out as %q, want %q without its prefix (%v)", target, sent, want.Canonical, err)
		}
	})
}

// Filters that change the path change nothing about that: what the endpoint sees,
// however it reads it, is what its own route was asked for, and not what the guarded
// route beside it was.
func randomGuardedPaths(w *world) {
	t := w.table(`
routes:
  - {id: git, path: /a, filters: [{stripPrefix: {prefix: /a}}], to: [git]}
  - {id: git-admin, path: /a/admin, filters: [{ipAllow: {prefixes: [192.0.2.1/32]}}, {stripPrefix: {prefix: /a}}], to: [git-admin]}
  - {id: old, path: /pub, filters: [{rewritePath: {search: "^/pub/", replace: "/new/"}}], to: [old]}
  - {id: old-admin, path: /pub/admin, filters: [{methods: {allow: [POST]}}], to: [old-admin]}
  - {id: add, path: /~, filters: [{stripPrefix: {prefix: /~}}, {addPrefix: {prefix: /new}}], to: [add]}
  - {id: add-admin, path: /~/admin, filters: [{requireTLS: {}}], to: [add-admin]}
  - {id: rest, to: [rest]}
`)
	w.applyTable(t)
	matcher, err := match.New(t.Routes)
	if err != nil {
		w.Fatal(err)
	}
	asked := map[string][2]string{"git": {"", "/a"}, "old": {"/new/", "/pub/"}, "add": {"/new", "/~"}}
	rapid.Check(w, func(rt *rapid.T) {
		target := rapid.SampledFrom([]string{"/a", "/pub", "/~", ""}).Draw(rt, "front") + genTarget(rt)
		sent, ok := w.pathOf(rt, target)
		if !ok {
			return
		}
		last := w.log.since(w.log.len() - 1)[0]
		for how, path := range readings(sent) {
			if rest, ok := strings.CutPrefix(path, asked[last.Endpoint][0]); ok {
				path = asked[last.Endpoint][1] + rest
			}
			found := matcher.Find(&route.Request{Method: "GET", Host: "a.example", Path: path})
			if found == nil || found.ID != last.Endpoint {
				rt.Errorf("%q went to %s as %q; who reads it as %q (%s) was not asked for it: that is %v", target, last.Endpoint, sent, path, how, found)
			}
		}
	})
}

// pathOf sends a target and returns the path that an endpoint saw, in which nothing
// is left to resolve; false when none did, which has to be said with a 4xx.
func (w *world) pathOf(rt *rapid.T, target string) (sent string, ok bool) {
	before := w.log.len()
	a, err := w.send(script.Request{Method: "GET", Host: "a.example", Target: target, Listener: "http"})
	if err != nil {
		rt.Fatalf("%q: %v", target, err)
	}
	saw := w.log.since(before)
	if len(saw) == 0 {
		if a.StatusCode/100 != 4 {
			rt.Errorf("%q: no endpoint saw it, answered %d", target, a.StatusCode)
		}
		return "", false
	}
	if len(saw) > 1 || a.StatusCode != 200 {
		rt.Errorf("%q: seen %d times, answered %d", target, len(saw), a.StatusCode)
	}
	sent = strings.TrimPrefix(saw[0].Line, "GET ")
	sent, _, _ = strings.Cut(sent, "?")
	if again, err := canonical.ReadPath(sent); err != nil || again.Sent != sent {
		rt.Errorf("%q went out as %q, in which something is left to resolve (%q, %v)", target, sent, again.Sent, err)
	}
	return sent, true
}

// A backend may take a name with underscores, in any case, for the real one.
func randomForwarded(w *world) {
	w.apply(routeAny)
	names := []string{
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server",
		"X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Tls-Client-Cert", "X-Real-Ip", "Forwarded",
	}
	rapid.Check(w, func(rt *rapid.T) {
		var header, listed []string
		for range rapid.IntRange(1, 4).Draw(rt, "headers") {
			name := []byte(rapid.SampledFrom(names).Draw(rt, "name"))
			for i := range name {
				switch rapid.IntRange(0, 5).Draw(rt, "how") {
				case 0:
					name[i] ^= 0x20 & (name[i] & 0x40 >> 1) // the other case, of letters
				case 1:
					if name[i] == '-' {
						name[i] = '_'
					}
				}
			}
			header = append(header, string(name)+":"+rapid.SampledFrom([]string{"", " ", "\t"}).Draw(rt, "blank")+evil)
			if rapid.Bool().Draw(rt, "listed") {
				listed = append(listed, string(name))
			}
		}
		header = append(header, "Connection: "+strings.Join(append(listed, "close"), ", "))
		before := w.log.len()
		a, err := w.send(script.Request{Method: "GET", Host: "a.example", Target: "/", Listener: "http", Header: header})
		if err != nil || a.StatusCode != 200 && a.StatusCode != 400 {
			rt.Fatalf("%q: %v, %v", header, a.Response, err)
		}
		for _, s := range w.log.since(before) {
			for name, values := range s.Header {
				if strings.Contains(strings.Join(values, ","), evil) {
					rt.Errorf("%q came through as %s: %q", header, name, values)
				}
			}
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
				if len(s.Header[name]) != 1 {
					rt.Errorf("%q: the endpoint got %s %q", header, name, s.Header[name])
				}
			}
		}
	})
}

// A host belongs to the same route however it is written, and what is not a
// host belongs to none.
func randomHosts(w *world) {
	t := w.table(`
routes:
  - {id: a, host: a.example, to: [a]}
  - {id: wild, host: "*.a.example", to: [wild]}
  - {id: any, to: [any]}
`)
	w.applyTable(t)
	matcher, err := match.New(t.Routes)
	if err != nil {
		w.Fatal(err)
	}
	pieces := []string{"a", "A", "b", ".", ".", "example", "EXAMPLE", "a.example", "A.Example", ":80", ":", "-", "_", "xn--bcher-kva.", "[::1]", "%61", "@", "*", ",", "1"}
	rapid.Check(w, func(rt *rapid.T) {
		host := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 6).Draw(rt, "host"), "")
		before := w.log.len()
		a, err := w.send(script.Request{Method: "GET", Host: host, Target: "/", Listener: "http"})
		if err != nil {
			rt.Fatalf("%q: %v", host, err)
		}
		name, err := canonical.Host(host)
		if err != nil {
			if a.StatusCode != http.StatusBadRequest || w.log.len() != before {
				rt.Errorf("%q is no host (%v), answered %d", host, err, a.StatusCode)
			}
			return
		}
		want := matcher.Find(&route.Request{Method: "GET", Host: name, Path: "/"}).ID
		saw := w.log.since(before)
		if a.StatusCode != 200 || len(saw) != 1 || saw[0].Endpoint != want {
			rt.Fatalf("%q: answered %d, seen by %v, want %s", host, a.StatusCode, saw, want)
		}
		if got, err := canonical.Host(saw[0].Host); err != nil || got != name || !slices.Contains([]string{"a", "wild", "any"}, saw[0].Endpoint) {
			rt.Errorf("%q went out as %q", host, saw[0].Host)
		}
	})
}
