package enginetest

import (
	"net/http"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"fairway/internal/route"
)

// randomCases try what nobody has thought of. A failure prints the smallest
// input that shows it.
func randomCases() []goCase {
	return []goCase{
		{"what was matched is what is sent", randomPaths},
		{"what was matched is what is sent, behind strip-prefix", randomStrippedPaths},
		{"no spelling of a forwarded header gets through", randomForwarded},
		{"hosts in any spelling", randomHosts},
	}
}

// pathPieces are what random paths are made of: all that has ever been used to
// make two programs disagree on one.
func pathPieces() []string {
	return []string{
		"/", "/", "/", "//", ".", "..", "../", "/..", "/./", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", ";x=y", "..;", "%3b", "%23", "#", "?", "%3f",
		"%00", "%0a", "%", "%zz", "%25", "%252e", "%c0%ae", "%ef%bc%8f", "é", " ", "+", "*", "a", "pub", "admin", "%61dmin", "Admin", "admin.", "~",
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
  - {id: rest, to: [rest]}
`

// The endpoint that is reached is the one that the path it gets belongs to,
// and that path is canonical: nobody reads it differently later.
func randomPaths(w *world) {
	t := w.table(randomTable)
	w.applyTable(t)
	matcher, err := route.NewMatcher(t.Routes)
	if err != nil {
		w.Fatal(err)
	}
	rapid.Check(w, func(rt *rapid.T) {
		target := genTarget(rt)
		path, ok := w.pathOf(rt, target)
		if !ok {
			return
		}
		found := matcher.Find(&route.Request{Method: "GET", Host: "a.example", Path: path})
		if last := w.log.since(w.log.len() - 1)[0]; found == nil || found.ID != last.Endpoint {
			rt.Errorf("%q went to %s as %q, which belongs to %v", target, last.Endpoint, path, found)
		}
	})
}

// Taking a prefix off must not make another path of the rest.
func randomStrippedPaths(w *world) {
	w.apply(`routes: [{id: any, path: /pub, filters: [{stripPrefix: {prefix: /pub}}], to: [e1]}]`)
	rapid.Check(w, func(rt *rapid.T) {
		target := "/pub" + genTarget(rt)
		path, ok := w.pathOf(rt, target)
		if !ok {
			return
		}
		raw, _, _ := strings.Cut(target, "?")
		want, err := route.CanonicalPath(raw)
		if rest := strings.TrimPrefix(want, "/pub"); err != nil || path != rest && path != "/"+rest {
			rt.Errorf("%q went out as %q, want %q without its prefix (%v)", target, path, want, err)
		}
	})
}

// pathOf sends a target and returns the path that an endpoint saw, which has to
// be canonical; false when none did, which has to be said with a 4xx.
func (w *world) pathOf(rt *rapid.T, target string) (path string, ok bool) {
	before := w.log.len()
	a, err := w.send(request{method: "GET", host: "a.example", target: target, listener: "http"})
	if err != nil {
		rt.Fatalf("%q: %v", target, err)
	}
	saw := w.log.since(before)
	if len(saw) == 0 {
		if a.StatusCode/100 != 4 {
			rt.Errorf("%q: nobody saw it, answered %d", target, a.StatusCode)
		}
		return "", false
	}
	if len(saw) > 1 || a.StatusCode != 200 {
		rt.Errorf("%q: seen %d times, answered %d", target, len(saw), a.StatusCode)
	}
	path = strings.TrimPrefix(saw[0].Line, "GET ")
	path, _, _ = strings.Cut(path, "?")
	if again, err := route.CanonicalPath(path); err != nil || again != path {
		rt.Errorf("%q went out as %q, which is not canonical (%q, %v)", target, path, again, err)
	}
	return path, true
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
		a, err := w.send(request{method: "GET", host: "a.example", target: "/", listener: "http", header: header})
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
					rt.Errorf("%q: the endpoint was told %s %q", header, name, s.Header[name])
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
	matcher, err := route.NewMatcher(t.Routes)
	if err != nil {
		w.Fatal(err)
	}
	pieces := []string{"a", "A", "b", ".", ".", "example", "EXAMPLE", "a.example", "A.Example", ":80", ":", "-", "_", "xn--bcher-kva.", "[::1]", "%61", "@", "*", ",", "1"}
	rapid.Check(w, func(rt *rapid.T) {
		host := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 6).Draw(rt, "host"), "")
		before := w.log.len()
		a, err := w.send(request{method: "GET", host: host, target: "/", listener: "http"})
		if err != nil {
			rt.Fatalf("%q: %v", host, err)
		}
		canonical, err := route.CanonicalHost(host)
		if err != nil {
			if a.StatusCode != http.StatusBadRequest || w.log.len() != before {
				rt.Errorf("%q is no host (%v), answered %d", host, err, a.StatusCode)
			}
			return
		}
		want := matcher.Find(&route.Request{Method: "GET", Host: canonical, Path: "/"}).ID
		saw := w.log.since(before)
		if a.StatusCode != 200 || len(saw) != 1 || saw[0].Endpoint != want {
			rt.Fatalf("%q: answered %d, seen by %v, want %s", host, a.StatusCode, saw, want)
		}
		if got, err := route.CanonicalHost(saw[0].Host); err != nil || got != canonical || !slices.Contains([]string{"a", "wild", "any"}, saw[0].Endpoint) {
			rt.Errorf("%q went out as %q", host, saw[0].Host)
		}
	})
}
