package render

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy/handshake"
	"fairway/internal/engine/haproxy/lua"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

const fileLua = "fairway.lua"

// baseSection is what all sections inherit, httpSection what those for requests do.
const baseSection, httpSection = "base", "http"

// peersSection keeps tables of clients over a reload; localPeer is this process.
const peersSection, localPeer = "workers", "fairway"

const (
	mapRoutes      = "routes"      // where a request goes
	mapHosts       = "hosts"       // the hosts that routes name
	mapSettings    = "settings"    // "starting" while nothing is known
	mapGroups      = "groups"      // hosts with guarded matches
	mapGuarded     = "guarded"     // where a guarded match leads
	mapServices    = "services"    // the service of a route
	mapSticky      = "sticky"      // cookies, and the servers they mean
	mapCookies     = "cookies"     // the other way round
	mapChecks      = "checks"      // the host that the check of a server asks for
	mapConnections = "connections" // where a connection goes
	mapGuardedTCP  = "guarded-tcp" // where a guarded match of a connection leads
	mapUsers       = "users"       // hashes of passwords that are quick to check
)

type renderer struct {
	o         *Options
	table     *route.Table
	features  Features
	hostRules *handshake.Rules

	isTCP     map[*route.Route]bool // routes for connections
	asksQuery bool                  // a guarded match asks for parameters of the query

	// What the table asks for.
	profiles              map[string]profile
	sections              []Section      // those in use: shared ones, each once, and dedicated ones
	own                   []*route.Route // those that have a dedicated section
	requests, connections claims
	services              []MapEntry
	hosts                 []MapEntry
	users                 []MapEntry
	shared                map[slotKey]string // sections of backends; empty: not handed out yet
	slots                 *slots
}

func (o Options) withDefaults() Options {
	o.HardStopAfter = cmp.Or(o.HardStopAfter, 30*time.Minute)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 120*time.Second)
	o.ClientTimeout = cmp.Or(o.ClientTimeout, 60*time.Second)
	o.DialTimeout = cmp.Or(o.DialTimeout, 3*time.Second)
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 60*time.Second)
	o.TunnelTimeout = cmp.Or(o.TunnelTimeout, time.Hour)
	o.Spares = cmp.Or(o.Spares, 50)
	o.AdminSocket = cmp.Or(o.AdminSocket, filepath.Join(o.Dir, "admin.sock"))
	return o
}

// Render writes the configuration that means t. previous is the configuration that
// runs, nil when none does: what it has is kept as far as that saves a reload. The
// error is a fault of the options, or a table that is more than this engine takes;
// it names the part.
func Render(t *route.Table, previous *Config, o Options) (*Config, error) {
	for _, path := range []string{o.Dir, o.AdminSocket, o.LogSocket} {
		if !quote.IsArgument(strings.ReplaceAll(path, "/", "")+"x") || path != "" && !filepath.IsAbs(path) || o.Dir == "" {
			return nil, fmt.Errorf("render: the path %q is not absolute, or has other characters than letters, digits, \".\", \"-\" and \"_\"", path)
		}
	}
	o = o.withDefaults()
	if previous != nil {
		c, err := render(t, previous, &o, false)
		if err != nil || c.Structure.Hash() == previous.Structure.Hash() {
			return c, err
		}
	}
	// There will be a reload: the time to clean up and to refill.
	return render(t, previous, &o, true)
}

// render is Render. Unless fresh is set, everything that previous has stays in.
func render(t *route.Table, previous *Config, o *Options, fresh bool) (*Config, error) {
	r := &renderer{o: o, table: t, hostRules: handshake.NewRules(t.TLSHosts())}
	r.plan(previous)
	if n := len(r.requests.guarded) + len(r.connections.guarded); n > maxGuards {
		return nil, fmt.Errorf("render: %d matches with conditions or expressions are more than %d", n, maxGuards)
	}
	if !fresh {
		r.features = r.features.with(previous.Features)
	}
	c := &Config{
		Features: r.features, Files: map[string][]byte{fileLua: lua.File(o.Pages)}, Sections: r.allSections(fresh),
		Maps: r.maps(), CertLists: r.certLists(),
	}
	r.writeBlocks(c)
	if !fresh {
		c.keep(previous)
	}
	slices.SortFunc(c.Sections, func(a, b Section) int { return strings.Compare(a.Name, b.Name) })
	c.assemble()
	return c, nil
}

// with adds what other features look at.
func (f Features) with(other Features) Features {
	deep := slices.Concat(f.Deep, other.Deep)
	slices.Sort(deep)
	slices.Reverse(deep)
	return Features{Priorities: f.Priorities || other.Priorities, Deep: slices.Compact(deep)}
}

// writeBlocks writes the blocks, each behind what it inherits from.
func (r *renderer) writeBlocks(c *Config) {
	add := func(name, kept string, write func(t *text)) *Block {
		var t text
		write(&t)
		c.Blocks = append(c.Blocks, Block{Name: name, Kept: kept, Text: t.String()})
		return &c.Blocks[len(c.Blocks)-1]
	}
	add("global settings", "", r.writeGlobal)
	add("rules for requests", "", r.writeRequests)
	add("answers", "", r.writeAnswers)
	for _, name := range slices.Sorted(maps.Keys(r.profiles)) {
		p := r.profiles[name]
		add("profile "+name, name, func(t *text) { p.write(r, t) }).Each = p.each()
	}
	for _, q := range r.own {
		add("rules of route "+q.ID, dedicatedName(q.ID), func(t *text) { r.writeOwn(t, q) })
	}
	for i := range r.table.Listeners {
		l := &r.table.Listeners[i]
		if !r.o.Leave[l.Name] {
			add("listener "+l.Name, "", func(t *text) { r.writeListener(t, l) })
		}
	}
	if s := r.o.Extra.Statistics; s != nil && s.Address.IsValid() {
		add("statistics", "", r.writeStatistics)
	}
}

// keep takes over what is not needed any more, dedicated sections without their servers.
func (c *Config) keep(previous *Config) {
	has := map[string]bool{}
	for _, b := range c.Blocks {
		has[b.Name] = true
	}
	for _, b := range previous.Blocks {
		if b.Kept == "" || has[b.Name] {
			continue
		}
		c.Blocks = append(c.Blocks, b)
		if s := previous.Section(b.Kept); s != nil {
			empty := *s
			empty.Backend, empty.Servers = "", nil
			c.Sections = append(c.Sections, empty)
		}
	}
}

// assemble makes the structure, the marker and the text of blocks and sections.
func (c *Config) assemble() {
	spares := map[string][]byte{}
	for i := range c.Sections {
		if s := &c.Sections[i]; s.Profile != "" {
			spares[s.Profile] = append(append(spares[s.Profile], s.Name...), ' ')
		}
	}
	part := func(name, text string) {
		c.Structure.Parts = append(c.Structure.Parts, Part{Name: name, Digest: hashed(text, 16)})
	}
	for _, b := range c.Blocks {
		part(b.Name, quote.Plain(b.Text+b.Each))
	}
	for profile, names := range spares {
		part("set of spare sections of profile "+profile, string(names))
	}
	for name, content := range c.Files {
		part("file "+name, string(content))
	}
	slices.SortFunc(c.Structure.Parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })

	body := quote.Plain(c.body())
	c.Marker = c.Structure.Hash() + "." + hashed(body, 16)
	c.Text = []byte(c.withMarker(body))
}

func (c *Config) withMarker(body string) string {
	return "# Written by Fairway. Changes made here are lost.\n\nglobal\n  set-var " + socket.MarkerVariable + " str(" + c.Marker + ")" +
		strings.TrimPrefix(body, "\nglobal")
}

// body is the text with its marks, without the marker.
func (c *Config) body() string {
	var t text
	each := map[string]string{}
	for _, b := range c.Blocks {
		t.WriteString(b.Text)
		if s := c.Section(b.Kept); s != nil {
			s.writeServers(&t)
		}
		each[b.Kept] = b.Each
	}
	for i := range c.Sections {
		if s := &c.Sections[i]; s.Profile != "" {
			s.write(&t, each[s.Profile])
		}
	}
	return t.String()
}

// write writes a shared section with its servers.
func (s *Section) write(t *text, each string) {
	t.WriteString("\nbackend " + s.Name + " from profile-" + s.Profile + "\n")
	t.WriteString(each)
	if s.Backend != "" {
		t.WriteString("  # service " + quote.Comment(s.Service) + ", backend " + quote.Comment(s.Backend) + "\n")
	}
	s.writeServers(t)
}

func (s *Section) writeServers(t *text) {
	for i := range s.Servers {
		v := &s.Servers[i]
		options := ""
		if v.Options != "" {
			options = " " + v.Options
		}
		if v.State != route.EndpointReady {
			options += " disabled"
		}
		t.WriteString("  # " + quote.Comment(v.Endpoint) + "\n")
		t.WriteString("  server " + v.Name + " " + v.Address.String() + " weight " + itoa(v.Weight) + options + "\n")
	}
}

// writeGlobal writes the settings of the process, and what all sections inherit.
func (r *renderer) writeGlobal(t *text) {
	o := r.o
	t.section("global")
	t.line("stats socket %s mode 600 level admin expose-fd listeners", quote.Word(o.AdminSocket))
	t.line("stats timeout 1m")
	t.line("localpeer %s", localPeer)
	t.line("set-var-fmt %s %s", varPage, quote.Word(quote.Literal(errorpage.Head)))
	// With it a large body is lost more often when another server is tried.
	t.since("2.9", "tune.disable-zero-copy-forwarding")
	t.since("3.1", "tune.lua.bool-sample-conversion normal")
	t.line("lua-load-per-thread %s", quote.Word(filepath.Join(o.Dir, fileLua)))
	t.line("hard-stop-after %s", span(o.HardStopAfter))
	t.line("mworker-max-reloads 25")
	if o.Threads > 0 {
		t.line("nbthread %d", o.Threads)
	}
	if o.MaxConnections > 0 {
		t.line("maxconn %d", o.MaxConnections)
	}
	t.line("tune.http.maxhdr %d", 2*maxHeaders) // the rest has an answer of ours
	t.line("ssl-default-bind-options ssl-min-ver TLSv1.2")
	t.line("tune.ssl.default-dh-param 2048")
	if handshake.AsksHosts(r.table.TLSHosts()) {
		t.line("tune.ssl.cachesize 0")
	}

	t.byOperator(o.Extra.Global)
	r.writeRing(t)

	// What is counted for clients goes over to the next worker at a reload.
	t.section("peers %s", peersSection)
	t.line("peer %s unix@%s", localPeer, filepath.Join(o.Dir, "peers.sock"))

	t.section("defaults %s", baseSection)
	t.line("timeout connect %s", span(o.DialTimeout))
	t.line("timeout client %s", span(o.ClientTimeout))
	t.since("3.0", "timeout client-hs "+span(o.HeaderTimeout)) // before it is the one of clients
	t.line("timeout server %s", span(o.ResponseTimeout))
	t.line("timeout queue 1s")
	t.line("timeout tunnel %s", span(o.TunnelTimeout))
	t.line("option redispatch 1")
	t.line("retries 3")

	t.section("defaults %s from %s", httpSection, baseSection)
	t.line("mode http")
	t.line("timeout http-request %s", span(o.HeaderTimeout))
	t.line("timeout http-keep-alive %s", span(o.IdleTimeout))
	t.line("option abortonclose")
	t.line("option idle-close-on-response")
	t.line("retry-on conn-failure empty-response")
	t.since("3.2", "option http-drop-request-trailers")
	writeErrors(t)
}
