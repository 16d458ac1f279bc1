//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"fairway/internal/testkit"
)

// browser is a headless Chromium for one test.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// needChromium starts a browser, or skips the test where there is none.
func needChromium(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	return &browser{t: t, ctx: ctx}
}

// watcher tells the console of what must not happen.
const watcher = `
document.addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));
for (const name of ['alert', 'confirm', 'prompt']) window[name] = (text) => console.error('EXECUTED: ' + name + ' ' + text);
`

// tab is one page of the browser. What goes wrong in it is remembered.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex
	faults []string
}

// screen is the size and the colours of a page.
type screen struct {
	name          string
	width, height int64
	dark, phone   bool
}

var desktop = screen{name: "desktop", width: 1440, height: 900}

// screens are those that pages are looked at on.
var screens = []screen{
	{"phone-light", 390, 844, false, true},
	{"phone-dark", 390, 844, true, true},
	{"tablet-light", 768, 1024, false, false},
	{"tablet-dark", 768, 1024, true, false},
	{"laptop-light", 1280, 720, false, false},
	{"laptop-dark", 1280, 720, true, false},
	{"desktop-light", 1440, 900, false, false},
	{"desktop-dark", 1440, 900, true, false},
	{"wide-light", 1920, 1080, false, false},
	{"wide-dark", 1920, 1080, true, false},
}

// open opens a tab for the pages at base.
func (b *browser) open(base string, s screen) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	tb := &tab{t: b.t, ctx: ctx, base: base}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		if b.t.Failed() && len(tb.faults) > 0 {
			b.t.Logf("in the browser: %s", strings.Join(tb.faults, "\n"))
		}
	})
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == "error" || m.Type == "warning" {
				tb.mu.Lock()
				tb.faults = append(tb.faults, m.String())
				tb.mu.Unlock()
			}
		}
	}()
	// Without it a page in the background of another test has no focus to move.
	if _, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watcher}); err != nil {
		b.t.Fatal(err)
	}
	tb.on(s)
	return tb
}

// on makes the tab one on that screen.
func (tb *tab) on(s screen) {
	tb.t.Helper()
	scale, scheme := 1.0, "light"
	if s.phone {
		scale = 2
	}
	if s.dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(tb.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: s.height, DeviceScaleFactor: scale, Mobile: s.phone})
	if err == nil {
		_, err = chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	}
	if err != nil {
		tb.t.Fatal(err)
	}
}

// do runs steps.
func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := tb.try(steps...); err != nil {
		tb.t.Fatal(err)
	}
}

func (tb *tab) try(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(tb.ctx, 30*time.Second)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// visit goes to a page and waits until it is loaded. It goes there again when the
// machine's networks have changed meanwhile.
func (tb *tab) visit(path string) {
	tb.t.Helper()
	for range 10 {
		err := tb.try(chromedp.Navigate(tb.base + path))
		if err != nil && !strings.Contains(err.Error(), networkChanged) {
			tb.t.Fatal(err)
		}
		if !tb.interrupted() && err == nil {
			return
		}
	}
	tb.t.Fatalf("%s: the networks of the machine change all the time", path)
}

// networkChanged is how Chromium names what it gave up because an interface came or
// went: containers of other tests have some. Pages connect their streams anew then.
const networkChanged = "ERR_NETWORK_CHANGED"

// interrupted forgets faults because of networks, and returns whether there were any.
func (tb *tab) interrupted() bool {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	before := len(tb.faults)
	tb.faults = slices.DeleteFunc(tb.faults, func(fault string) bool { return strings.Contains(fault, networkChanged) })
	return len(tb.faults) < before
}

// eval runs script, which may be a promise, and returns its value.
func eval[T any](tb *tab, script string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 60*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// live is the condition that a page follows what happens.
const live = "document.querySelector('.live.on')"

// until waits until a condition in script holds. A page that came without its scripts,
// because the networks of the machine changed meanwhile, is loaded again.
func (tb *tab) until(condition string) time.Duration {
	tb.t.Helper()
	return testkit.Eventually(tb.t, condition, func() string {
		if condition == live && tb.interrupted() {
			_ = tb.try(chromedp.Reload())
		}
		ctx, cancel := context.WithTimeout(tb.ctx, 10*time.Second)
		defer cancel()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+condition+")"))
		if err != nil {
			return err.Error() // between two pages
		}
		if !ok {
			return "not yet"
		}
		return ""
	})
}

// shows waits until a text is on the page.
func (tb *tab) shows(text string) time.Duration {
	tb.t.Helper()
	return tb.until("document.body.innerText.includes(" + quoted(text) + ")")
}

// press clicks on the first element that is shown and that fits a selector, with
// a text in it where one is given.
func (tb *tab) press(selector, text string) {
	tb.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%s)].find((e) => e.checkVisibility() && e.textContent.includes(%s))`, quoted(selector), quoted(text))
	tb.until("'ready' in document.body.dataset && " + find)
	eval[bool](tb, "("+find+".click(), true)")
}

// fill sets a field as if it were typed.
func (tb *tab) fill(selector, text string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf("document.querySelector(%s)", quoted(selector)))
	eval[bool](tb, fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.value = %s; e.dispatchEvent(new Event('input', {bubbles: true})); return true; })()`, quoted(selector), quoted(text)))
}

// clean fails when anything went wrong in the tab: an error of script, a report of
// the content security policy, or script that somebody else wrote. What matches one
// of except was meant to go wrong.
func (tb *tab) clean(except ...string) {
	tb.t.Helper()
	tb.interrupted()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, fault := range tb.faults {
		meant := false
		for _, e := range except {
			meant = meant || strings.Contains(fault, e)
		}
		if !meant {
			tb.t.Errorf("in the browser: %s", fault)
		}
	}
	tb.faults = nil
}

// shot takes a picture of the whole page, where somebody wants pictures.
func (tb *tab) shot(name string) {
	tb.t.Helper()
	dir := os.Getenv("UI_SHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.ctx, 30*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil { // some are too long for one picture
		picture, err = chromedp.Run(ctx, chromedp.CaptureScreenshot())
	}
	if err != nil {
		tb.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		tb.t.Fatal(err)
	}
}

// signIn signs in with the first token of a Fairway.
func (tb *tab) signIn(state string) {
	tb.t.Helper()
	tb.signInWith(firstToken(tb.t, state))
}

// signInWith signs in with a token.
func (tb *tab) signInWith(token string) {
	tb.t.Helper()
	tb.visit("/sign-in?to=/")
	tb.fill("input[name=token]", token)
	tb.press("form[data-sign-in] button", "Sign in")
	tb.until("location.pathname === '/' && document.querySelector('[data-sign-out]')")
}

// quoted is a text as script writes it.
func quoted(text string) string { return quotedJSON(text) }

// quotedJSON is a value as script writes it.
func quotedJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain values always encode
	}
	return string(data)
}

// firstToken is the token that Fairway made at its first start.
func firstToken(t *testing.T, state string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
