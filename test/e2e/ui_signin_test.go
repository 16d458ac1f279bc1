//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// Signing in and out, and what each role is offered.
func TestUISignIn(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	run(t, boxOptions{name: "signin", labels: map[string]string{"fairway.host": ownHost("signin")}})
	p := startProxy(t, proxyOptions{args: []string{"--admin.anonymous", "none"}}).synced()
	tb := b.open("http://"+p.admin, desktop)
	tb.visit("/services")
	tb.until("location.pathname === '/sign-in'")
	tb.fill("input[name=token]", "fairway_wrong")
	tb.press("form[data-sign-in] button", "Sign in")
	tb.shows("The token is not known here"[4:])
	tb.clean("401")

	tb.signIn(p.state)
	tb.visit("/access")
	tb.press("button", "New token")
	tb.fill("#new-token input[name=name]", "looker")
	tb.press("#new-token button.main", "Create")
	tb.until("document.querySelector('.secret')")
	secret := eval[string](tb, "document.querySelector('.secret').textContent")
	if !strings.HasPrefix(secret, api.TokenPrefix) {
		t.Errorf("the token is %q", secret)
	}
	tb.press("dialog button.main", "Done")
	tb.shows("looker")
	tb.press("[data-sign-out]", "")
	tb.until("location.pathname === '/sign-in'")

	tb.fill("input[name=token]", secret)
	tb.press("form[data-sign-in] button", "Sign in")
	tb.until("location.pathname === '/'")
	tb.shows("viewer")
	tb.visit("/access")
	tb.shows("needs the role admin")
	tb.visit("/services")
	tb.press("tbody a", "")
	tb.until("location.pathname.startsWith('/services/')")
	if eval[int](tb, "document.querySelectorAll('[data-call]').length") != 0 {
		t.Error("a viewer is offered what he may not do")
	}
	tb.clean("403")

	// A page that is left open after the token was revoked sends one to sign in,
	// whether its stream is open by then or not.
	client := tokenClient(t, p)
	for i, open := range []bool{false, true} {
		name := fmt.Sprint("revoked-", i)
		tb.signInWith(newToken(t, client, name))
		tb.visit("/services")
		if open {
			tb.until(live)
		}
		if _, err := client.RevokeToken(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		took := tb.until("location.pathname === '/sign-in' && location.search === '?to=%2Fservices'")
		t.Logf("sent to sign in after %v, the stream was open: %v", took.Round(time.Millisecond), open)
		tb.clean("401")
	}
	// What somebody is writing is not thrown away.
	secret = newToken(t, client, "writer")
	tb.signInWith(secret)
	tb.visit("/plan")
	tb.until(live)
	tb.fill("textarea[name=text]", "services: {}")
	if _, err := client.RevokeToken(t.Context(), "writer"); err != nil {
		t.Fatal(err)
	}
	tb.until("document.querySelector('#signed-out a')?.getAttribute('href') === '/sign-in?to=%2Fplan'")
	if got := eval[string](tb, "document.querySelector('textarea[name=text]').value"); got != "services: {}" {
		t.Errorf("what was written is %q", got)
	}
	tb.shot("signed-out")
	tb.clean("401")
}

// TestUISignInByMouse holds the form of a page that shows the navigation, too, because
// one may look without a token: at each width nothing lies over field and button.
func TestUISignInByMouse(t *testing.T) {
	needDocker(t)
	b := needChromium(t)
	p := startProxy(t, proxyOptions{}).synced()
	tb := b.open("http://"+p.admin, desktop)
	for _, s := range []screen{{width: 390, height: 844, phone: true}, {width: 1280, height: 720}, desktop, {width: 1920, height: 1080}} {
		tb.on(s)
		tb.visit("/sign-in")
		for _, control := range []string{"input[name=token]", "form[data-sign-in] button"} {
			hit := eval[string](tb, `(() => {
				const e = document.querySelector("`+control+`"), r = e.getBoundingClientRect()
				const at = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2)
				return at === e ? "" : at ? at.tagName + "." + at.className : "nothing: it is outside the window"
			})()`)
			if hit != "" {
				t.Errorf("at %d × %d a click on %s meets %s", s.width, s.height, control, hit)
			}
		}
	}
}

// newToken makes a token of a viewer and returns it.
func newToken(t *testing.T, c *api.Client, name string) string {
	t.Helper()
	made, err := c.CreateToken(t.Context(), api.NewToken{Name: name, Role: api.RoleViewer, Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	return made.Secret
}

// tokenClient is a client with the first token.
func tokenClient(t *testing.T, p *proxy) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.ClientOptions{URL: "http://" + p.admin, Token: firstToken(t, p.state)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
