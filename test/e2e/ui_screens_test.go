//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// manyServices writes a services file with n services, whose names begin with
// prefix; some have problems.
func manyServices(t *testing.T, path, prefix string, n int, backend string) {
	t.Helper()
	names := []string{"shop", "cart", "payments", "search", "accounts", "media", "wiki", "reports", "mail", "geo", "auth", "billing"}
	var b bytes.Buffer
	b.WriteString("services:\n")
	for i := range n {
		name := fmt.Sprintf("%s%s-%02d", prefix, names[i%len(names)], i/len(names))
		labels := fmt.Sprintf("fairway.host: %s.example.com", name)
		switch {
		case i%37 == 9:
			labels += ", fairway.hots: typo"
		case i%11 == 8:
			labels += ", fairway.path: /api, fairway.strip-prefix: \"true\", fairway.rate-limit: 100/s burst 50"
		case i%50 == 40:
			labels = "team: nobody"
		}
		fmt.Fprintf(&b, "  - name: %s\n    labels: {%s}\n    instances:\n", name, labels)
		for j := range 1 + i%4 {
			fmt.Fprintf(&b, "      - {address: \"%s\", name: %s-%d}\n", backend, name, j+1)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lightTraffic asks for all hosts in turn until the test ends.
func lightTraffic(t *testing.T, address string, hosts []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
			if err != nil {
				return
			}
			req.Host = hosts[i*i%len(hosts)]
			if res, err := http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done; http.DefaultClient.CloseIdleConnections() })
}

// Every page on every screen, with nothing, with a few services and with five
// hundred: nothing is wider than the screen, nothing lies over something else that is
// to be read or pressed, axe-core finds no fault, and script has nothing to complain of. UI_SHOTS names a directory for
// pictures, to be looked at.
func TestUIScreens(t *testing.T) {
	needDocker(t)
	b, axe := needChromium(t), axeSource(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
	t.Cleanup(up.Close)
	sizes := []int{0, 500}
	if thorough() {
		sizes = []int{0, 12, 500}
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir, address := t.TempDir(), strings.TrimPrefix(up.URL, "http://")
			file, other := filepath.Join(dir, "services.yml"), filepath.Join(dir, "edge.yml")
			manyServices(t, file, "", n-n/10, address)
			manyServices(t, other, "edge-", n/10, address)
			p := startProxy(t, proxyOptions{args: []string{"--file", file, "--file", other, "--admin.anonymous", "admin"}}).synced()
			paths := map[string]string{
				"overview": "/", "services": "/services", "routes": "/routes", "problems": "/problems", "nodes": "/nodes",
				"events": "/events", "history": "/history", "plan": "/plan", "fleet": "/fleet", "access": "/access", "sign-in": "/sign-in",
			}
			if n > 0 {
				var hosts []string
				routes, err := p.client().Routes(t.Context(), api.Query{})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range routes.Items {
					hosts = append(hosts, r.Matches[0].Host)
				}
				lightTraffic(t, p.listen, hosts)
				paths["service"] = "/services/shop-00@file:services.yml"
				paths["refused"] = "/services/geo-00@file:services.yml"
				paths["entry"] = "/history/1"
				paths["explain"] = "/routes?url=http://mail-00.example.com/api/x"
			}
			list := looked()
			if n == 0 && !thorough() {
				list = list[:1] // pages of nothing are small everywhere
			}
			for _, s := range list {
				tb := (&browser{t, b.ctx}).open("http://"+p.admin, s)
				for name, path := range paths {
					began := time.Now()
					tb.visit(path)
					loaded := time.Since(began)
					if name != "sign-in" {
						tb.until(live)
					}
					if n > 0 && name == "overview" {
						tb.until("/\\d/.test(document.querySelector('[data-total=rate]').textContent)")
						if os.Getenv("UI_SHOTS") != "" {
							time.Sleep(5 * time.Second) // so that there is something to see
						}
					}
					tb.fits(name, s)
					tb.reachable(name, s)
					if thorough() || s.name == list[0].name { // the elements are the same on all
						tb.accessible(name, axe, s)
					}
					tb.clean()
					tb.shot(fmt.Sprintf("%d-%s-%s", n, name, s.name))
					if name == "overview" || name == "services" {
						t.Logf("%s on %s: loaded in %v, %d elements", name, s.name, loaded.Round(time.Millisecond), eval[int](tb, "document.querySelectorAll('*').length"))
					}
				}
			}
		})
	}
}

// thorough is true where pages are looked at on every screen and in every size.
func thorough() bool { return testkit.Soaking() || os.Getenv("UI_SHOTS") != "" }

// looked are the screens that pages are looked at on: a wide one and a narrow one, in both
// colours, where it has to be quick.
func looked() []screen {
	if thorough() {
		return screens
	}
	return []screen{desktop, {"phone-dark", 390, 844, true, true}}
}

// fitsEverywhere looks at pages, by name, on all screens.
func (tb *tab) fitsEverywhere(paths map[string]string) {
	tb.t.Helper()
	for _, s := range looked() {
		tb.on(s)
		for name, path := range paths {
			tb.visit(path)
			tb.until(live)
			tb.fits(name, s)
			tb.shot(name + "-" + s.name)
		}
	}
	tb.on(desktop)
}

// fits checks that a page is not wider than the screen, and that text can be read
// against what is behind it.
func (tb *tab) fits(name string, s screen) {
	tb.t.Helper()
	if wide := eval[int](tb, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		tb.t.Errorf("%s is %d pixels wider than %s", name, wide, s.name)
	}
	// The contrast that WCAG 2.2 asks for (1.4.3), of every text that is shown.
	faint := eval[[]string](tb, `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { let layers = []; for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0) layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((b, c) => over(c, b), [255, 255, 255, 1]); };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.nodeValue.trim() || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || e.closest('svg, .sr, option, .skip, noscript, script')) continue;
    const style = getComputedStyle(e), b = behind(e), f = over(parse(style.color), b);
    const [x, y] = [light(f), light(b)].sort((p, q) => q - p);
    const ratio = (x + .05) / (y + .05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.add(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.className + ' ' + walk.currentNode.nodeValue.trim().slice(0, 30));
  }
  return [...found].slice(0, 8);
})()`)
	if len(faint) > 0 {
		tb.t.Errorf("%s on %s has text that is hard to read: %q", name, s.name, faint)
	}
}
