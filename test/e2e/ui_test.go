//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// A container appears on the overview that is open, and disappears, without the
// page being loaded again.
func TestUIContainerAppears(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	// One stays: that everything is gone is not believed at once.
	run(t, boxOptions{name: "stays", labels: map[string]string{"fairway.host": ownHost("stays")}})
	p := startProxy(t, proxyOptions{}).synced()
	tb := b.open("http://"+p.admin, desktop)
	tb.visit("/")
	tb.until(live)
	eval[bool](tb, "(window.unchanged = true)")
	var appear, vanish []time.Duration
	for i := range 7 {
		host := ownHost(fmt.Sprintf("appears-%d", i))
		began := time.Now()
		box := run(t, boxOptions{name: fmt.Sprint("appears-", i), labels: map[string]string{"fairway.host": host}})
		started := time.Since(began)
		tb.shows(host)
		appear = append(appear, time.Since(began)-started)
		began = time.Now()
		box.remove()
		tb.until("!document.body.innerText.includes(" + quoted(host) + ")")
		vanish = append(vanish, time.Since(began))
	}
	if !eval[bool](tb, "window.unchanged === true") {
		t.Error("the page was loaded again")
	}
	if testkit.Soaking() {
		time.Sleep(11 * time.Second) // the stream outlives the deadlines of ordinary requests
	}
	if !eval[bool](tb, "document.querySelector('.live.on') !== null") {
		t.Error("the stream has ended")
	}
	t.Logf("on the page after the container has started: %v; gone after removing it began: %v", appear, vanish)
	tb.clean()
}

// explainBoxes are containers whose routes compete for the same requests.
func explainBoxes(t *testing.T) (hosts []string) {
	t.Helper()
	a, other := ownHost("explain"), ownHost("other")
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("somebody:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, labels := range map[string]string{
		"plain":    "fairway.host=" + a,
		"api":      "fairway.host=" + a + ";fairway.path=/api",
		"exact":    "fairway.host=" + a + ";fairway.path-exact=/api/v1",
		"pattern":  "fairway.host=" + a + ";fairway.path-regexp=/api/v[0-9]+/.*",
		"canary":   "fairway.rule=Host(`" + a + "`) && Header(`X-Lane`, `canary`)",
		"posts":    "fairway.rule=Host(`" + a + "`) && PathPrefix(`/api`) && Method(`POST`)",
		"first":    "fairway.rule=Host(`" + a + "`) && Query(`first`, `1`);fairway.priority=10",
		"wild":     "fairway.host=*." + a,
		"deep":     "fairway.host=**." + a + ";fairway.path=/deep",
		"moved":    "fairway.host=" + other + ";fairway.path=/old;fairway.redirect=301 /new",
		"fenced":   "fairway.host=" + other + ";fairway.path=/fenced;fairway.ip-allow=10.99.0.0/16",
		"secret":   "fairway.host=" + other + ";fairway.path=/secret;fairway.basic-auth=file:" + users,
		"refused":  "fairway.host=" + other + ";fairway.path=/refused;fairway.hots=x",
		"https":    "fairway.host=" + other + ";fairway.path=/tls;fairway.redirect-https=true",
		"stripped": "fairway.host=" + other + ";fairway.path=/strip;fairway.strip-prefix=true",
	} {
		set := map[string]string{}
		for pair := range strings.SplitSeq(labels, ";") {
			key, value, _ := strings.Cut(pair, "=")
			set[key] = value
		}
		run(t, boxOptions{name: name, labels: set})
	}
	return []string{a, other, "x." + a, "x.y." + a, strings.ToUpper(a), a + ".", a + ":8080", "nobody.localhost"}
}

// rawRequest is a request as it goes over the wire.
type rawRequest struct {
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	Header string `json:"header"`
}

func randomRequest(r *rand.Rand, hosts []string) rawRequest {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	q := rawRequest{
		Method: pick("GET", "GET", "GET", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE"),
		Host:   pick(hosts...),
		Path: pick("/", "/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/x", "/apiary", "/deep", "/deep/er", "/old/x", "/fenced", "/secret/", "/refused",
			"/tls/x", "/strip/x", "/api/../deep", "/api//v1", "/%61pi/v1", "/a%2Fb", "/../..", "/API", "/x;y", "/api/v1%00"),
	}
	if r.IntN(4) == 0 {
		q.Path += pick("?first=1", "?first=2", "?a=b&first=1", "?")
	}
	if r.IntN(4) == 0 {
		q.Header = pick("X-Lane: canary", "x-lane: canary", "X-Lane: stable", "X-Lane: canary, stable", "X-Other: canary")
	}
	return q
}

// send makes the request and returns who answered, or the status of Fairway's own
// answer.
func (q rawRequest) send(t *testing.T, address string) (who string, status int) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	header := ""
	if q.Header != "" {
		header = q.Header + "\r\n"
	}
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", q.Method, q.Path, q.Host, header)
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: q.Method})
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	defer res.Body.Close()
	return res.Header.Get("Whoami"), res.StatusCode
}

// What the box on the page says of a request is what happens to it.
func TestUIExplainsRealTraffic(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	hosts := explainBoxes(t)
	p := startProxy(t, proxyOptions{}).synced()
	tb := b.open("http://"+p.admin, desktop)
	tb.visit("/routes")
	tb.until(live)
	n, seed := 150, uint64(1)
	if testkit.Soaking() {
		n, seed = 10000, uint64(time.Now().UnixNano())
	}
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	outcomes := map[string]int{}
	began := time.Now()
	for range n {
		q := randomRequest(r, hosts)
		who, status := q.send(t, p.listen)
		said := eval[struct {
			Outcome, Winner, Wrong string
			Status                 int
		}](tb, `(async () => {
  const q = `+quotedJSON(q)+`;
  const f = document.querySelector('form.explain').elements;
  f.method.value = q.method;
  f.url.value = 'http://' + q.host + q.path;
  f.client.value = '127.0.0.1';
  f.headers.value = q.header;
  const shown = new Promise((done) => document.addEventListener('shown', done, { once: true }));
  document.querySelector('form.explain').requestSubmit();
  await shown;
  const v = document.querySelector('.verdict');
  if (!v) return { wrong: document.querySelector('#answer').innerText };
  return { outcome: v.dataset.outcome, winner: v.dataset.winner, status: Number(v.dataset.status) };
})()`)
		outcomes[said.Outcome]++
		switch {
		case said.Wrong != "":
			t.Fatalf("%+v: the box says %q; %q answers with %d", q, said.Wrong, who, status)
		case said.Outcome == api.OutcomeRouted:
			if who == "" || !strings.Contains(said.Winner, "-"+who+"@") {
				t.Fatalf("%+v: %q answers with %d; the box says %+v", q, who, status, said)
			}
		case who != "" || status != said.Status:
			t.Fatalf("%+v: %q answers with %d; the box says %+v", q, who, status, said)
		}
	}
	t.Logf("%d requests in %v: %v", n, time.Since(began).Round(time.Second), outcomes)
	if len(outcomes) < 5 {
		t.Errorf("the requests have %d outcomes; they test little", len(outcomes))
	}
	tb.clean()
}

// The table of an entry is put back from its page, byte for byte, and traffic
// follows; released, the labels count again.
func TestUIRollback(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	host := ownHost("rollback")
	one := run(t, boxOptions{name: "one", labels: map[string]string{"fairway.host": host}})
	p := startProxy(t, proxyOptions{}).synced()
	p.answers(host, "/", "one")
	hash := func() string {
		info, err := p.client().Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.Table.Hash
	}
	before, routes := hash(), string(p.routes()["rollback"])
	entries, err := p.client().History(t.Context(), api.HistoryQuery{Limit: 1})
	if err != nil || len(entries.Items) != 1 || entries.Items[0].Hash != before {
		t.Fatalf("history %+v, %v", entries, err)
	}
	number := entries.Items[0].Number

	moved := ownHost("moved")
	two := run(t, boxOptions{name: "two", labels: map[string]string{"fairway.host": moved}})
	p.answers(moved, "/", "two")
	if hash() == before {
		t.Fatal("nothing has changed")
	}

	tb := b.open("http://"+p.admin, desktop)
	tb.visit(fmt.Sprintf("/history/%d", number))
	tb.shows("What it changed")
	if eval[bool](tb, "document.querySelector('[data-open=rollback]') !== null") {
		t.Error("a rollback is offered to somebody who has not signed in")
	}
	tb.signIn(p.state)
	tb.visit("/history")
	tb.shows("live")
	tb.press("a.no", fmt.Sprint(number))
	tb.press("button", "Roll back to this")
	tb.until("document.querySelector('#rollback').open")
	tb.shows(moved) // what it would take away
	tb.fill("#rollback input[name=message]", "the new one is not ready")
	tb.shot("rollback-dialog")
	tb.press("#rollback button.main", "Roll back")
	tb.until("location.pathname === '/history'")
	tb.shows("the new one is not ready")
	if got := hash(); got != before {
		t.Errorf("the table is %s, was %s", got, before)
	}
	if got := string(p.routes()["rollback"]); got != routes {
		t.Errorf("the route is\n%s\nwas\n%s", got, routes)
	}
	testkit.Eventually(t, "traffic follows", func() string {
		status, _, _ := p.get(moved, "/")
		if status != http.StatusNotFound {
			return fmt.Sprint(status)
		}
		return ""
	})
	p.answers(host, "/", "one")

	tb.press(".banner button", "Release")
	p.answers(moved, "/", "two")
	tb.until("!document.querySelector('.banner')")
	tb.shot("rollback-released")
	audit, err := p.client().Audit(t.Context(), 10)
	if err == nil {
		t.Errorf("whoever shows nothing reads the audit: %+v", audit)
	}
	tb.visit("/access")
	tb.shows("POST /v1/commands")
	tb.clean()
	_, _ = one, two
}

// What one does with a mouse, one does without.
func TestUIWithoutMouse(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	for i := range 3 {
		run(t, boxOptions{name: fmt.Sprint("keys-", i), labels: map[string]string{"fairway.host": ownHost(fmt.Sprint("keys-", i))}})
	}
	p := startProxy(t, proxyOptions{args: []string{"--admin.anonymous", "admin"}}).synced()
	tb := b.open("http://"+p.admin, desktop)
	tb.visit("/")
	tb.until(live)
	key := func(keys string) { tb.do(chromedp.KeyEvent(keys)) }
	// visit presses g and a letter, again where the machine took too long between them.
	visit := func(letter rune, path string) {
		t.Helper()
		testkit.Eventually(t, "the page is "+path, func() string {
			if at := eval[string](tb, "location.pathname"); at == path {
				return ""
			}
			key("g" + string(letter))
			return "not yet"
		})
	}
	focused := func() string { return eval[string](tb, "(document.activeElement?.outerHTML ?? '').slice(0, 200)") }
	focus := func(want string) {
		t.Helper()
		tb.until("(document.activeElement?.outerHTML ?? '').slice(0, 200).includes(" + quoted(want) + ")")
	}
	tab := func() {
		t.Helper()
		for _, what := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
			if _, err := chromedp.Call(tb.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: what, Key: "Tab", Code: "Tab", WindowsVirtualKeyCode: 9}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// From the top: where a browser begins by itself depends on what was drawn last.
	eval[bool](tb, "(document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute('tabindex'), true)")
	tab()
	focus(`class="skip"`)
	key("\r")
	focus(`id="main"`)
	visit('s', "/services")
	tb.until(live)
	// In one event, so that what the page prevents does not happen.
	if _, err := chromedp.Call(tb.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/"}); err != nil {
		t.Fatal(err)
	}
	focus(`name="q"`)
	key("keys-1")
	tb.until("document.querySelectorAll('tbody tr').length === 1")
	focus(`name="q"`)
	if got := eval[string](tb, "document.activeElement.value"); got != "keys-1" {
		t.Errorf("typed was keys-1, the field has %q", got)
	}
	// From the field on to the service, its drain and back, with Tab and Enter.
	for i := 0; !strings.Contains(focused(), "/services/") && i < 20; i++ {
		tab()
	}
	key("\r")
	tb.until("location.pathname.startsWith('/services/')")
	tb.until(live) // its script runs; before, buttons do nothing
	for i := 0; !strings.Contains(focused(), `data-open="drain"`) && i < 40; i++ {
		tab()
	}
	key("\r")
	tb.until("document.querySelector('#drain').open")
	for i := 0; !strings.Contains(focused(), `class="main"`) && i < 10; i++ {
		tab()
	}
	key("\r")
	tb.shows("Undrain")
	visit('h', "/history")
	tb.shows("drain")

	// Every control can be seen to have the focus, and has a name.
	for _, path := range []string{"/", "/services", "/routes", "/problems", "/nodes", "/events", "/history", "/plan", "/fleet", "/access"} {
		tb.visit(path)
		nameless := eval[[]string](tb, `[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')].filter((e) => e.checkVisibility() &&
  !(e.textContent.trim() || e.getAttribute('aria-label') || e.title || e.labels?.length || e.placeholder)).map((e) => e.outerHTML.slice(0, 120))`)
		if len(nameless) > 0 {
			t.Errorf("%s has controls without a name: %q", path, nameless)
		}
	}
	tb.clean()
}

// What machines, services and instances use is plotted, and grows while one looks.
func TestUIOverTime(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	host := ownHost("plotted")
	for i := range 3 {
		run(t, boxOptions{name: fmt.Sprint("plotted-", i), labels: map[string]string{"fairway.service": "plotted", "fairway.host": host}})
	}
	p := startProxy(t, proxyOptions{args: []string{"--series.every", "1s", "--admin.anonymous", "admin"}}).synced()
	lightTraffic(t, p.listen, []string{host})
	tb := b.open("http://"+p.admin, desktop)
	tb.visit("/nodes")
	node := eval[string](tb, "document.querySelector('.node h2 a').getAttribute('href')")
	tb.until("document.querySelectorAll('.node .tiny .line[d*=L]').length >= 2")
	tb.shot("nodes-plotted")
	tb.visit(node)
	tb.until("document.querySelectorAll('.plots .plot').length >= 3")
	tb.shows("plotted")
	tb.shot("node-plotted")
	tb.visit("/services/plotted")
	tb.until("[...document.querySelectorAll('.plot')].some((p) => p.innerText.includes('requests') && p.querySelector('.line').getAttribute('d').includes('L'))")
	tb.until("[...document.querySelectorAll('[data-endrate]')].filter((e) => parseFloat(e.textContent) > 0).length === 3")
	tb.until("(() => { const s = document.querySelector('.plot svg'); s.focus(); s.dispatchEvent(new KeyboardEvent('keydown', { key: 'Home', bubbles: true })); return document.getElementById('reading').innerText.includes('UTC'); })()")
	tb.shot("service-plotted")
	tb.fitsEverywhere(map[string]string{"nodes": "/nodes", "node": node, "service": "/services/plotted"})
	tb.visit("/services/plotted")
	for _, name := range []string{"6h", "24h", "7d", "30d"} {
		tb.press("main a[href*=range]", name)
		tb.until("location.search.includes('range=" + name + "') && document.querySelector('main a[aria-current=true]').textContent === " + quoted(name))
	}
	tb.clean()
}

// A document is edited, checked while it is written, rolled out with its progress
// to be seen, and rolled back, in the browser.
func TestUIFleet(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	server := backend(t)
	edges := threeEdges(t, edgeConfig(1, server, ""), false, true, false)
	c := startCentre(t, fleetFile(t, edges), "")
	tb := b.open("http://"+c.admin, desktop)
	tb.signIn(c.state)
	client := tokenClient(t, c.proxy)
	put := func(expect uint64, config string) {
		if _, err := client.PutFleetRevision(t.Context(), edgeDocument, api.NewFleetRevision{Expect: expect, Content: []byte(config), Message: "from outside"}); err != nil {
			t.Fatal(err)
		}
	}
	put(0, edgeConfig(1, server, ""))
	tb.visit("/fleet")
	for _, e := range edges {
		tb.shows(e.host)
	}
	tb.shot("fleet")
	tb.press("tbody a", edgeDocument)
	tb.until("location.pathname === '/fleet/web' && document.querySelector('textarea[name=content]')")
	tb.until("document.querySelector('.verdicts .h-fine')?.textContent === 'edge1, edge2, edge3: HAProxy takes it'")

	// What HAProxy does not take is told with the line, while one writes.
	broken := strings.Replace(edgeConfig(2, server, ""), "bind :80\n", "bind :80\n    nonsense here\n", 1)
	line := 1 + strings.Count(broken[:strings.Index(broken, "nonsense")], "\n")
	tb.fill("textarea[name=content]", broken)
	tb.until(fmt.Sprintf("document.querySelector('.gutter .wrong')?.textContent.trim() === '%d'", line))
	tb.shows("nonsense")
	tb.shot("fleet-wrong")
	tb.press(".verdicts button", "line")
	if at := eval[string](tb, "(() => { const e = document.querySelector('textarea[name=content]'); return e.value.slice(e.selectionStart, e.selectionEnd); })()"); !strings.Contains(at, "nonsense") {
		t.Errorf("the line leads to %q", at)
	}

	// Saved byte by byte, and not over what somebody else has saved meanwhile.
	good := edgeConfig(2, server, "# ü – \"quoted\" <b> & \\ \t tab\n")
	put(1, edgeConfig(1, server, "# by somebody else\n"))
	// The page comes to know of that while the cursor is in the text; what is written
	// was begun from the revision before all the same.
	run(t, boxOptions{name: "another", labels: map[string]string{"fairway.host": ownHost("another")}})
	tb.shows("r2 is the newest")
	tb.fill("textarea[name=content]", good)
	tb.until("document.querySelector('.verdicts .h-fine')?.textContent === 'edge1, edge2, edge3: HAProxy takes it'")
	tb.fill("input[name=message]", "version two")
	tb.press("form[data-document] button.main", "Save")
	tb.until("document.querySelector('.toast.h-broken')")
	tb.clean("409")
	eval[bool](tb, "(document.querySelector('form[data-document]').remove(), true)")
	tb.visit("/fleet/web")
	tb.until("document.querySelector('textarea[name=content]').value.includes('somebody else')")
	tb.fill("textarea[name=content]", good)
	tb.fill("input[name=message]", "version two")
	tb.press("form[data-document] button.main", "Save")
	tb.shows("version two")
	saved, err := client.FleetRevision(t.Context(), edgeDocument, 0)
	if err != nil || string(saved.Content) != good || saved.Number != 3 || saved.Author != "admin" {
		t.Fatalf("saved is r%d by %s: %q, %v", saved.Number, saved.Author, saved.Content, err)
	}

	tb.visit("/fleet/web?tab=plan")
	tb.until("document.querySelectorAll('.unified .add').length >= 3")
	tb.shot("fleet-plan")
	tb.press("button", "Roll out…")
	tb.fill("#rollout input[name=pause]", "2s")
	tb.fill("#rollout input[name=wave]", "1")
	tb.shot("fleet-dialog")
	tb.press("#rollout button.main", "Roll out")
	tb.until("document.querySelector('.rollout[data-poll]')")
	tb.until("document.querySelectorAll('.step.h-fine').length === 1")
	tb.shot("fleet-rollout")
	tb.until("document.querySelector('.rollout .chip').textContent === 'done'")
	for _, e := range edges {
		if v, err := e.version(); v != "2" {
			t.Errorf("%s runs version %s, %v", e.host, v, err)
		}
	}
	tb.shot("fleet-done")
	tb.fitsEverywhere(map[string]string{
		"fleet": "/fleet", "document": "/fleet/web", "document-plan": "/fleet/web?tab=plan", "document-diff": "/fleet/web?tab=diff&to=3",
	})
	tb.visit("/fleet")
	if eval[bool](tb, "document.body.innerText.includes('unreachable')") {
		t.Error("who leaves pages before they have come makes hosts unreachable")
	}

	// Back, from the list of revisions.
	tb.visit("/fleet/web")
	tb.press("[data-fill='revision=1']", "Roll back")
	tb.until("document.querySelector('#rollout input[name=revision]').value === '1'")
	tb.fill("#rollout input[name=pause]", "1s")
	tb.fill("#rollout input[name=wave]", "100%")
	tb.press("#rollout button.main", "Roll out")
	tb.until("document.querySelector('.rollout .chip')?.textContent === 'done' && document.querySelector('.rollout h2').textContent.includes('r1')")
	for _, e := range edges {
		if v, err := e.version(); v != "1" {
			t.Errorf("%s runs version %s, %v", e.host, v, err)
		}
	}

	// One that is stopped leaves every host as it was.
	tb.press("[data-fill='revision=3']", "Roll out")
	tb.fill("#rollout input[name=pause]", "20s")
	tb.fill("#rollout input[name=wave]", "1")
	tb.press("#rollout button.main", "Roll out")
	tb.until("document.querySelectorAll('.rollout[data-poll] .step.h-fine').length === 1")
	tb.press(".rollout .stop", "Abort")
	tb.press("dialog button.main", "Yes")
	tb.until("document.querySelector('.rollout .chip').textContent === 'reverted'")
	tb.shot("fleet-stopped")
	for _, e := range edges {
		if v, err := e.version(); v != "1" {
			t.Errorf("after the stop %s runs version %s, %v", e.host, v, err)
		}
	}

	// What somebody edits on a host is shown, and taken over.
	if code, out := edges[0].exec("sh", "-c", "echo '# by hand' >> "+haproxyConfig); code != 0 {
		t.Fatal(out)
	}
	tb.visit("/fleet/web?tab=drift")
	testkit.Eventually(t, "the edit is seen", func() string {
		tb.visit("/fleet/web?tab=drift")
		if !eval[bool](tb, "document.querySelector('.unified')?.innerText.includes('# by hand') === true") {
			return eval[string](tb, "document.querySelector('main').innerText")
		}
		return ""
	})
	tb.shot("fleet-drift")
	tb.press("form button", "Restore")
	tb.press("dialog button.main", "Yes")
	testkit.Eventually(t, "the edit is gone", func() string {
		if strings.Contains(edges[0].file(), "# by hand") {
			return "still there"
		}
		return ""
	})
	tb.clean()
}
