//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"fairway/internal/api"
	"fairway/internal/testkit"
	"fairway/test/smtpsink"
)

// uiFiles is where the pages are in the repository.
const uiFiles = "../../internal/admin/ui"

// evil is what somebody may call things to do harm.
var evil = map[string]string{
	"html":    `"><img src=x onerror=alert(1)></textarea></title></script><script>alert(2)</script><svg onload=alert(3)>'`,
	"link":    `javascript:alert(4)`,
	"control": "a\x1b[31mred\tc\x7f\u0085d\u2028e\ufeff",
	"bidi":    "user\u202Egpj.exe\u2066\u200F",
}

// policyOf is the content security policy that pages are really sent with.
func policyOf(t *testing.T, p *proxy) string {
	t.Helper()
	res, err := http.Get("http://" + p.admin + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") {
		t.Fatalf("the policy is %q", policy)
	}
	return policy
}

// The pages that the tests of package ui have made of hostile names in every field,
// in a browser, with their scripts and a hostile stream: nothing runs, and the policy
// has nothing to report.
func TestUIHostilePages(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	policy := policyOf(t, startProxy(t, proxyOptions{}).synced())
	pages, err := filepath.Glob(uiFiles + "/testdata/hostile/*.html")
	if err != nil || len(pages) < 15 {
		t.Fatal("pages are missing: ", pages, err)
	}
	var served atomic.Int32 // how often a page was asked for
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		name, isAsset := strings.CutPrefix(r.URL.Path, "/assets/DIGEST/")
		switch {
		case isAsset:
			http.ServeFile(w, r, filepath.Join(uiFiles, "assets", filepath.Base(name)))
		case r.URL.Path == "/v1/watch":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "event: change\ndata: {\"revision\":%d,\"hash\":%s,\"stale\":[%s]}\n\n", i, strconv.Quote("x"), quoted(evil["html"]))
				fmt.Fprintf(w, "event: traffic\ndata: {\"total\":{\"rate\":5},\"routes\":[{\"route\":%[1]s,\"rate\":5,\"errors\":2,\"p95\":3}],\"endpoints\":[{\"backend\":%[1]s,\"endpoint\":%[1]s,\"rate\":2,\"inFlight\":1}]}\n\n", quoted(evil["html"]))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
			<-r.Context().Done()
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			w.Header().Set("Content-Type", api.ProblemContentType)
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"title":%[1]s,"detail":%[1]s,"status":400}`, quoted(evil["html"]))
		default:
			file := filepath.Join(uiFiles, "testdata", "hostile", filepath.Base(r.URL.Path)+".html")
			if _, err := os.Stat(file); err != nil {
				file = filepath.Join(uiFiles, "testdata", "hostile", "overview.html")
			}
			served.Add(1)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(data)
		}
	}))
	defer s.CloseClientConnections()
	for i, screen := range []screen{desktop, {"phone-light", 390, 844, false, true}, {"tablet-light", 768, 1024, false, false}} {
		tb := b.open(s.URL, screen)
		for _, path := range pages {
			name := strings.TrimSuffix(filepath.Base(path), ".html")
			served.Store(0)
			tb.visit("/" + name)
			if i > 0 {
				// That it fits; what runs was looked at on the first screen.
			} else if name != "sign-in" && name != "nothing" {
				tb.until(live)
				again := eval[bool](tb, "!document.querySelector('[data-post]')") // an answer to a form is not asked for again
				testkit.Eventually(t, name+" is asked for again", func() string {
					if again && served.Load() < 2 {
						return "not yet"
					}
					return ""
				})
				time.Sleep(50 * time.Millisecond) // until it is shown
			}
			if n := eval[int](tb, "document.images.length + document.querySelectorAll('main script, main iframe, main object, main [onerror], main [onload]').length"); n != 0 {
				t.Errorf("%s has %d elements that it should not have", name, n)
			}
			if wide := eval[int](tb, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
				t.Errorf("%s is %d pixels wider than the %s", name, wide, screen.name)
				t.Log(eval[[]string](tb, `[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).slice(0, 12).map((e) => e.tagName + '.' + e.className + ' ' + Math.round(e.getBoundingClientRect().left) + '-' + Math.round(e.getBoundingClientRect().right) + ' ' + e.textContent.slice(0, 40))`))
			}
			if i > 0 {
				tb.clean("400 (Bad Request)") // what the editor asked
				tb.shot("hostile-" + name + "-" + screen.name)
				continue
			}
			// Every form is sent: what is answered is hostile, too.
			eval[int](tb, `(() => { const all = [...document.querySelectorAll('form[data-call]:not([data-sure])')]; all.forEach((f) => { f.noValidate = true; f.requestSubmit(); }); return all.length; })()`)
			time.Sleep(150 * time.Millisecond)
			tb.clean("400 (Bad Request)")
			tb.shot("hostile-" + name + "-" + screen.name)
		}
	}
}

// The same with a real Fairway, and hostile names in every place that somebody can
// write to: labels, names of services and instances, messages of operators, requests
// to be explained, files to be planned, searches.
func TestUIHostileNames(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	dir := t.TempDir()
	file, wrong := filepath.Join(dir, "services.yml"), filepath.Join(dir, "wrong.yml")
	var text strings.Builder
	text.WriteString("services:\n")
	long := strings.Repeat("long-", 64<<10/5)
	for kind, name := range evil {
		fmt.Fprintf(&text, "  - name: %s\n    labels: {fairway.host: \"%[1]s.example.com\", fairway.hots: %[2]s, %[3]s: x, fairway.basic-auth: %[2]s}\n    instances: [{address: \"127.0.0.1:1\"}]\n",
			kind, quoted(name), quoted("fairway."+name))
	}
	fmt.Fprintf(&text, "  - name: long\n    labels: {fairway.host: long.example.com, fairway.hots: %s}\n    instances: [{address: \"127.0.0.1:1\"}]\n", quoted(long))
	// A source that fails tells what is wrong with it, in the words of who wrote it.
	for name, content := range map[string]string{file: text.String(), wrong: "services:\n  - name: " + quoted(evil["html"]+evil["bidi"]+long) + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, boxOptions{name: "labels", labels: map[string]string{
		"fairway.host": ownHost("hostile"), "fairway.hold": evil["html"], "fairway.rule": evil["control"], "fairway." + evil["bidi"]: "x",
		"fairway.a.host": "a.example.com", "fairway.a.headers.response.set.X-Evil": evil["html"], "fairway.a.path": "/" + long[:200],
	}})
	sink, err := smtpsink.Listen("", smtpsink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	p := startProxy(t, proxyOptions{args: []string{
		"--file", file, "--file", wrong, "--admin.anonymous", "admin", "--notify.name", "lab",
		"--notify.channels", `{name: mail, kind: mail, server: "` + sink.Addr() + `", tls: none, from: fairway@example.com, to: [ops@example.com]}`,
	}})
	var services api.List[api.Service]
	testkit.Eventually(t, "the services are known", func() string {
		var err error
		if services, err = p.client().Services(t.Context(), api.Query{}); err != nil || len(services.Items) < len(evil)+2 {
			return fmt.Sprint(len(services.Items), err)
		}
		return ""
	})
	testkit.Eventually(t, "there is a table", func() bool {
		ready, err := p.client().Ready(t.Context())
		return err == nil && ready.State == api.StatePartial // one source fails
	})
	paths := []string{"/", "/services", "/routes", "/problems", "/nodes", "/events", "/history", "/history/1", "/plan", "/fleet", "/access"}
	for _, name := range evil {
		q := url.QueryEscape(name)
		paths = append(paths, "/services?q="+q, "/services?only="+q, "/problems?only="+q, "/routes?url="+q+"&headers="+q+"&method="+q+"&client="+q,
			"/routes?url=http://x/"+q, "/history?service="+q, "/sign-in?to="+q, "/services/"+url.PathEscape(name), "/nodes?q="+q)
		if _, err := p.client().Give(t.Context(), api.NewCommand{Kind: api.CommandDrain, Subject: "instance:" + boxName(t, "labels"), Message: name}); err != nil {
			t.Errorf("drain with the message %q: %v", name, err)
		}
	}
	for _, s := range services.Items {
		if len(s.ID) < 1000 {
			paths = append(paths, "/services/"+url.PathEscape(s.ID))
		}
	}
	p.printsPlainly(file)
	testkit.Eventually(t, "everything is told by mail", func() string {
		if len(sink.Mails()) == 0 {
			return "nothing"
		}
		return p.delivered()
	})
	for _, m := range sink.Mails() {
		plainMail(t, m)
	}
	t.Logf("%d mails", len(sink.Mails()))
	for _, screen := range []screen{{"desktop-dark", 1440, 900, true, false}, {"phone-light", 390, 844, false, true}} {
		tb := b.open("http://"+p.admin, screen)
		for _, path := range paths {
			tb.visit(path)
			if !strings.HasPrefix(path, "/sign-in") {
				tb.until(live)
			}
			if wide := eval[int](tb, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
				t.Errorf("%s is %d pixels wider than the %s", path, wide, screen.name)
			}
			if seen := eval[string](tb, `document.body.innerText.match(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/)?.[0] || ''`); seen != "" {
				t.Errorf("%s shows %q", path, seen)
			}
			tb.clean("404 (Not Found)", "400 (Bad Request)")
		}
		for kind, name := range evil {
			tb.visit("/plan")
			tb.fill("textarea[name=text]", "services:\n  "+quoted(name)+":\n    image: "+quoted(name)+"\n    labels: {fairway.host: plan.example.com, fairway.hots: "+quoted(name)+"}\n")
			tb.fill("input[name=project]", "x")
			tb.press("form[data-post] button.main", "")
			tb.until("document.querySelector('#answer').innerText.trim() !== ''")
			tb.shot("hostile-plan-" + kind + "-" + screen.name)
			tb.clean()
		}
	}
}

// unseen finds what a terminal would obey or not show: control characters, and those
// that turn the direction of what follows.
func unseen(text string) string {
	for i, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			return fmt.Sprintf("%q in %.200q", r, text[max(0, i-60):])
		}
	}
	return ""
}

// printsPlainly runs the commands that show names, and checks what they print for
// people and that what they print for programs is JSON.
func (p *proxy) printsPlainly(file string) {
	p.t.Helper()
	commands := [][]string{
		{"services"},
		{"routes"},
		{"problems"},
		{"sources"},
		{"nodes"},
		{"events"},
		{"history"},
		{"history", "1"},
		{"diff", "1", "live"},
		{"commands"},
		{"doctor", boxName(p.t, "labels")},
		{"services", "long"},
		{"notify", "channels"},
		{"rules"},
		{"audit"},
		{"plan", "-f", file},
	}
	known := len(commands)
	for _, name := range evil {
		commands = append(commands, []string{"services", name}, []string{"doctor", name}, []string{"explain", name}, []string{"routes", "--host", name})
	}
	for i, args := range commands {
		most := 1
		if i >= known {
			most = 2 // no host, no URL
		}
		for _, more := range [][]string{nil, {"-o", "json"}} {
			cmd := exec.CommandContext(p.t.Context(), lab.binary, append(slices.Concat(args, more), "--admin", "http://"+p.admin)...)
			var out, wrong bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &wrong
			err := cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code < 0 || code > most || strings.Contains(wrong.String(), "panic") {
				p.t.Errorf("fairway %q: %v\n%s", args, err, &wrong)
			}
			seen := unseen(wrong.String())
			if more == nil {
				seen += unseen(out.String())
			} else if code := cmd.ProcessState.ExitCode(); code < 2 && !json.Valid(out.Bytes()) && out.Len() > 0 {
				p.t.Errorf("fairway %q prints no JSON: %.200q", args, out.String())
			}
			if seen != "" {
				p.t.Errorf("fairway %q prints %s", args, seen)
			}
		}
	}
}

// plainMail checks that a mail is one mail of plain text, to whom it should go, in
// which nothing is hidden.
func plainMail(t *testing.T, m smtpsink.Mail) {
	t.Helper()
	read, err := mail.ReadMessage(strings.NewReader(m.Data))
	if err != nil || !slices.Equal(m.To, []string{"ops@example.com"}) {
		t.Errorf("a mail to %q: %v", m.To, err)
		return
	}
	for name, values := range read.Header {
		if len(values) != 1 || !slices.Contains([]string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding"}, name) {
			t.Errorf("a mail has the header %s: %q", name, values)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if err != nil || len(subject) > 1000 {
		t.Errorf("the subject is %.100q, %v", subject, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(read.Body))
	if err != nil || !strings.HasPrefix(read.Header.Get("Content-Type"), "text/plain") || len(body) > 64<<10 {
		t.Errorf("a mail of %d bytes, %s: %v", len(body), read.Header.Get("Content-Type"), err)
	}
	if seen := unseen(subject) + unseen(strings.ReplaceAll(string(body), "\r\n", "\n")); seen != "" {
		t.Errorf("a mail has %s", seen)
	}
}
