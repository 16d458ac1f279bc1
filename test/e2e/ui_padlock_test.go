//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"fairway/internal/testkit"
)

// TestPadlock: once `fairway trust` has put the root into the store of a browser, it calls
// https://app.localhost secure; before it does not. The page of certificates fits every screen.
func TestPadlock(t *testing.T) {
	needDocker(t)
	if _, err := exec.LookPath("certutil"); err != nil {
		t.Skip("no certutil: apt-get install libnss3-tools")
	}
	home, trust := browserHome(t)
	b := needChromium(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(up.Close)
	file, pair := filepath.Join(t.TempDir(), "services.yml"), filepath.Join(t.TempDir(), "shop.pem")
	cert, key := testkit.KeyPair(t, "shop.example.com")
	services := "services:\n"
	for name, labels := range map[string]string{
		"app": "fairway.host: app.localhost", "wiki": "fairway.host: wiki.internal", "shop": "fairway.host: shop.example.com", "blog": "fairway.host: blog.example.com",
	} {
		services += fmt.Sprintf("  - {name: %s, labels: {%s}, instances: [{address: %q}]}\n", name, labels, strings.TrimPrefix(up.URL, "http://"))
	}
	for name, text := range map[string][]byte{file: []byte(services), pair: append(cert, key...)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secure := testkit.FreePort(t)
	p := startProxy(t, proxyOptions{args: []string{
		"--file", file, "--listen-tls", "127.0.0.1:" + secure, "--acme.internal", "true", "--tls.certificates", pair, "--admin.anonymous", "admin",
		"--acme.agree", "--acme.ca", "https://127.0.0.1:1/directory", "--acme.challenges", "http-01",
	}}).synced()
	testkit.Eventually(t, "there is a root and a leaf", func() bool {
		_, err := os.Stat(filepath.Join(p.state, "acme", "live", "app.localhost.pem"))
		return err == nil
	})
	for _, s := range looked() {
		tb := b.open("http://"+p.admin, s)
		for name, path := range map[string]string{"certificates": "/certificates", "explain-https": "/routes?url=https://app.localhost/", "explain-failed": "/routes?url=https://blog.example.com/"} {
			tb.visit(path)
			tb.until(live)
			tb.fits(name, s)
			tb.shot(name + "-" + s.name)
		}
		tb.clean()
	}
	address := "https://app.localhost:" + secure + "/"
	if state := securityOf(b, address); state == "secure" {
		t.Error("the browser trusts a root that it has never seen")
	}
	trust(p.admin)
	// A browser reads its store when it starts.
	if state := securityOf(needChromium(t), address); state != "secure" {
		t.Errorf("the browser calls it %q; store: %s", state, home)
	}
}

// browserHome is an empty home with a store of roots, and what runs `fairway trust` for it: not
// as root, so that the store of the system stays as it is.
func browserHome(t *testing.T) (home string, trust func(admin string)) {
	t.Helper()
	home, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	t.Setenv("HOME", home)
	return home, func(admin string) {
		t.Helper()
		binary := filepath.Join(home, "fairway")
		data, err := os.ReadFile(lab.binary)
		if err == nil {
			err = os.WriteFile(binary, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "trust", "--admin", "http://"+admin)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		if os.Geteuid() == 0 {
			const stranger = 65534
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
			err := filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Lchown(path, stranger, stranger)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		out, err := cmd.CombinedOutput() // it fails for the system's store
		if _, missing := os.Stat(filepath.Join(home, ".pki", "nssdb", "cert9.db")); missing != nil {
			t.Fatalf("fairway trust: %v\n%s", err, out)
		}
		t.Logf("fairway trust: %s", out)
	}
}

// securityOf is what a browser calls an address: secure, insecure, insecure-broken.
func securityOf(b *browser, address string) (state string) {
	b.t.Helper()
	tb := b.open("", desktop)
	events := chromedp.Events(tb.ctx, security.VisibleSecurityStateChanged)
	if _, err := chromedp.Call(tb.ctx, security.Enable, cdp.Empty{}); err != nil {
		b.t.Fatal(err)
	}
	within, cancel := context.WithTimeout(tb.ctx, testkit.Patience)
	defer cancel()
	if err := chromedp.Do(within, chromedp.Navigate(address)); err != nil {
		return err.Error()
	}
	for e, err := range events {
		if err != nil {
			b.t.Fatal(err)
		}
		if s := e.VisibleSecurityState; s.CertificateSecurityState != nil {
			return string(s.SecurityState)
		}
	}
	return ""
}
