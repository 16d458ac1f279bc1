package certs

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/metrics"
	"fairway/internal/route"
)

// Coverage knows the certificates of a table's listeners and what they cover. Its methods
// may be called from any goroutine.
type Coverage struct {
	own     []route.Listener
	store   *Store
	looking sync.Mutex // held while files are read

	mu     sync.Mutex
	table  *route.Table
	newest *Inventory // nil before the first look
}

// NewCoverage makes one that has read nothing yet. dirs are as in New; own are listeners of Fairway itself,
// whose certificates are listed and cover no route.
func NewCoverage(log *slog.Logger, dirs []string, own ...route.Listener) *Coverage {
	return &Coverage{store: New(log, dirs...), own: own}
}

// rereadNames is how often certificates are looked at again while the table stays.
const rereadNames = time.Minute

// Of returns the inventory of a table, which may be nil, as it was at most a minute ago.
// While another goroutine reads files it is the one before.
func (c *Coverage) Of(t *route.Table, now time.Time) *Inventory {
	if t == nil {
		t = &route.Table{}
	}
	newest, fresh := c.known(t, now)
	if !fresh && c.looking.TryLock() { // others go on with what is known
		defer c.looking.Unlock()
		newest = c.renew(t, now)
	}
	if newest == nil {
		return &Inventory{At: now}
	}
	return newest
}

// Exact is as Of, but waits while another goroutine reads files: what it returns is of this
// table.
func (c *Coverage) Exact(t *route.Table, now time.Time) *Inventory {
	if t == nil {
		t = &route.Table{}
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	if newest, fresh := c.known(t, now); fresh {
		return newest
	}
	return c.renew(t, now)
}

// known is the newest inventory, nil before the first, and whether it will do for a table.
func (c *Coverage) known(t *route.Table, now time.Time) (newest *Inventory, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest, c.newest != nil && c.table == t && now.Sub(c.newest.At) < rereadNames
}

// renew reads the files. It needs looking.
func (c *Coverage) renew(t *route.Table, now time.Time) *Inventory {
	newest := c.look(t, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table, c.newest = t, newest
	return newest
}

// Measure shows when the certificates of the live table end, by name. Of two for a name it
// is the one that ends first.
func (c *Coverage) Measure(m *metrics.Set, live func() *route.Table) {
	ends := m.Family(metrics.KindGauge, "fairway_certificate_expiry_timestamp_seconds", "When the certificate for a name ends, in seconds since 1970.", "name")
	m.Collect(func(s *metrics.Scrape) {
		seen := map[string]bool{}
		for _, u := range c.Of(live(), time.Now()).Certificates {
			for _, name := range u.Names {
				if !seen[name] {
					seen[name] = true
					s.Put(ends, float64(u.NotAfter.Unix()), name)
				}
			}
		}
	})
}

func (c *Coverage) look(t *route.Table, now time.Time) *Inventory {
	listeners := slices.Concat(t.Listeners, c.own)
	c.store.Keep(listeners)
	c.store.Reload()
	found := map[route.Certificate]*Use{}
	for _, l := range listeners {
		if !l.TLS {
			continue
		}
		for _, name := range l.Certificates {
			if found[name] == nil {
				found[name] = c.use(name)
			}
			if !slices.Contains(found[name].Listeners, l.Name) {
				found[name].Listeners = append(found[name].Listeners, l.Name)
			}
		}
	}
	return inventory(t, found, now)
}

// use is a certificate as its file has it.
func (c *Coverage) use(name route.Certificate) *Use {
	pairs, err := c.store.Pairs([]route.Certificate{name})
	if err == nil && pairs[0] == nil {
		err = c.store.pairs.fault(name)
	}
	if err != nil {
		return &Use{File: name.CertFile, Host: name.Host, Error: err.Error()}
	}
	u := pairs[0].use()
	u.File, u.Host = name.CertFile, name.Host
	if fault := c.store.pairs.fault(name); fault != nil {
		u.Error = fault.Error() + "; what it held before is in use"
	}
	return u
}

// Use is a certificate of listeners, and what it is used for.
type Use struct {
	// File is where the certificate is. Host is the one that a label has named it for; empty
	// where it answers for all its names.
	File, Host string
	// Error says why the file cannot be used; empty when it can. The fields below are
	// empty where nothing was ever read of it.
	Error string
	// Names are its DNS names and addresses, in lower case; Issuer is who has signed
	// it, "self-signed" for itself; Key the kind of its key: "ECDSA P-256".
	Names               []string
	Issuer, Key         string
	NotBefore, NotAfter time.Time
	// Listeners have it, and Routes are those whose hosts it answers for; both are sorted.
	Listeners, Routes []string
}

// Uncovered is a host that is served over HTTPS, or redirected there, without a
// certificate for it.
type Uncovered struct {
	// Host is as routes have it, with "*." for a wildcard.
	Host string
	// Routes have the host; sorted.
	Routes []string
	// Text says what is wrong, Hint what to do.
	Text, Hint string
}

// Inventory is the certificates of a table at one moment. It is immutable.
type Inventory struct {
	At time.Time
	// Certificates are sorted by when they end; those that cannot be read come first.
	Certificates []Use
	// Uncovered are sorted by host. There is none where it is not known: when a
	// certificate cannot be read, and where no listener ends TLS and a trusted proxy in
	// front may.
	Uncovered []Uncovered

	faults  map[string]Uncovered // by route
	covered *covering
}

// Fault says what is wrong with the certificates that a route needs, in words, and what to
// do about it: one is missing for a host that is served over HTTPS alone, or has expired.
// Both are empty for nothing, and where that is not known.
func (i *Inventory) Fault(routeID string) (text, hint string) {
	return i.faults[routeID].Text, i.faults[routeID].Hint
}

// Shown says what is wrong with the certificate that a client gets who asks for a host over
// HTTPS, and what to do about it. Both are empty for nothing, and where that is not known.
func (i *Inventory) Shown(host string) (text, hint string) {
	j := i.covered
	if j == nil || !j.known {
		return "", ""
	}
	if !j.ends {
		return "no listener takes HTTPS", giveCertificate(host)
	}
	for _, l := range j.table.Listeners {
		if u := j.answering(l, host); u != nil {
			return j.outOfTime(host, u)
		}
	}
	for name, u := range j.found {
		if name.Host == host && u.Error != "" {
			return unusable(host, u)
		}
	}
	return "no certificate covers " + host + ", and clients are warned", addCertificate(host)
}

// Answering is the certificate that a listener of the table shows to a client that asks for a
// host, and whether it covers the host; nil where there is none, and the handshake fails.
func (i *Inventory) Answering(l route.Listener, host string) (u *Use, covers bool) {
	j := i.covered
	if j == nil {
		return nil, false
	}
	if u := j.answering(l, host); u != nil {
		return u, true
	}
	for _, c := range l.Certificates {
		if c.Host == "" {
			return j.found[c], false
		}
	}
	return nil, false
}

func giveCertificate(name string) string {
	return "give Fairway a certificate for " + name + ": fairway run --tls.certificates CERT.PEM,KEY.PEM"
}

func addCertificate(name string) string {
	return "add a certificate for " + name + " to tls.certificates, as CERT.PEM,KEY.PEM"
}

// inventory says what certificates are used for, and what lacks one. found is consumed.
func inventory(t *route.Table, found map[route.Certificate]*Use, now time.Time) *Inventory {
	i := &Inventory{At: now, faults: map[string]Uncovered{}}
	known := true
	for _, u := range found {
		known = known && (u.Host != "" || !u.NotAfter.IsZero())
	}
	ends := slices.ContainsFunc(t.Listeners, func(l route.Listener) bool { return l.TLS })
	if !ends {
		known = known && !slices.ContainsFunc(t.Listeners, func(l route.Listener) bool { return len(l.TrustedProxies) > 0 })
	}
	j := &covering{inventory: i, table: t, found: found, ends: ends, known: known, now: now, hosts: map[string]*Uncovered{}}
	i.covered = j
	if known {
		for _, r := range t.Routes {
			j.route(r)
		}
		for _, u := range j.hosts {
			i.Uncovered = append(i.Uncovered, *u)
		}
		slices.SortFunc(i.Uncovered, func(a, b Uncovered) int { return strings.Compare(a.Host, b.Host) })
	}
	for _, u := range found {
		if slices.Equal(u.Names, []string{Placeholder}) {
			continue
		}
		slices.Sort(u.Listeners)
		i.Certificates = append(i.Certificates, *u)
	}
	slices.SortFunc(i.Certificates, func(a, b Use) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), strings.Compare(a.File, b.File))
	})
	return i
}

// covering goes through the routes of a table.
type covering struct {
	inventory *Inventory
	table     *route.Table
	found     map[route.Certificate]*Use
	ends      bool // a listener ends TLS
	known     bool // what is covered
	now       time.Time
	hosts     map[string]*Uncovered
}

func (j *covering) route(r *route.Route) {
	if r.Refused != "" {
		return
	}
	redirects := slices.ContainsFunc(r.Filters, func(f route.Filter) bool { return f.RedirectHTTPS != nil })
	needs := redirects || slices.ContainsFunc(r.Filters, func(f route.Filter) bool { return f.RequireTLS != nil || f.RequireClientCert != nil })
	for _, m := range r.Matches {
		name := m.Host.CertificateName()
		j.named(r, name)
		plain, tls := j.listeners(m, redirects)
		switch {
		case name == "" || len(tls) == 0 && !redirects:
			continue
		case !j.ends:
			j.lacks(r, name, true, "it redirects to HTTPS, and no listener takes HTTPS",
				giveCertificate(name)+"; or take the label fairway.redirect-https=true away")
			continue
		}
		covered := false
		for _, l := range tls {
			if u := j.answering(l, name); u != nil {
				covered = true
				j.uses(r, name, u)
			}
		}
		if !covered {
			why := "it is served over HTTPS"
			if redirects {
				why = "it redirects to HTTPS"
			}
			j.lacks(r, name, needs || len(plain) == 0, why+", and no certificate covers "+name, addCertificate(name))
		}
	}
}

// named notes that the file that a label names for a host cannot be used.
func (j *covering) named(r *route.Route, host string) {
	if r.TLS == route.TLSAuto || r.TLS == route.TLSOff || r.TLS == route.TLSInternal {
		return
	}
	if u := j.found[route.Certificate{CertFile: r.TLS, KeyFile: r.TLS, Host: host}]; u != nil && u.Error != "" {
		text, hint := unusable(host, u)
		j.fault(r, text, hint)
	}
}

// unusable says why the file that a label names for a host cannot be used, and what to do.
func unusable(host string, u *Use) (text, hint string) {
	return u.Error, "put a PEM file there with a certificate for " + host + ", its chain and its key, that Fairway may read; it is reread within seconds"
}

// listeners are those by which requests for a match come in, and those with TLS; the last
// are all where requests are redirected to them.
func (j *covering) listeners(m route.Match, redirects bool) (plain, tls []route.Listener) {
	for _, l := range j.table.Listeners {
		in := !l.TCP
		for _, c := range m.Conditions {
			in = in && (c.Kind != route.ConditionListener || slices.Contains(c.Values, l.Name) != c.Not)
		}
		switch {
		case l.TLS && (in || redirects):
			tls = append(tls, l)
		case in:
			plain = append(plain, l)
		}
	}
	return plain, tls
}

// answering is the certificate that a listener shows for a name: the first with that name,
// else with the wildcard of one label (RFC 6125, 6.4.3); nil for none of that name.
func (j *covering) answering(l route.Listener, name string) *Use {
	if _, err := netip.ParseAddr(name); err == nil { // clients send no address as server name
		if len(l.Certificates) > 0 && slices.Contains(j.found[l.Certificates[0]].Names, name) {
			return j.found[l.Certificates[0]]
		}
		return nil
	}
	_, parent, _ := strings.Cut(name, ".")
	for _, wanted := range []string{name, "*." + parent} {
		for _, bound := range []bool{true, false} {
			for _, c := range l.Certificates {
				if u := j.found[c]; bound == (c.Host != "") && slices.Contains(u.Names, wanted) {
					return u
				}
			}
		}
	}
	return nil
}

// uses notes that a route uses a certificate, and when that does not hold now.
func (j *covering) uses(r *route.Route, name string, u *Use) {
	if !slices.Contains(u.Routes, r.ID) { // routes are sorted
		u.Routes = append(u.Routes, r.ID)
	}
	if text, hint := j.outOfTime(name, u); text != "" {
		j.fault(r, text, hint)
	}
}

// outOfTime says that a certificate does not hold now, and what to do.
func (j *covering) outOfTime(name string, u *Use) (text, hint string) {
	switch {
	case j.now.After(u.NotAfter):
		return fmt.Sprintf("the certificate for %s has expired: %s", name, u.File), "renew it; the file is reread when it changes"
	case j.now.Before(u.NotBefore):
		return fmt.Sprintf("the certificate for %s does not hold yet: %s", name, u.File), "see that the clock of this machine is right: date"
	}
	return "", ""
}

// fault notes what is wrong with a route, the first thing alone.
func (j *covering) fault(r *route.Route, text, hint string) {
	if j.inventory.faults[r.ID].Text == "" {
		j.inventory.faults[r.ID] = Uncovered{Text: text, Hint: hint}
	}
}

// lacks notes a host without a certificate; needed says that the route cannot be used so.
func (j *covering) lacks(r *route.Route, name string, needed bool, text, hint string) {
	if needed {
		j.fault(r, text, hint)
	}
	u := j.hosts[name]
	if u == nil {
		u = &Uncovered{Host: name, Text: text, Hint: hint}
		j.hosts[name] = u
	}
	if !slices.Contains(u.Routes, r.ID) {
		u.Routes = append(u.Routes, r.ID)
	}
}
