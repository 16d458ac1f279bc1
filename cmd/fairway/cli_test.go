package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"fairway/internal/api"
)

var update = flag.Bool("update", false, "write what comes out into testdata and docs")

// runAt runs the command line the way main does, without its process.
func runAt(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs, environ)
	return code, out.String(), errs.String()
}

// Each file in testdata is one use of the command line: the arguments, one a
// line; the environment; files of the working directory; what the admin API
// answers ("api 404 /v1/x"); and what comes out. $ADMIN stands for the URL of
// the admin API.
func TestCommands(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { commandCase(t, abs) })
	}
}

func commandCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	answers := &stub{answers: map[string]stubAnswer{}}
	server := httptest.NewServer(answers)
	defer server.Close()
	var args, environ []string
	t.Chdir(t.TempDir())
	for _, f := range archive.Files {
		text := strings.TrimSuffix(string(f.Data), "\n")
		switch fields := strings.Fields(f.Name); {
		case f.Name == "args":
			args = strings.Split(strings.ReplaceAll(text, "$ADMIN", server.URL), "\n")
		case f.Name == "env":
			environ = append(environ, strings.Split(strings.ReplaceAll(text, "$ADMIN", server.URL), "\n")...)
		case fields[0] == "api" && len(fields) == 3:
			status, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			answers.answers[fields[2]] = stubAnswer{status, text}
		case fields[0] == "file":
			if err := os.WriteFile(fields[1], f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(answers.answers) > 0 && environ == nil {
		environ = []string{"FAIRWAY_ADMIN=" + server.URL}
	}
	code, stdout, stderr := runAt(t, append(environ, "TZ=UTC"), args...)
	if len(answers.unknown) > 0 {
		t.Errorf("asked for %q", answers.unknown)
	}
	got := map[string]string{
		"code":   strconv.Itoa(code) + "\n",
		"stdout": strings.ReplaceAll(stdout, server.URL, "$ADMIN"),
		"stderr": strings.ReplaceAll(stderr, server.URL, "$ADMIN"),
	}
	compareArchive(t, path, archive, got)
}

// compareArchive compares what came out with the archive, or with -update
// writes it there.
func compareArchive(t *testing.T, path string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	var kept []txtar.File
	want := map[string]string{"code": "0\n"}
	for _, f := range archive.Files {
		if _, ours := got[f.Name]; ours {
			want[f.Name] = string(f.Data)
		} else {
			kept = append(kept, f)
		}
	}
	if !*update {
		for name := range got {
			if diff := cmp.Diff(want[name], got[name]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		return
	}
	for _, name := range []string{"code", "stdout", "stderr"} {
		if got[name] != "" {
			kept = append(kept, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	archive.Files = kept
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// stub answers like the admin API.
type stub struct {
	answers map[string]stubAnswer
	unknown []string
	tokens  []string
}

type stubAnswer struct {
	status int
	body   string
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	a, ok := s.answers[r.URL.RequestURI()]
	if !ok {
		s.unknown = append(s.unknown, r.URL.RequestURI())
		a = stubAnswer{http.StatusNotFound, `{"title":"Not Found"}`}
	}
	w.Header().Set("Content-Type", "application/json")
	if a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	if strings.HasPrefix(a.body, "event: ") {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	w.WriteHeader(a.status)
	fmt.Fprintln(w, a.body)
}

func TestNobodyAnswers(t *testing.T) {
	t.Chdir(t.TempDir())
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	environ := []string{"FAIRWAY_ADMIN=" + server.URL}
	for _, args := range [][]string{
		{"routes"},
		{"services"},
		{"services", "x"},
		{"nodes"},
		{"problems"},
		{"sources"},
		{"explain", "GET", "http://a.example/"},
		{"doctor", "x"},
	} {
		code, stdout, stderr := runAt(t, environ, args...)
		if code != exitAbsent || stdout != "" || !strings.HasPrefix(stderr, "fairway: no Fairway answers at "+server.URL) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	if code, _, stderr := runAt(t, environ, "healthcheck"); code != exitNo || !strings.HasPrefix(stderr, "fairway: not ready: no Fairway answers") {
		t.Errorf("healthcheck: code %d, stderr %q", code, stderr)
	}
}

// The token goes to the Fairway of this configuration, and to another one only
// when it is named for it.
func TestToken(t *testing.T) {
	api := &stub{answers: map[string]stubAnswer{"/ready": {200, `{"state":"synced"}`}}}
	server := httptest.NewServer(api)
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"ours": "one\n", "theirs": "two", "fairway.yml": "admin: {listen: \"" + address + "\", token-file: ours}"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		environ, args []string
		want          string
	}{
		{nil, nil, "Bearer one"},
		{nil, []string{"--admin", server.URL}, ""},
		{[]string{"FAIRWAY_ADMIN=" + server.URL}, nil, ""},
		{nil, []string{"--admin", server.URL, "--token-file", "theirs"}, "Bearer two"},
		{[]string{"FAIRWAY_ADMIN_TOKEN_FILE=theirs"}, []string{"--admin", server.URL}, "Bearer two"},
	} {
		api.tokens = nil
		code, _, stderr := runAt(t, tt.environ, append([]string{"healthcheck"}, tt.args...)...)
		if code != exitOK || !slices.Equal(api.tokens, []string{tt.want}) {
			t.Errorf("%q %q: code %d, token %q, want %q; %s", tt.environ, tt.args, code, api.tokens, tt.want, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Chdir(t.TempDir())
	_, bare, _ := runAt(t, nil)
	_, flagged, _ := runAt(t, nil, "--help")
	code, asked, stderr := runAt(t, nil, "help")
	if code != exitOK || stderr != "" || bare != flagged || bare != asked || !strings.Contains(bare, "Exit codes:") {
		t.Errorf("code %d, stderr %q, help\n%s", code, stderr, bare)
	}
	if strings.Contains(bare, "whoami") {
		t.Error("the hidden command is shown")
	}
	p, err := newParser(&grammar{}, newCLI(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range p.Model.Children {
		code, stdout, stderr := runAt(t, nil, n.Name, "--help")
		_, other, _ := runAt(t, nil, "help", n.Name)
		if code != exitOK || stderr != "" || stdout != other || !strings.HasPrefix(stdout, "Usage: fairway "+n.Name) {
			t.Errorf("%s: code %d, stderr %q, help\n%s", n.Name, code, stderr, stdout)
		}
		// Flags of every command are listed once, in the help of the program; a flag stands in
		// one line.
		if !strings.HasSuffix(stdout, "\nGlobal flags: --admin, --admin-ca, --token-file, -o, --utc, --no-color\n(see fairway --help)\n") || strings.Contains(stdout, "--token-file=") || strings.Contains(stdout, "\n...") {
			t.Errorf("%s: flags in the help\n%s", n.Name, stdout)
		}
	}
	_, stdout, _ := runAt(t, nil, "run", "--help")
	for _, group := range []string{"Requests:", "Sources and labels:", "Admin API and pages:", "State and logs:", "Engine:"} {
		if !strings.Contains(stdout, "\n"+group+"\n") {
			t.Errorf("run --help has no group %s", group)
		}
	}
	left := maps.Clone(details)
	for _, n := range p.Model.Leaves(false) {
		delete(left, strings.TrimPrefix(n.Path(), p.Model.Name+" "))
	}
	if len(left) > 0 {
		t.Errorf("help for commands that do not exist: %v", left)
	}
}

// A rollback shows what it changes and asks; without a yes nothing is changed.
func TestRollbackAsks(t *testing.T) {
	for answer, want := range map[string]struct {
		asked int
		err   error
	}{"y\n": {2, nil}, "n\n": {1, errNo}, "": {1, errNo}} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"summary":"Would change now: routes: 1 removed.","diff":{"same":true},"text":"rolled back to entry 12","command":{"undo":"fairway unpin"}}`)
		}))
		var out, errs bytes.Buffer
		c := newCLI(&out, &errs, []string{"FAIRWAY_ADMIN=" + server.URL})
		c.admin, c.In = server.URL, strings.NewReader(answer)
		client, err := c.client()
		if err != nil {
			t.Fatal(err)
		}
		err = (&rollbackCommand{Entry: 12}).Run(t.Context(), c, client)
		if !errors.Is(err, want.err) || asked != want.asked {
			t.Errorf("%q: %v after %d calls", answer, err, asked)
		}
		if !strings.Contains(out.String(), "routes: 1 removed") || !strings.Contains(errs.String(), "[y/N]") ||
			strings.Contains(out.String(), "undo: fairway unpin") != (want.err == nil) {
			t.Errorf("%q:\n%s%s", answer, out.String(), errs.String())
		}
		// With --yes there is no question.
		errs.Reset()
		if err := (&rollbackCommand{Entry: 12, holding: holding{Yes: true}}).Run(t.Context(), c, client); err != nil || errs.Len() != 0 {
			t.Errorf("with --yes: %v %s", err, errs.String())
		}
		// What is asked about is shown where the answer is JSON, too.
		errs.Reset()
		out.Reset()
		c.Format, c.In = "json", strings.NewReader(answer)
		if err := (&rollbackCommand{Entry: 12}).Run(t.Context(), c, client); !errors.Is(err, want.err) || !strings.Contains(errs.String(), "routes: 1 removed") || (err == nil) != json.Valid(out.Bytes()) {
			t.Errorf("%q as JSON: %v\n%s%s", answer, err, out.String(), errs.String())
		}
		server.Close()
	}
}

// stats --since finds the readings of a service by its name in a Compose file.
func TestStatsFindsServices(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/v1/series":
			fmt.Fprintf(w, `{"items":[{"name":"service","subjects":[{"name":"shop-web@docker","newest":%q},{"name":"db@docker","newest":%[1]q}]}]}`, time.Now().Format(time.RFC3339))
		case "/v1/services/web":
			fmt.Fprint(w, `{"items":[{"id":"shop-web@docker"}]}`)
		default:
			fmt.Fprintf(w, `{"group":"service","subject":%q,"points":[{}]}`, strings.TrimPrefix(r.URL.Path, "/v1/series/service/"))
		}
	}))
	defer server.Close()
	client, err := api.NewClient(api.ClientOptions{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]string{"web": "shop-web@docker", "db": "db@docker", "shop-web@docker": "shop-web@docker"} {
		s := &statsCommand{Service: service, Since: time.Hour, By: "service"}
		found, err := s.read(t.Context(), client, time.Now())
		if err != nil || len(found.Items) != 1 || found.Items[0].Subject != want {
			t.Errorf("%s: %+v, %v", service, found.Items, err)
		}
	}
}
