package haproxy_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/engine/enginetest"
	"fairway/internal/engine/haproxy"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

var update = flag.Bool("update", false, "write the differences in docs/haproxy-engine.md anew")

// differences are the cases of the suite that this engine does not pass, with the
// reason: what HAProxy does instead, or why the compiler refuses the route.
var differences = map[string]string{
	"balance/when all fail all are used":                          "When all endpoints are ejected requests are answered with 503, until one can be connected to again, which is tried every two seconds.",
	"data/filter-compress-exact":                                  "With `compress` a `*` with a weight lets gzip through that has a weight of 0, a weight of `identity` counts for nothing, answers to HEAD have the header of the plain form, and compressed answers name `Accept-Encoding` in `Vary` once more.",
	"data/guard-target-other":                                     "A port 80 in an absolute target is left out, and so is a user name.",
	"guard/endpoint that breaks off between chunks, over HTTP/2":  "To a client of HTTP/2 an answer without `Content-Length` that breaks off looks whole. The access log has `aborted`; the client sees it where the endpoint gives a length, or over HTTP/1.1.",
	"guard/endpoint with an endless row of 1xx":                   "1xx answers are passed on without a limit.",
	"match/what is no name in letters of the world":               "A label that begins with xn-- is not decoded: one that stands for no letters is a name like any other, and taken by wildcards.",
	"retry/an endpoint that hangs up is told on kept connections": "On a connection that has had a request before HAProxy hangs up, too, instead of answering with 502, for clients repeat such a request by themselves.",
	"retry/hold goes to another service with the same host":       "A request that is held waits for the service it came for, also when that has been removed; another one with the same host gets what comes after.",
	"retry/one of many is alive":                                  "A request is tried on four endpoints at most.",
	"early/HTTP/1.1":                                              "After an answer that came before the body HAProxy closes the connection: a client that reads only when it has sent all gets a reset instead.",
	"early/HTTP/2, heedless":                                      "An endpoint that answers before it has read the body, and hangs up at once, may have its answer lost: the stream is reset.",
	"wire/103 for HTTP/1.0":                                       "1xx answers are passed on to clients of HTTP/1.0.",
	"wire/a client that closes its side":                          "A client that closes its side before it has the answer is answered with 400, or not at all.",
	"wire/early hints with fields of the connection":              "1xx answers are passed on with the fields of the endpoint's connection.",
	"stream/other protocols, asked for with a body":               "A request with a body is served without a switch of protocols, as `docker exec` asks for one; `docker attach` has none.",
	"stream/lines of JSON of other types through compress":        "Of a compressed answer the last byte of a piece waits for the next piece. `text/event-stream` and `application/x-ndjson` are not compressed; `application/jsonl` and `application/json-seq` are.",
	"stream/uploads that pause for too long":                      "Before 2.9 HAProxy has one `body-timeout` for all routes, that of `fairway.yml`; a route with the label is refused.",
	"data/wire-absolute-lenient":                                  "An absolute target with another scheme, or with a user, is served like any; one that has a query and no path is refused.",
	"data/wire-chunks-lenient":                                    "HAProxy takes blanks, many zeros, long extensions and bare line feeds in the lines of chunks; what it sends on has chunks of its own.",
	"data/wire-codings-lenient":                                   "Codings that end with `chunked` are answered with 422 for 501; a field that goes on in the next line, or ends without CR, counts as what it is meant to be.",
	"data/wire-expect-lenient":                                    "`100-continue` beside another expectation counts.",
	"data/wire-fields-lenient":                                    "A field that goes on in the next line is taken, joined with as many blanks as there were, and so are lines that end without CR.",
	"data/wire-hosts-lenient":                                     "Equal hosts count as one, and one that goes on in the next line is taken; what is sent on has one.",
	"data/wire-lengths-lenient":                                   "Equal lengths count as one; of a length beside chunks the chunks count, and the connection closes.",
	"data/wire-lines-lenient":                                     "HAProxy takes several blanks and tabs in a request line, an empty line in front of it, and lines that end without CR; what it sends on is right.",
	"data/wire-trailers-lenient":                                  "Trailers of requests are not looked at.",
	"data/wire-refusals":                                          "Of what both refuse, HAProxy answers some with another status (400, 417 or 422 for 501 and 431), and it closes the connection in other cases.",
	"data/wire-large":                                             "Request line and header must fit into 15 KiB together.",
	"data/wire-beyond-ascii":                                      "A target with bytes beyond ASCII is answered with 400; clients encode them.",
	"data/wire-old-version":                                       "A request of HTTP/1.0 is sent on as HTTP/1.0, without a host where it names none, and refused where it has a `Transfer-Encoding`. In its `Connection`, `close` goes before `keep-alive`.",
	"stream/trailers of requests":                                 "Trailers of requests are passed on, whatever their names; no endpoint should believe them. The embedded engine leaves them out, and ends the connection behind one that is about the length.",
}

// newer are cases that HAProxy 3.1 and newer do not pass either, with the reason.
var newer = map[string]string{
	"data/balance": "Idle endpoints of least-conn get requests in no fixed order.",
	"filter/basic-auth closes when its file goes":  "During a reload the old and the new worker take requests side by side, for a moment.",
	"filter/basic-auth rereads its file":           "During a reload the old and the new worker take requests side by side, for a moment.",
	"guard2/a star":                                "A GET of * over HTTP/2 is taken for one of /.",
	"retry/a body that was not sent is sent whole": "Of bodies beyond a buffer, one in some is answered with 502 instead of being tried elsewhere.",
	"tcp/a connection waits for an endpoint":       "From 3.4 on a connection that is held ends when the client has sent nothing yet.",
	"stream/trailers of answers":                   "Trailers of answers to HTTP/1 are left out.",
	"retry/hold ends when the client leaves":       "A request that is held goes on when its client leaves.",
}

// need skips the test without a haproxy that can be used, and returns its version.
func need(t testing.TB) binary.Version {
	t.Helper()
	program, err := binary.Find(context.Background(), os.Getenv("FAIRWAY_HAPROXY"))
	if errors.Is(err, binary.ErrNotFound) {
		t.Skip("no haproxy: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !program.Version.Supported() {
		t.Skip("this haproxy is too old: ", program.Version)
	}
	return program.Version
}

// candid refuses, as the compiler does, what the engine cannot serve as it is
// meant.
type candid struct{ *haproxy.Engine }

// Apply makes a table live.
func (e candid) Apply(ctx context.Context, t *route.Table) error {
	for _, r := range t.Routes {
		if r.Refused != "" {
			continue
		}
		if why := e.Unsupported(r, t.Backend(r.Backend)); why != "" {
			return fmt.Errorf("route %s: %w: %s", r.ID, enginetest.ErrUnsupported, why)
		}
	}
	return e.Engine.Apply(ctx, t)
}

// startEngine starts an engine that ends with the test. What it had to say is shown
// when the test has failed.
func startEngine(t *testing.T) enginetest.Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "fairway") // short: it holds sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var said bytes.Buffer
	e, err := haproxy.New(haproxy.Options{
		Dir: filepath.Join(dir, "haproxy"), Program: os.Getenv("FAIRWAY_HAPROXY"),
		Logger:         slog.New(slog.NewTextHandler(&said, nil)),
		ReloadInterval: time.Millisecond,
		UserDirs:       []string{os.TempDir()},
		Pages:          enginetest.Pages(),
		Render:         render.Options{Threads: 1, Spares: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// What a case left running is cut off: its client is gone.
		_ = e.Stop(ctx)
		if t.Failed() {
			t.Logf("the engine said:\n%s", &said)
			if os.Getenv("FAIRWAY_SHOW_CONFIG") != "" {
				t.Logf("the configuration:\n%s", e.ConfigText())
			}
		}
	})
	return candid{e}
}

// byChance are the differences that are ones only when an answer and a connection that
// closes cross: they may pass, and are listed all the same.
var byChance = map[string]bool{
	"early/HTTP/1.1": true, "early/HTTP/2, heedless": true, "wire/a client that closes its side": true,
}

// TestBehaviour puts the engine through the suite that says what a table means, and
// holds docs/haproxy-engine.md to what comes of it. At least 88 of 100 cases must be
// identical.
func TestBehaviour(t *testing.T) {
	version := need(t)
	known := map[string]bool{}
	for name := range differences {
		known[name] = true
	}
	for name := range newer {
		known[name] = known[name] || version.AtLeast(3, 1)
	}
	maps.DeleteFunc(known, func(_ string, is bool) bool { return !is })
	report := enginetest.RunKnown(t, startEngine, known)
	report.Gone = slices.DeleteFunc(report.Gone, func(name string) bool {
		if byChance[name] {
			report.Differing[name] = "this time it passed"
		}
		return byChance[name]
	})
	report.Identical += len(report.Gone)
	all := report.Identical + len(report.Refused) + len(report.Differing)
	t.Logf("HAProxy %s, %d cases: %d identical, %d differing, %d refused", version, all, report.Identical, len(report.Differing), len(report.Refused))
	if !report.Complete || t.Failed() {
		return
	}
	if report.Identical*100 < all*88 {
		t.Errorf("%d of %d cases are identical, less than 88 of 100", report.Identical, all)
	}
	if version.AtLeast(2, 7) {
		t.Logf("not so with this HAProxy: %q", report.Gone)
		return
	}
	if len(report.Gone) > 0 {
		t.Errorf("listed as differences, and passed: %q", report.Gone)
	}
	checkPage(t, page(report))
}

const (
	pageFile  = "../../../docs/haproxy-engine.md"
	pageBegin = "<!-- Made by internal/engine/haproxy/behaviour_test.go with -update. -->\n"
	pageEnd   = "<!-- End of what is made. -->\n"
)

// page is the part of docs/haproxy-engine.md that is made here.
func page(r enginetest.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nOf %d cases of the behaviour suite %d are identical to the embedded engine, %d differ, and %d are refused with a problem.\n",
		r.Identical+len(r.Differing)+len(r.Refused), r.Identical, len(r.Differing), len(r.Refused))
	b.WriteString("\n| case | | why |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(differences)) {
		what := "differs"
		if _, refused := r.Refused[name]; refused {
			what = "refused"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, what, differences[name])
	}
	return b.String() + "\n"
}

// checkPage compares the page, or writes it with -update.
func checkPage(t *testing.T, want string) {
	t.Helper()
	text, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), pageBegin)
	have, after, ended := strings.Cut(rest, pageEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the differences", pageFile)
	}
	if *update {
		if err := os.WriteFile(pageFile, []byte(before+pageBegin+want+pageEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s is not current (run with -update to write it):\n%s", pageFile, diff)
	}
}
