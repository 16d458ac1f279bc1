// Package ui is the pages of the admin API for people: server-rendered HTML with
// style and script of our own, which show what the API answers and let
// operators ask for what it offers. It knows nothing else.
//
// Without script every page can be read.
//
// Names are hostile: everyone who may start a container chooses them. Every value that
// a template writes is escaped for its place by html/template, and made visible
// and bounded by show before (see text.go); the content security policy lets
// nothing run that is not a file of this package.
package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fairway/internal/admin/ui/answered"
	"fairway/internal/admin/ui/assets"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
	"fairway/internal/human"
)

// contentPolicy is sent with every page. Scripts and styles are files of this
// package, and scripts may make HTML of text in one place alone (morph.js).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types fairway"

// readTime bounds what a page asks of the operations.
const readTime = 10 * time.Second

// Pages serves the pages. Serve may be called from any goroutine.
type Pages struct {
	// Issuer is the name of the issuer that people may sign in at; empty for none. It is
	// set before the first request.
	Issuer string

	log       *slog.Logger
	templates map[string]func() (*template.Template, error) // by name of the page
	assets    *assets.Assets
	mux       *http.ServeMux  // finds the page of a path
	pages     map[string]page // by their path, a pattern of mux
	now       func() time.Time
}

// New returns the pages; their templates are parsed when they are shown. A nil logger logs nothing.
func New(log *slog.Logger) (*Pages, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Pages{log: log, mux: http.NewServeMux(), pages: map[string]page{}, now: time.Now}
	for _, one := range pages() {
		p.pages[one.path] = one
		p.mux.Handle(one.path, http.NotFoundHandler()) // it is only asked which pattern fits
	}
	var err error
	if p.assets, err = assets.New(); err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	if p.templates, err = templates(p.assets); err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	return p, nil
}

type call struct {
	context.Context
	issuer string
	r      *http.Request
	q      url.Values
	ask    *api.Client
	who    api.Identity
	now    time.Time
}

// may is true for a viewer who may do what needs a role.
func (c *call) may(role string) bool { return api.MayAct(c.who.Role, role) }

// unanswered is the panic of must.
type unanswered struct{ error }

// must returns an answer. An error ends the reading of the page; page.data returns it.
func must[T any](answer T, err error) T {
	if err != nil {
		panic(unanswered{err})
	}
	return answer
}

// problem is the error of a page that cannot be shown.
func problem(status int, title, detail string) error {
	return &api.Error{Status: status, Title: title, Detail: detail}
}

type page struct {
	path string
	name string // of the template
	// title is empty where it depends on the data.
	title string
	role  string // the least that is shown the page
	// key leads to it, after a g; empty for pages outside the navigation.
	key  string
	asks bool // a form is sent to the page, which changes nothing either
	// read asks for what the template shows, with must.
	read func(c *call) (any, error)
}

// pages lists the pages, in the order of the navigation.
func pages() []page {
	return []page{
		{path: "/{$}", name: "overview", title: "Overview", key: "o", read: readOverview},
		{path: "/services", name: "services", title: "Services", key: "s", read: readServices},
		{path: "/services/{name...}", name: "service", read: readService},
		{path: "/instances/{name...}", name: "instance", read: readInstance},
		{path: "/routes", name: "routes", title: "Routes", key: "r", read: readRoutes},
		{path: "/routes/{name...}", name: "route", read: readRoute},
		{path: "/problems", name: "problems", title: "Problems", key: "p", read: readProblems},
		{path: "/certificates", name: "certificates", title: "Certificates", key: "c", read: readCertificates},
		{path: "/sources", name: "sources", title: "Sources", key: "u", read: readSources},
		{path: "/nodes", name: "nodes", title: "Nodes", key: "n", read: readNodes},
		{path: "/nodes/{name...}", name: "node", read: readNode},
		{path: "/names", name: "names", title: "Names", key: "m", read: func(c *call) (any, error) { return answered.Read(c, c.ask, c.r.URL.Path, c.q) }},
		{path: "/events", name: "events", title: "Events", key: "e", read: readEvents},
		{path: "/history", name: "history", title: "History", key: "h", read: readHistory},
		{path: "/history/{number}", name: "entry", read: readEntry},
		{path: "/plan", name: "plan", title: "Plan", key: "l", asks: true, read: readPlan},
		{path: "/fleet", name: "fleet", title: "Fleet", key: "f", read: readFleet},
		{path: "/fleet/{name...}", name: "document", read: readDocument},
		{path: "/access", name: "access", title: "Access", role: api.RoleAdmin, key: "a", read: readAccess},
		{path: "/owners", name: "owners", title: "Owners", read: readOwners},
		{path: "/labels", name: "labels", title: "Labels", read: readLabels},
		{path: "/search", name: "search", title: "Search", read: readSearch},
		{path: "/sign-in", name: "signin", title: "Sign in", read: readSignIn},
	}
}

// data reads what the page shows, for those who may see it.
func (of page) data(c *call) (data any, err error) {
	defer func() {
		if e := recover(); e != nil {
			failed, ok := e.(unanswered)
			if !ok {
				panic(e)
			}
			err = failed.error
		}
	}()
	switch {
	case of.read == nil:
		return nil, problem(http.StatusNotFound, "Not Found", "There is no such page.")
	case of.role != "" && !c.may(of.role):
		return nil, problem(http.StatusForbidden, "Not allowed", "This page needs the role "+of.role+".")
	}
	return of.read(c)
}

// Serve answers a request for a page or for a file that pages need.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, ask *api.Client, who api.Identity) {
	if p.assets.Serve(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	c := &call{Context: ctx, issuer: p.Issuer, r: r, q: r.URL.Query(), ask: ask, who: who, now: p.now()}
	_, pattern := p.mux.Handler(r)
	of := p.pages[pattern]
	if r.Method == http.MethodPost && !of.asks {
		of = page{}
	}
	if who.Role == "" && of.name != "signin" {
		to := url.Values{"to": {r.URL.RequestURI()}}
		http.Redirect(w, r, "/sign-in?"+to.Encode(), http.StatusSeeOther)
		return
	}
	data, err := of.data(c)
	if err == nil {
		var done bool
		if done, err = p.export(w, c, of, data); done {
			return
		}
	}
	if err == nil {
		p.render(w, c, of, http.StatusOK, data)
		return
	}
	shown, ok := errors.AsType[*api.Error](err)
	if !ok {
		p.log.Error("page failed", "path", r.URL.Path, "error", err)
		shown = &api.Error{Status: http.StatusInternalServerError, Title: "Something went wrong", Detail: "The log says more."}
	}
	p.render(w, c, page{name: "error"}, shown.Status, shown)
}

// frame is what every page shows around its own part.
type frame struct {
	Page   string
	Title  string
	Nav    []navItem
	Who    api.Identity
	Info   api.Info
	Status api.Status   // how everything is doing
	Hold   *api.Command // the rollback or pin in force; nil for none
	May    bool         // the viewer may release it
	Asset  string       // prefix of the files
	Path   string       // of the page, with the query
	Data   any
	Now    time.Time
	SignIn bool // one could do more by signing in
}

type navItem struct {
	Name, Title, Path, Key string
	Here                   bool
	Count                  int // a number beside it; zero for none
}

// render writes a page whole or not at all.
func (p *Pages) render(w http.ResponseWriter, c *call, of page, code int, data any) {
	f := frame{
		Page: of.name, Title: of.title, Who: c.who, Asset: p.assets.Prefix, Path: c.r.URL.RequestURI(), Data: data, Now: c.now,
		SignIn: c.who.By == api.ByNothing && c.who.Role != api.RoleAdmin,
	}
	if c.who.Role != "" {
		p.around(c, &f)
		f.Nav = p.nav(c, of, f.Info)
	}
	if t, ok := data.(interface{ title() string }); ok {
		f.Title = t.title()
	}
	var b bytes.Buffer
	t, err := p.templates[of.name]()
	if err == nil {
		err = t.ExecuteTemplate(&b, "layout", f)
	}
	if err != nil {
		p.log.Error("page cannot be written", "page", of.name, "error", err)
		http.Error(w, "This page cannot be shown; the log says why.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy)
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // the client may have gone
}

// around asks for what every page shows; a page without it is better than none.
func (p *Pages) around(c *call, f *frame) {
	var errs [3]error
	var commands api.List[api.Command]
	f.Info, errs[0] = c.ask.Info(c)
	f.Status, errs[1] = c.ask.Status(c)
	commands, errs[2] = c.ask.Commands(c)
	f.Hold, f.May = inForce(commands.Items, isHold), c.may(api.RoleOperator)
	if err := errors.Join(errs[:]...); err != nil {
		p.log.Error("page failed", "path", c.r.URL.Path, "error", err)
	}
}

// chip is the word at the top of every page.
type chip struct{ Health, Text, Why string }

// Chip says how everything is doing, or that it begins or ends.
func (f frame) Chip() chip {
	out := chip{Health: signs.Of(api.Condition{State: f.Status.State}), Text: map[string]string{
		api.StateHealthy: "Healthy", api.StateHeld: "Held", api.StateDegraded: "Degraded", api.StateRefused: "Refused", api.StateDown: "Down",
	}[f.Status.State]}
	if f.Status.State == api.StateHeld && f.Hold != nil {
		out.Text += " by " + f.Hold.Kind
	}
	begins := map[string]chip{
		api.StateStarting: {signs.Broken, "Starting", "Nothing is served yet"},
		api.StateRestored: {signs.Waiting, "Restored", "The table of the last run is served; no source has answered yet"},
		api.StatePartial:  {signs.Waiting, "Some sources missing", "Some sources have not answered in this run"},
		api.StateDraining: {signs.Waiting, "Draining", "Fairway ends: what runs may finish, nothing new is accepted"},
	}[f.Info.Table.State]
	switch {
	case begins.Health != "" && !isTrouble(out.Health):
		return begins
	case out.Text == "":
		return chip{signs.Waiting, "Unknown", "Nothing was observed yet"}
	case len(f.Status.Findings) > 0:
		out.Why = f.Status.Findings[0].Text
		if n := len(f.Status.Findings); n > 1 {
			out.Why = fmt.Sprintf("%s (and %d more)", human.Excerpt(out.Why, maxShown-20), n-1)
		}
	}
	return out
}

// nav lists the pages that the viewer may see.
func (p *Pages) nav(c *call, of page, info api.Info) []navItem {
	var items []navItem
	for _, e := range pages() {
		if e.key == "" || e.role != "" && !c.may(e.role) {
			continue
		}
		item := navItem{Name: e.name, Title: e.title, Path: strings.TrimSuffix(e.path, "{$}"), Key: e.key}
		item.Here = e.path == of.path || strings.HasPrefix(of.path, e.path+"/")
		if item.Name == "problems" {
			item.Count = info.Table.Problems
		}
		items = append(items, item)
	}
	return items
}

type accessData struct {
	Tokens []api.Token
	listing.List[api.AuditEntry]
	Roles []string
}

const maxAudit = 1000 // entries that are looked at

func readAccess(c *call) (any, error) {
	d := accessData{Tokens: must(c.ask.Tokens(c)).Items, Roles: api.Roles()}
	d.List = listing.New(c.r.URL.Path, c.q, must(c.ask.Audit(c, maxAudit)).Items, func(e api.AuditEntry, words []string, filter string) bool {
		return (filter != "refused" || e.Status >= http.StatusBadRequest) && listing.Has(words, e.Who, e.Role, e.From, e.Operation, e.Text)
	},
		listing.Most("when", func(e api.AuditEntry) int64 { return e.At.Unix() }),
		listing.Text("who", func(e api.AuditEntry) string { return e.Who }),
		listing.Most("answer", func(e api.AuditEntry) int { return e.Status }))
	return d, nil
}
