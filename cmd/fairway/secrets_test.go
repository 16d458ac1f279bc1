package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/app"
	"fairway/internal/testkit"
)

// secretHouse is a Fairway that was given secrets, and everything it has said.
type secretHouse struct {
	t                                *testing.T
	dir, admin, web, proxy, listener string
	environ                          []string // of the command line
	log, access                      syncBuffer
	hooks                            syncBuffer // what the webhook was called with
	told                             syncBuffer // what the receiver of Docker Flow was called with
	said                             map[string]string
	keys                             []string // lines of private keys
}

// TestNothingSaysASecret puts a secret into every place for one, and then reads
// everything that Fairway says: every operation, page and command, log, metrics,
// events and their receivers, record and plan, faces and checks. What the receivers
// of Docker Flow get is the exception: they act on it.
func TestNothingSaysASecret(t *testing.T) {
	for _, engine := range []string{app.EngineEmbedded, app.EngineHAProxy} {
		t.Run(engine, func(t *testing.T) {
			if _, err := exec.LookPath("haproxy"); engine == app.EngineHAProxy && err != nil {
				t.Skip("NOT TESTED WITH HAPROXY: ", err)
			}
			h := startSecretHouse(t, engine)
			h.live()
			h.operations()
			h.pages()
			h.commands()
			h.faces()
			h.say("log", h.log.String())
			h.say("access log", h.access.String())
			h.say("webhook", h.hooks.String())
			if !strings.Contains(h.told.String(), "CAN-28-users") {
				t.Errorf("the receiver of Docker Flow does not get what it needs: %s", h.told.String())
			}
			if !strings.Contains(h.log.String(), "set X-Plain ***") {
				t.Error("the log does not say what a table changed")
			}
			h.modes()
			h.judge()
		})
	}
}

// startSecretHouse starts Fairway with its secrets.
func startSecretHouse(t *testing.T, engine string) *secretHouse {
	dir, err := os.MkdirTemp("", "fairway") // a short name, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Chdir(dir)
	h := &secretHouse{t: t, dir: dir, said: map[string]string{}}
	serve := func(into *syncBuffer) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if into == &h.hooks {
				fmt.Fprintf(into, "%s\n", body)
			} else {
				fmt.Fprintf(into, "%s\n", r.URL.RawQuery)
			}
		}))
		t.Cleanup(s.Close)
		return s
	}
	receiver, flow, nobody := serve(&h.hooks), serve(&h.told), httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(backend.Close)
	address := strings.TrimPrefix(backend.URL, "http://")
	_, port, _ := strings.Cut(address, ":")
	fill := strings.NewReplacer("$BACKEND", address, "$PORT", port, "$RECEIVER", receiver.URL, "$NOBODY", strings.TrimPrefix(nobody.URL, "http://"), "$ENGINE", engine)
	config := secretConfig
	if engine == app.EngineHAProxy {
		config += "haproxy: {snippets: [\"*\"], stop-with-fairway: true}\n"
	}
	certificates := h.keyed(engine)
	h.write("fairway.yml", fill.Replace(config)+certificates)
	h.write("services.yml", half(fill.Replace(secretServices), 1))
	h.write("changed.yml", half(fill.Replace(secretServices), 2))
	h.write("token", "CAN-62-token-of-the-admin")
	h.write("hook-url", nobody.URL+"/CAN-63-path?key=CAN-64-query")
	h.write("signature", "CAN-65-signature-of-webhooks")
	h.write("password", "CAN-66-password-of-mail")
	environ := []string{
		"USERS=carl:CAN-67-global", "STATS_USER=ann", "STATS_PASS=CAN-68-statistics",
		"DF_NOTIFY_CREATE_SERVICE_URL=" + flow.URL + "/create?k=CAN-69-receiver,http://u:CAN-70-password@" + strings.TrimPrefix(nobody.URL, "http://") + "/create?k=CAN-71-receiver",
		"DF_RETRY=1", "DF_RETRY_INTERVAL=1", "DFP_SERVICE_1_SERVICE_NAME=env", "DFP_SERVICE_1_PORT=80", "DFP_SERVICE_1_SERVICE_PATH=/env",
		"DFP_SERVICE_1_SET_REQ_HEADER=X-Key CAN-72-environment",
	}
	if engine == app.EngineHAProxy {
		environ = append(environ, "EXTRA_FRONTEND=http-request set-header X-Extra CAN-73-frontend", "EXTRA_GLOBAL=setenv KEY CAN-74-global")
	}
	loaded, err := app.Load(app.LoadOptions{Path: "fairway.yml", Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	loaded.Complete(nil)
	loaded.Docker = nil
	a, err := app.New(loaded.Config, app.Options{
		Version: "test", Environ: environ, Stdout: &h.access,
		Logger: slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections() // HAProxy waits for them
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	h.admin, h.web = "http://"+a.Addr("admin.listen").String(), "http://"+a.Addr("http").String()
	h.proxy, h.listener = "http://"+a.Addr("dockerflow.proxy.listen").String(), "http://"+a.Addr("dockerflow.listener.listen").String()
	h.environ = append(environ, "FAIRWAY_ADMIN="+h.admin)
	h.obtained(certificates)
	return h
}

// half takes a half of what is in braces with a bar: {first|second}.
func half(text string, n int) string {
	return regexp.MustCompile(`\{([\w-]+)\|([\w-]+)\}`).ReplaceAllString(text, fmt.Sprintf("$%d", n))
}

func (h *secretHouse) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		h.t.Fatal(err)
	}
}

// say keeps what was said somewhere.
func (h *secretHouse) say(where, what string) { h.said[where] += what }

// ask makes a call, with the token of admin, and keeps the answer.
func (h *secretHouse) ask(method, address string, body []byte, header ...string) (int, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), testkit.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer CAN-62-token-of-the-admin")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Host = req.Header.Get("Host")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		line, _ := bufio.NewReader(res.Body).ReadString('\n') // it never ends
		return res.StatusCode, line
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var headers bytes.Buffer
	_ = res.Header.Write(&headers)
	return res.StatusCode, headers.String() + string(data)
}

// live lets things happen: services are served, asked for, posted and changed.
func (h *secretHouse) live() {
	h.t.Helper()
	served := func(what, host, query string, header ...string) {
		testkit.Eventually(h.t, what, func() string {
			code, body := h.ask("GET", h.web+"/?token="+query, nil, append([]string{"Host", host, "Authorization", "Bearer CAN-76-header", "Cookie", "session=CAN-77-cookie"}, header...)...)
			if code == http.StatusNotFound || code == http.StatusServiceUnavailable {
				return body
			}
			return ""
		})
	}
	served("shop is served", "shop.example", "CAN-75-query")
	served("ruled is served", "ruled.example", "CAN-10-query", "X-Token", "CAN-07-header", "X-Env", "OPEN-1-env")
	post := url.Values{
		"serviceName": {"posted"}, "port": {"80"}, "serviceDomain": {"posted.example"}, "outboundHostname": {"127.0.0.1"},
		"users": {"dora:CAN-78-posted"}, "addReqHeader": {"X-Key CAN-79-posted"}, "serviceHeader": {"X-Token:CAN-80-posted"}, "distribute": {"true"},
	}
	_, answer := h.ask("GET", h.proxy+"/v1/docker-flow-proxy/reconfigure?"+post.Encode(), nil)
	h.say("reconfigure", answer)
	post.Set("distribute", "false")
	_, answer = h.ask("GET", h.proxy+"/v1/docker-flow-proxy/reconfigure?"+post.Encode(), nil)
	h.say("reconfigure", answer)
	post.Set("serviceName", "refused")
	post.Set("setReqHeader", "CAN-81-posted")
	_, answer = h.ask("GET", h.proxy+"/v1/docker-flow-proxy/reconfigure?"+post.Encode(), nil)
	h.say("reconfigure", answer)
	pair, key := keyPair(h.t)
	h.keys = append(h.keys, key)
	_, answer = h.ask("PUT", h.proxy+"/v1/docker-flow-proxy/cert?certName=a.pem", pair)
	h.say("cert", answer)
	h.write("services.yml", string(read(h.t, "changed.yml")))
	testkit.Eventually(h.t, "the change is recorded and told, and the receivers have failed", func() string {
		_, history := h.ask("GET", h.admin+"/v1/history", nil)
		for where, ok := range map[string]bool{
			"history":   strings.Contains(history, "fairway.headers.request.set.Authorization"),
			"problems":  strings.Contains(h.hooks.String(), "problem.new") && strings.Contains(h.hooks.String(), "conflict.new"),
			"receivers": strings.Contains(h.log.String(), "notification given up"),
			"told":      strings.Contains(h.told.String(), "CAN-28-users"),
		} {
			if !ok {
				return "still missing: " + where + "\n" + history
			}
		}
		return ""
	})
}

// operations asks for everything that the admin API has, by its documentation,
// which its own test holds complete.
func (h *secretHouse) operations() {
	h.t.Helper()
	titles := regexp.MustCompile(`(?m)^## ([A-Z]+) (/\S*)$`).FindAllStringSubmatch(string(read(h.t, documentation)), -1)
	if len(titles) < 40 {
		h.t.Fatalf("docs/api.md names %d operations", len(titles))
	}
	bodies := map[string]string{
		"POST /v1/session": `{"token":"CAN-82-wrong-token"}`, "POST /v1/tokens": `{"name":"CAN","role":"CAN-83"}`,
		"POST /v1/commands": `{"kind":"drain","subject":"nobody"}`, "POST /v1/notify/channels/{name}/test": `{}`, "POST /v1/certificates/{name}/renew": `{}`, "POST /v1/certificates/{name}/revoke": `{}`,
		"POST /v1/plan": `{"labels":[{"subject":"shop","label":"fairway.headers.request.set.X-New","value":"CAN-84-plan"},{"subject":"users","label":"fairway.bsic-auth","value":"CAN-85-plan"},
			{"subject":"shop","label":"fairway.health.path","value":"/up?CAN-86-plan"},{"subject":"snippet","label":"com.df.backendExtra","value":"http-request set-header X-Key CAN-87-plan"}],"remove":["ruled"]}`,
		"POST /v1/fleet/documents/{document}/revisions": "global", "POST /v1/fleet/documents/{document}/check": "{}",
		"POST /v1/fleet/documents/{document}/drift": "{}", "POST /v1/fleet/documents/{document}/rollout": "{}",
	}
	_, services := h.ask("GET", h.admin+"/v1/services", nil)
	var names []string
	for _, m := range regexp.MustCompile(`"(?:id|name)":"([^"]+)"`).FindAllStringSubmatch(services, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	names = append(slices.Compact(names), "hook", "failing", "mail")
	values := map[string][]string{
		"{name}": names, "{number}": {"1", "2", "3", "4"}, "{document}": {"nothing"}, "{id}": {"hold"}, "{group}": {"route"}, "{subject}": names, "{route}": names, "{instance}": names,
	}
	queries := map[string][]string{
		"GET /v1/explain": {"?url=http://ruled.example/", "?url=https://own.localhost/", "?url=https://a-host.test/", "?url=http://shop.example/", "?url=http://contested.example/", "?url=http://bad-flow.example/", "?url=http://flow.example/"},
		"GET /v1/diff":    {"?from=1&to=live", "?from=live&to=1", "?from=1&to=2"}, "GET /v1/routes": {"", "?live=true"}, "GET /v1/watch": {"", "?traffic=true"},
	}
	for _, m := range titles {
		title, paths := m[1]+" "+m[2], []string{m[2]}
		for _, part := range regexp.MustCompile(`\{\w+\}`).FindAllString(m[2], -1) {
			if values[part] == nil {
				h.t.Errorf("%s: the test does not know what stands for %s", title, part)
			}
			var next []string
			for _, p := range paths {
				for _, v := range values[part] {
					next = append(next, strings.Replace(p, part, v, 1))
				}
			}
			paths = next
		}
		body := []byte(bodies[title])
		if body == nil && m[1] == "POST" {
			h.t.Errorf("%s: the test does not know what to send", title)
		}
		if m[1] == "GET" || m[1] == "DELETE" {
			body = nil
		}
		for _, p := range paths {
			for _, q := range append(queries[title], "")[:max(1, len(queries[title]))] {
				code, answer := h.ask(m[1], h.admin+p+q, body)
				h.say(title, fmt.Sprintf("%s %d %s\n", p+q, code, answer))
			}
		}
	}
	for title, want := range map[string]string{
		"GET /v1/routes": "ruled@file:services.yml", "GET /v1/problems": "conflict", "GET /v1/events": "problem.new", "POST /v1/plan": "X-New",
		"GET /v1/doctor/{name}": "flow.example", "GET /v1/diff": "a value that is not shown", "GET /v1/notify/channels/{name}/pending": "problem.new",
		"GET /v1/explain": "X-Token is ***", "GET /metrics": "fairway_requests_total", "GET /v1/history/{number}": "X-Plain ***",
	} {
		if !strings.Contains(h.said[title], want) {
			h.t.Errorf("%s says nothing of %q:\n%.2000s", title, want, h.said[title])
		}
	}
}

// documentation is the path of docs/api.md, found before the tests change their
// working directory.
var documentation, _ = filepath.Abs("../../docs/api.md")

// pages reads every page that is linked from another.
func (h *secretHouse) pages() {
	h.t.Helper()
	link := regexp.MustCompile(`(?:href|src|action)="(/[^"#]*)`)
	seen, todo := map[string]bool{"/": true}, []string{"/"}
	for len(todo) > 0 && len(seen) < 500 {
		page := todo[0]
		todo = todo[1:]
		_, body := h.ask("GET", h.admin+page, nil)
		h.say("page "+page, body)
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			next := strings.ReplaceAll(m[1], "&amp;", "&")
			_, query, asks := strings.Cut(next, "?")
			again := asks && !strings.HasPrefix(query, "format=") && !strings.HasPrefix(query, "url=") // a part of a page, or it in another order
			if !seen[next] && !strings.HasPrefix(next, "/v1/") && !again {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	if len(seen) < 20 || len(seen) >= 500 {
		h.t.Errorf("%d pages", len(seen))
	}
}

// commands runs every command that asks something, in every form.
func (h *secretHouse) commands() {
	h.t.Helper()
	h.write("compose.yml", "services:\n  web:\n    image: web\n    ports: [80]\n    environment: {KEY: CAN-88-environment}\n    labels:\n      fairway.host: web.example\n"+
		"      fairway.headers.request.set.X-Key: CAN-89-compose\n      fairway.headers.reqest.set.X-Key: CAN-90-compose\n      fairway.b.rule: \"Header(`X-Token`, `CAN-91-compose`)\"\n"+
		"      fairway.c.rule: \"Header(`X-Token`, `CAN-91-compose`)\"\n      fairway.d.rule: \"Headerr(`X-Token`, `CAN-92-compose`)\"\n")
	shop := "shop@file:services.yml"
	uses := map[string][][]string{
		"check":  {{"check", "services.yml", "compose.yml", "fairway.yml"}, {"check", "changed.yml"}},
		"config": {{"config", "--config", "fairway.yml"}},
		"routes": {{"routes"}}, "services": {{"services"}, {"services", "shop"}, {"services", "misspelt"}, {"services", "bad-rule"}, {"services", "moved"}, {"services", "users"}},
		"nodes": {{"nodes"}}, "problems": {{"problems"}}, "sources": {{"sources"}}, "status": {{"status"}}, "certs list": {{"certs"}}, "certs show": {{"certs", "show", "own.localhost"}}, "certs renew": {{"certs", "renew", "shop.example"}}, "certs revoke": {{"certs", "revoke", "shop.example"}}, "errors": {{"errors"}, {"errors", "ruled"}}, "logs": {{"logs", "shop"}}, "events": {{"events"}},
		"notify channels": {{"notify", "channels"}}, "notify outbox": {{"notify", "outbox", "failing"}, {"notify", "outbox", "mail"}}, "notify test": {{"notify", "test", "failing"}, {"notify", "test", "hook"}, {"notify", "test", "mail"}},
		"rules": {{"rules"}}, "explain": {{"explain", "GET", "http://ruled.example/"}, {"explain", "GET", "http://shop.example/"}, {"explain", "https://a-host.test/"}},
		"doctor": {{"doctor", "flow"}, {"doctor", "ruled"}, {"doctor", "loser"}, {"doctor", "bad-rule"}, {"doctor", "snippet"}, {"doctor", "bad-snippet"}},
		"plan":   {{"plan", "-f", "compose.yml"}, {"plan", "--label", "shop=fairway.headers.request.set.X-New=CAN-93-plan", "--label", "ruled=fairway.rule=Header(`X-Token`, `CAN-94-plan`)"}},
		"diff":   {{"diff", "1"}, {"diff", "1", "2"}}, "history": {{"history"}, {"history", "1"}, {"history", "2"}},
		"drain": {{"drain", shop, "-m", "on purpose"}}, "undrain": {{"undrain", shop}}, "weight": {{"weight", shop, "1"}, {"weight", shop, "--reset"}},
		"pause": {{"pause", shop}}, "resume": {{"resume", shop}}, "maintenance": {{"maintenance", shop, "on"}, {"maintenance"}, {"maintenance", shop, "off"}}, "pin": {{"pin"}}, "unpin": {{"unpin"}}, "rollback": {{"rollback", "1"}, {"unpin"}},
		"commands": {{"commands"}}, "stats": {{"stats"}, {"stats", "--since", "1h"}},
		"token create": {{"token", "create", "ann", "--role", "viewer"}}, "token list": {{"token", "list"}}, "token revoke": {{"token", "revoke", "nobody"}},
		"owners list": {{"owners", "list"}}, "owners check": {{"owners", "check", "--host", "shop.example"}, {"owners", "check", "--service", "shop"}, {"owners", "check", "services.yml", "compose.yml"}},
		"audit": {{"audit"}}, "healthcheck": {{"healthcheck"}}, "version": {{"version"}}, "openapi": {{"openapi"}},
		"deploy": {{"deploy", "compose.yml", "--plan", "--docker", "unix:///nowhere.sock"}}, "leave": {{"leave", "shop", "--docker", "unix:///nowhere.sock"}},
		"trust":          {{"trust", "--print"}},
		"publish status": {{"publish", "status"}}, "publish diff": {{"publish", "diff"}}, "publish apply": {{"publish", "apply"}}, "publish withdraw": {{"publish", "withdraw"}},
		"dns explain": {{"dns", "explain", "shop.docker"}}, "dns names": {{"dns", "names"}}, "dns status": {{"dns", "status"}}, "dns setup": {{"dns", "setup"}},
	}
	// These ask no Fairway about what it serves, wait for ever, or change this machine.
	others := regexp.MustCompile(`^(run|demo|whoami|untrust|completion|requests|service .*|fleet .*|haproxy .*)$`)
	p, err := newParser(&grammar{}, newCLI(nil, nil, nil))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, leaf := range p.Model.Leaves(true) {
		name := strings.TrimPrefix(leaf.Path(), p.Model.Name+" ")
		if uses[name] == nil && !others.MatchString(name) {
			h.t.Errorf("the test does not know how %q is used", name)
		}
		for _, args := range uses[name] {
			for _, form := range []string{"text", "json"} {
				_, stdout, stderr := runAt(h.t, h.environ, append(args, "-o", form, "--token-file", "token")...)
				h.say("fairway "+strings.Join(args, " ")+" -o "+form, stdout+stderr)
			}
		}
	}
	for use, want := range map[string]string{"check services.yml compose.yml fairway.yml -o text": "contested.example", "config --config fairway.yml -o json": "127.0.0.1", "doctor flow -o text": "flow.example"} {
		if !strings.Contains(h.said["fairway "+use], want) {
			h.t.Errorf("fairway %s says %s", use, h.said["fairway "+use])
		}
	}
}

// faces asks the faces of Docker Flow, as anybody may.
func (h *secretHouse) faces() {
	h.t.Helper()
	for _, address := range []string{
		h.proxy + "/v1/docker-flow-proxy/config", h.proxy + "/v1/docker-flow-proxy/config?type=json", h.proxy + "/v1/docker-flow-proxy/certs",
		h.proxy + "/v1/docker-flow-proxy/metrics", h.proxy + "/v1/docker-flow-proxy/ping", h.proxy + "/v1/docker-flow-proxy/reload?fromListener=true", h.proxy + "/metrics",
		h.listener + "/v1/docker-flow-swarm-listener/get-services", h.listener + "/v1/docker-flow-swarm-listener/get-nodes", h.listener + "/metrics",
	} {
		_, answer := h.ask("GET", address, nil)
		h.say("face "+strings.TrimPrefix(strings.TrimPrefix(address, h.proxy), h.listener), answer)
	}
	for path, want := range map[string]string{
		"/v1/docker-flow-proxy/config": "flow@file:services.yml", "/v1/docker-flow-proxy/config?type=json": "flow.example",
		"/v1/docker-flow-swarm-listener/get-services": "headers.example",
	} {
		if !strings.Contains(h.said["face "+path], want) {
			h.t.Errorf("%s says nothing of %s: %.1000s", path, want, h.said["face "+path])
		}
	}
}

// modes looks at what lies in the state directory: for its owner alone.
func (h *secretHouse) modes() {
	h.t.Helper()
	err := filepath.WalkDir("state", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		// Sockets are reached through a directory, which is the owner's alone.
		if err == nil && info.Mode()&fs.ModeSocket == 0 && info.Mode().Perm()&0o077 != 0 {
			h.t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
}

// judge looks for secrets in all that was said.
func (h *secretHouse) judge() {
	h.t.Helper()
	found := regexp.MustCompile(`CAN-\d\d.{0,20}`)
	all := ""
	for _, where := range slices.Sorted(maps.Keys(h.said)) {
		said := h.said[where]
		all += said
		if i := strings.Index(said, "CAN-"); i >= 0 {
			h.t.Errorf("%s says %q, in: …%s…", where, slices.Compact(slices.Sorted(slices.Values(found.FindAllString(said, -1)))), said[max(0, i-300):min(len(said), i+60)])
		}
		for _, key := range h.keys {
			if strings.Contains(said, key) {
				h.t.Errorf("%s says a private key", where)
			}
		}
	}
	// An exception that nothing makes use of is none.
	for _, open := range []string{"OPEN-1-env", "OPEN-2-agent"} {
		if !strings.Contains(all, open) {
			h.t.Errorf("%s is shown nowhere", open)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keyPair makes a certificate with its key, and a line of the key.
func keyPair(t *testing.T) (pair []byte, line string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), text...), strings.Split(string(text), "\n")[2]
}
