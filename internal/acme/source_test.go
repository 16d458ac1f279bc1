package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/acme/ca"
	"fairway/internal/route"
)

// replacing notes which orders are to replace a certificate.
type replacing struct {
	*issuer
	replaced []bool
}

func (r *replacing) Obtain(ctx context.Context, name string, leaf *x509.Certificate, attempt int) (*ca.Bundle, error) {
	b, err := r.issuer.Obtain(ctx, name, leaf, attempt)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replaced = append(r.replaced, leaf != nil)
	return b, err
}

// own is an internal authority.
type own struct {
	*issuer
	mu            sync.Mutex
	running, most int
	fault         error
}

func (o *own) Issue(_ context.Context, name string) (certPEM, keyPEM []byte, err error) {
	o.mu.Lock()
	o.running++
	o.most = max(o.most, o.running)
	fault := o.fault
	o.mu.Unlock()
	time.Sleep(time.Second)
	o.mu.Lock()
	o.running--
	o.mu.Unlock()
	if fault != nil {
		return nil, nil, fault
	}
	b := o.bundle(name)
	return b.CertPEM, b.KeyPEM, nil
}

// TestSourceChanges: certificates of another authority than the one that is configured are
// replaced at once, by orders that replace none; those of the same one are not.
func TestSourceChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := &replacing{issuer: newIssuer(t)}, memoryDir(t)
		for _, directory := range []string{"https://staging/dir", "https://staging/dir", "https://other/dir"} {
			w := start(t, dir, i, func(o *Options) { o.Directory = directory })
			w.tables.Publish(table(t, "a.example.com"))
			time.Sleep(time.Hour)
			w.stop()
		}
		if !slices.Equal(i.replaced, []bool{false, false}) {
			t.Errorf("orders that replace %v", i.replaced)
		}
		w := start(t, dir, i, func(o *Options) { o.Directory = "https://other/dir" })
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(63 * 24 * time.Hour)
		w.stop()
		if !slices.Equal(i.replaced, []bool{false, false, true}) {
			t.Errorf("after a renewal: orders that replace %v", i.replaced)
		}
		w = start(t, dir, i, func(o *Options) { o.Directory = "https://third/dir" })
		defer w.stop()
		if err := w.Revoke(t.Context(), "a.example.com", 0); err == nil || !strings.Contains(err.Error(), "another authority") {
			t.Errorf("revoked at another authority: %v", err)
		}
	})
}

// TestInternalAuthority: what the internal authority has issued is revoked nowhere, also
// when no route wants it any more; and of many that are issued few are at a time.
func TestInternalAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		o := &own{issuer: i}
		w := start(t, memoryDir(t), i, func(opts *Options) { opts.Authority = o })
		defer w.stop()
		var hosts []string
		for n := range 40 {
			hosts = append(hosts, fmt.Sprintf("h%d.internal", n))
		}
		w.tables.Publish(table(t, hosts...))
		time.Sleep(time.Minute)
		o.mu.Lock()
		atOnce := o.most
		o.mu.Unlock()
		if n := len(w.Certificates()) - 1; n != 40 || atOnce > maxRunning {
			t.Errorf("%d certificates, %d at a time", n, atOnce)
		}
		w.tables.Publish(table(t))
		time.Sleep(time.Second)
		if err := w.Revoke(t.Context(), "h1.internal", 0); err == nil || !strings.Contains(err.Error(), "own authority") {
			t.Errorf("revoked: %v", err)
		}
	})
}

// TestOwnAuthorityFails: that it fails is reported once, also across a restart, and that it works
// again; it says nothing of the authority outside, which is down all the time.
func TestOwnAuthorityFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := newIssuer(t), memoryDir(t)
		i.set(func(string) error { return &ca.Failure{Kind: ca.Unavailable, Text: "connection refused"} })
		o := &own{issuer: i, fault: errors.New("the disk is full")}
		var events []string
		for _, fault := range []error{o.fault, o.fault, nil} {
			o.fault = fault
			w := start(t, dir, i, func(opts *Options) { opts.Authority = o })
			w.tables.Publish(table(t, "a.internal", "b.internal", "c.example.com"))
			time.Sleep(7 * time.Hour)
			w.stop()
			events = append(events, w.events...)
		}
		slices.Sort(events)
		if want := []string{"fails", OwnAuthority + " fails", OwnAuthority + " works"}; !slices.Equal(events, want) {
			t.Errorf("reported %q", events)
		}
	})
}

// TestInternalWildcard: an internal wildcard takes no public certificate from a host below it.
func TestInternalWildcard(t *testing.T) {
	made := table(t, "*.example.com", "a.example.com", "b.example.com")
	for _, r := range made.Routes {
		if r.ID != "a.example.com" {
			r.TLS = route.TLSInternal
		}
	}
	var got []string
	for _, w := range wants(made, nil, false, true) {
		got = append(got, fmt.Sprint(w.Name, " ", w.Internal))
	}
	if text := strings.Join(got, "; "); text != "*.example.com true; a.example.com false" {
		t.Error(text)
	}
	if got := wants(made, []string{"*.example.com"}, false, true); len(got) != 0 {
		t.Errorf("below a covered wildcard: %v", got)
	}
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		w := start(t, memoryDir(t), i, func(o *Options) { o.Wildcards, o.Authority = true, &own{issuer: i} })
		defer w.stop()
		w.tables.Publish(made)
		time.Sleep(time.Minute)
		w.tables.Publish(table(t, "a.example.com", "c.example.com"))
		time.Sleep(time.Minute)
		if got := w.names(); got != "*.example.com a.example.com c.example.com" || len(i.ordered("a.example.com")) != 1 {
			t.Errorf("names %s", got)
		}
	})
}

// TestLongName: a name that no file has room for holds up no other, and says why.
func TestLongName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("a234567890.", 21) + "example.com"
		i := newIssuer(t)
		w := start(t, memoryDir(t), i)
		defer w.stop()
		w.tables.Publish(table(t, long, "b.example.com"))
		time.Sleep(time.Minute)
		v := w.View()
		if w.names() != "b.example.com" || v.Error != "" || v.Names[0].State != StateFailed || !strings.Contains(v.Names[0].Error, "230") || !v.Names[0].Next.IsZero() {
			t.Errorf("%s, %+v", w.names(), v)
		}
		if err := w.Renew(t.Context(), long); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("renewed: %v", err)
		}
		if r, _ := challenges(table(t, long), nil, nil, false, "127.0.0.1:1"); r != nil {
			t.Error("challenges of a name that none is ordered for")
		}
	})
}

// TestLocalFault: a certificate that cannot be written is no fault of the authority.
func TestLocalFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := newIssuer(t), memoryDir(t)
		w := start(t, dir, i)
		defer w.stop()
		if err := os.Mkdir(filepath.Join(dir, "live", "a.example.com.pem"), 0o700); err != nil {
			t.Fatal(err)
		}
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(time.Minute)
		if v := w.View(); w.names() != "" || v.Error != "" || v.Names[0].State != StateFailed {
			t.Errorf("%s, %+v", w.names(), v)
		}
	})
}

// TestReportsAreClosed: what was reported as failing is reported as good after a restart, and
// when nothing wants the name any more.
func TestReportsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := newIssuer(t), memoryDir(t)
		refuse := func(string) error { return &ca.Failure{Kind: ca.Refused, Text: "caa: no"} }
		i.set(refuse)
		w := start(t, dir, i)
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(time.Minute)
		w.stop()
		i.set(nil)
		w = start(t, dir, i)
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(time.Hour)
		w.stop()
		if got := strings.Join(w.events, "; "); got != "a.example.com works" {
			t.Errorf("after a restart: %s", got)
		}
		w = start(t, dir, i)
		defer w.stop()
		i.set(refuse)
		w.tables.Publish(table(t, "a.example.com", "b.example.com"))
		time.Sleep(time.Minute)
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(time.Minute)
		w.tables.Publish(table(t))
		time.Sleep(time.Minute)
		w.stop()
		if got := strings.Join(w.events, "; "); got != "b.example.com fails; b.example.com works" {
			t.Errorf("when it is not wanted: %s", got)
		}
	})
}

// TestSuccessIsSaved: a process that is killed after a success does not begin with the failure
// before it.
func TestSuccessIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := newIssuer(t), memoryDir(t)
		i.set(func(string) error { return &ca.Failure{Kind: ca.Refused, Text: "caa: no"} })
		w := start(t, dir, i)
		defer w.stop()
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(30 * time.Second)
		i.set(func(name string) error {
			if name == "b.example.com" {
				time.Sleep(5 * time.Minute) // under way when a.example.com has come
			}
			return nil
		})
		w.tables.Publish(table(t, "a.example.com", "b.example.com"))
		time.Sleep(3 * time.Minute)
		data, err := os.ReadFile(filepath.Join(dir, stateFile))
		if err != nil || strings.Contains(string(data), "caa: no") {
			t.Errorf("%s, %v", data, err)
		}
	})
}

// TestFileNames: no host has the file of another, of a wildcard or of the placeholder.
func TestFileNames(t *testing.T) {
	k := &Keeper{live: "live"}
	seen := map[string]bool{filepath.Join("live", placeholderFile): true}
	for _, host := range []string{"_placeholder", "placeholder", "wildcard_.example.com", "*.example.com", "_x.example.com", "example.com"} {
		file := k.fileOf(host)
		if seen[file] || hostOf(filepath.Base(file)) != host {
			t.Errorf("%s is in %s, which is of %q", host, file, hostOf(filepath.Base(file)))
		}
		seen[file] = true
	}
	if n := len(filepath.Base(k.fileOf("*." + strings.Repeat("a", maxName-2)))); n+len("..4294967295.tmp") > 255 {
		t.Error("no room for the name while it is written")
	}
}

// TestRenewWithoutAuthority: nothing says that it is ordered where nothing ever is.
func TestRenewWithoutAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, memoryDir(t), newIssuer(t))
		defer w.stop()
		w.tables.Publish(table(t, "a.internal"))
		time.Sleep(time.Second)
		if err := w.Renew(t.Context(), "a.internal"); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("renewed: %v", err)
		}
	})
}
