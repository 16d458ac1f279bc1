package certs

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/metrics"
	"fairway/internal/route"
)

// asking is a route for a host, in labels' form.
func asking(id, host string, filters ...route.Filter) *route.Route {
	h := route.Host{Kind: route.HostExact, Value: host}
	if parent, wild := strings.CutPrefix(host, "*."); wild {
		h = route.Host{Kind: route.HostWildcard, Value: parent}
	}
	if host == "" {
		h = route.Host{Kind: route.HostAny}
	}
	return &route.Route{ID: id, Service: id, Filters: filters, Matches: []route.Match{{Host: h, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}}
}

// TestCoverage says which routes cannot be used for lack of a certificate, which hosts have
// none, and nothing where it cannot know.
func TestCoverage(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := func(name string) route.Certificate {
		return route.Certificate{CertFile: filepath.Join(dir, name+".crt"), KeyFile: filepath.Join(dir, name+".key")}
	}
	write(t, file("one"), "shop.example")
	write(t, file("wild"), "*.blog.example")
	writeUntil(t, file("old"), "old.example", now.Add(-time.Hour))
	https := func(names ...string) route.Listener {
		l := route.Listener{Name: "https", TLS: true}
		for _, name := range names {
			l.Certificates = append(l.Certificates, file(name))
		}
		return l
	}
	plain, behind := route.Listener{Name: "http"}, route.Listener{Name: "http", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	redirect := route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}
	httpsAlone := asking("a", "other.example")
	httpsAlone.Matches[0].Conditions = []route.Condition{{Kind: route.ConditionListener, Values: []string{"https"}}}
	httpAlone := asking("a", "other.example")
	httpAlone.Matches[0].Conditions = []route.Condition{{Kind: route.ConditionListener, Values: []string{"https"}, Not: true}}
	refused := asking("a", "other.example", redirect)
	refused.Refused = "bad label"
	for name, tt := range map[string]struct {
		listeners []route.Listener
		route     *route.Route
		fault     string // of the route
		hint      string
		uncovered string // host
	}{
		"its name":                    {listeners: []route.Listener{plain, https("wild", "one")}, route: asking("a", "shop.example", redirect)},
		"a wildcard":                  {listeners: []route.Listener{plain, https("one", "wild")}, route: asking("a", "a.blog.example", redirect)},
		"a wildcard of one label":     {listeners: []route.Listener{plain, https("wild")}, route: asking("a", "a.b.blog.example", redirect), fault: "no certificate covers a.b.blog.example", hint: "add a certificate for a.b.blog.example to tls.certificates", uncovered: "a.b.blog.example"},
		"a wildcard host":             {listeners: []route.Listener{plain, https("wild")}, route: asking("a", "*.blog.example", redirect)},
		"a wildcard host without":     {listeners: []route.Listener{plain, https("wild")}, route: asking("a", "*.shop.example", redirect), fault: "no certificate covers *.shop.example", uncovered: "*.shop.example"},
		"every host":                  {listeners: []route.Listener{plain, https("one")}, route: asking("a", "", redirect)},
		"redirected without HTTPS":    {listeners: []route.Listener{plain}, route: asking("a", "shop.example", redirect), fault: "it redirects to HTTPS, and no listener takes HTTPS", hint: "--tls.certificates CERT.PEM,KEY.PEM; or take the label fairway.redirect-https=true away", uncovered: "shop.example"},
		"redirected without a name":   {listeners: []route.Listener{plain, https("one")}, route: asking("a", "other.example", redirect), fault: "it redirects to HTTPS, and no certificate covers other.example", hint: "add a certificate for other.example", uncovered: "other.example"},
		"served both ways without":    {listeners: []route.Listener{plain, https("one")}, route: asking("a", "other.example"), uncovered: "other.example"},
		"served over HTTPS alone":     {listeners: []route.Listener{plain, https("one")}, route: httpsAlone, fault: "it is served over HTTPS, and no certificate covers other.example", uncovered: "other.example"},
		"served over HTTP alone":      {listeners: []route.Listener{plain, https("one")}, route: httpAlone},
		"asks for TLS":                {listeners: []route.Listener{plain, https("one")}, route: asking("a", "other.example", route.Filter{RequireTLS: &route.RequireTLS{}}), fault: "no certificate covers other.example", uncovered: "other.example"},
		"no HTTPS, and not asked for": {listeners: []route.Listener{plain}, route: asking("a", "shop.example")},
		"a proxy before":              {listeners: []route.Listener{behind}, route: asking("a", "shop.example", redirect)},
		"unreadable":                  {listeners: []route.Listener{plain, https("none")}, route: asking("a", "shop.example", redirect)},
		"expired":                     {listeners: []route.Listener{plain, https("old")}, route: asking("a", "old.example"), fault: "the certificate for old.example has expired", hint: "renew it"},
		"refused":                     {listeners: []route.Listener{plain, https("one")}, route: refused},
		"an address without":          {listeners: []route.Listener{plain, https("one")}, route: asking("a", "10.0.0.1", redirect), fault: "no certificate covers 10.0.0.1", uncovered: "10.0.0.1"},
	} {
		found := NewCoverage(slog.New(slog.DiscardHandler), nil).Of(&route.Table{Listeners: tt.listeners, Routes: []*route.Route{tt.route}}, now)
		fault, hint := found.Fault("a")
		if !strings.Contains(fault, tt.fault) || (fault == "") != (tt.fault == "") || !strings.Contains(hint, tt.hint) {
			t.Errorf("%s: fault %q, hint %q", name, fault, hint)
		}
		uncovered := ""
		for _, u := range found.Uncovered {
			uncovered += u.Host
		}
		if uncovered != tt.uncovered {
			t.Errorf("%s: uncovered are %q", name, uncovered)
		}
	}
}

// TestExact: who has to know what this table's certificates cover waits for who reads files;
// everybody else goes on with what was known before.
func TestExact(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := route.Certificate{CertFile: filepath.Join(dir, "shop.crt"), KeyFile: filepath.Join(dir, "shop.key")}
	write(t, file, "shop.example")
	table := &route.Table{Listeners: []route.Listener{{Name: "https", TLS: true, Certificates: []route.Certificate{file}}}}
	c := NewCoverage(slog.New(slog.DiscardHandler), nil)
	c.looking.Lock() // another one reads
	if got := c.Of(table, now); len(got.Certificates) != 0 {
		t.Errorf("one that does not wait got %d certificates", len(got.Certificates))
	}
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			if got := c.Exact(table, now); len(got.Certificates) != 1 {
				t.Errorf("one that waits got %d certificates", len(got.Certificates))
			}
		})
	}
	c.looking.Unlock()
	waiting.Wait()
	first := c.Exact(table, now)
	if c.Exact(table, now) != first || c.Of(table, now) != first {
		t.Error("files are read again for the same table")
	}
	if got := c.Exact(nil, now); len(got.Certificates) != 0 {
		t.Errorf("no table has %d certificates", len(got.Certificates))
	}
}

// TestShown says what a client gets who asks for a host over HTTPS.
func TestShown(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := func(name string) route.Certificate {
		return route.Certificate{CertFile: filepath.Join(dir, name), KeyFile: filepath.Join(dir, name)}
	}
	write(t, file("one"), "shop.example")
	writeUntil(t, file("old"), "old.example", now.Add(-time.Hour))
	https := route.Listener{Name: "https", TLS: true, Certificates: []route.Certificate{file("one"), file("old")}}
	behind := route.Listener{Name: "http", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tt := range []struct {
		listener         route.Listener
		host, text, hint string
	}{
		{https, "shop.example", "", ""},
		{https, "other.example", "no certificate covers other.example, and clients are warned", "add a certificate for other.example"},
		{https, "10.0.0.1", "no certificate covers 10.0.0.1", "add a certificate"},
		{https, "old.example", "the certificate for old.example has expired", "renew it"},
		{route.Listener{Name: "http"}, "shop.example", "no listener takes HTTPS", "--tls.certificates CERT.PEM,KEY.PEM"},
		{route.Listener{Name: "https", TLS: true}, "10.0.0.1", "no certificate covers", "add a certificate"},
		{behind, "shop.example", "", ""},
	} {
		text, hint := NewCoverage(slog.New(slog.DiscardHandler), nil).Of(&route.Table{Listeners: []route.Listener{tt.listener}}, now).Shown(tt.host)
		if !strings.Contains(text, tt.text) || !strings.Contains(hint, tt.hint) || (text == "") != (tt.text == "") {
			t.Errorf("%s by %s: %q, %q", tt.host, tt.listener.Name, text, hint)
		}
	}
	if text, hint := (&Inventory{}).Shown("shop.example"); text+hint != "" {
		t.Errorf("of an empty inventory: %q, %q", text, hint)
	}
}

// TestInventory lists certificates with what they are used for, Fairway's own, those that
// cannot be read, and the ends in metrics.
func TestInventory(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := func(name string) route.Certificate {
		return route.Certificate{CertFile: filepath.Join(dir, name+".pem"), KeyFile: filepath.Join(dir, name+".pem")}
	}
	end := now.Add(30 * 24 * time.Hour).Truncate(time.Second)
	writeUntil(t, file("shop"), "Shop.example", end)
	write(t, file("admin"), "admin.example")
	own := route.Listener{Name: "admin", TLS: true, Certificates: []route.Certificate{file("admin")}}
	table := &route.Table{
		Listeners: []route.Listener{{Name: "http"}, {Name: "https", TLS: true, Certificates: []route.Certificate{file("none"), file("shop")}}, {Name: "more", TLS: true, Certificates: []route.Certificate{file("shop")}}},
		Routes:    []*route.Route{asking("a", "shop.example"), asking("b", "shop.example"), asking("c", "admin.example")},
	}
	c := NewCoverage(slog.New(slog.DiscardHandler), nil, own)
	certificates := c.Of(table, now).Certificates
	if len(certificates) != 3 {
		t.Fatalf("%d certificates", len(certificates))
	}
	none, admin, shop := certificates[0], certificates[1], certificates[2]
	if none.Error == "" || !none.NotAfter.IsZero() || admin.Names[0] != "admin.example" || strings.Join(admin.Listeners, " ") != "admin" || admin.Routes != nil {
		t.Errorf("got %+v and %+v", none, admin)
	}
	if shop.Names[0] != "shop.example" || shop.Issuer != "self-signed" || shop.Key != "ECDSA P-256" || !shop.NotAfter.Equal(end) ||
		strings.Join(shop.Listeners, " ") != "https more" || shop.Routes != nil || shop.File != file("shop").CertFile {
		t.Errorf("got %+v", shop) // while a file cannot be read, nothing is said of routes
	}
	write(t, file("none"), "none.example")
	certificates = c.Of(table, now.Add(rereadNames)).Certificates
	if shop = certificates[2]; strings.Join(shop.Routes, " ") != "a b" {
		t.Errorf("the routes are %q", shop.Routes)
	}
	if err := os.WriteFile(file("shop").CertFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	certificates = c.Of(table, now.Add(2*rereadNames)).Certificates
	if shop = certificates[2]; !strings.HasSuffix(shop.Error, "what it held before is in use") || shop.Names[0] != "shop.example" {
		t.Errorf("got %+v", shop)
	}
	var m metrics.Set
	c.Measure(&m, func() *route.Table { return table })
	var text bytes.Buffer
	if err := m.Write(&text); err != nil || !strings.Contains(text.String(), `fairway_certificate_expiry_timestamp_seconds{name="shop.example"} `) {
		t.Errorf("%v:\n%s", err, text.String())
	}
}

// TestNamedByALabel: a certificate for one host answers for it before others, is read below
// the directories of labels alone, and says what is wrong with it; the others stay known.
func TestNamedByALabel(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	general := route.Certificate{CertFile: filepath.Join(dir, "all.pem"), KeyFile: filepath.Join(dir, "all.pem")}
	write(t, general, "shop.example")
	file := filepath.Join(dir, "shop.pem")
	named := route.Certificate{CertFile: file, KeyFile: file, Host: "shop.example"}
	shop := asking("shop", "shop.example")
	shop.TLS = file
	table := &route.Table{Listeners: []route.Listener{{Name: "https", TLS: true, Certificates: []route.Certificate{general, named}}}, Routes: []*route.Route{shop}}
	of := func(dirs ...string) *Inventory {
		return NewCoverage(slog.New(slog.DiscardHandler), dirs).Of(table, now)
	}

	for name, tt := range map[string]struct {
		make  func()
		dirs  []string
		fault string // none: it is used
	}{
		"missing":       {fault: "no such file", dirs: []string{dir}},
		"for another":   {make: func() { write(t, named, "other.example") }, dirs: []string{dir}, fault: "is not for shop.example, but for \"other.example\""},
		"elsewhere":     {make: func() { write(t, named, "shop.example") }, dirs: []string{t.TempDir()}, fault: "not below a directory"},
		"no directory":  {make: func() { write(t, named, "shop.example") }, fault: "not below a directory"},
		"as it must be": {make: func() { write(t, named, "shop.example") }, dirs: []string{dir}},
		"by a wildcard": {make: func() { write(t, named, "*.example") }, dirs: []string{dir}},
	} {
		_ = os.Remove(file)
		if tt.make != nil {
			tt.make()
		}
		i := of(tt.dirs...)
		if text, hint := i.Fault("shop"); tt.fault == "" && text != "" || !strings.Contains(text, tt.fault) || (text == "") != (hint == "") {
			t.Errorf("%s: %q %q, want %q", name, text, hint, tt.fault)
		}
		for _, u := range i.Certificates {
			if wanted := u.File == file == (tt.fault == ""); (len(u.Routes) > 0) != wanted {
				t.Errorf("%s: %s is used by %v", name, u.File, u.Routes)
			}
		}
		if len(i.Uncovered) > 0 {
			t.Errorf("%s: not covered: %v", name, i.Uncovered)
		}
	}
}
