// Package ui is the pages of the admin API for people: server-rendered HTML with
// style and script of our own, which show what the API answers and let
// operators ask for what it offers. It knows nothing else.
//
// Without script every page can be read; script keeps what is shown current,
// draws what moves, and sends what an operator asks for.
//
// Names are hostile: everyone who may start a container chooses them. Every value that
// a template writes is escaped for its place by html/template, and made visible
// and bounded by show before (see text.go); the content security policy lets
// nothing run that is not a file of this package.
package ui

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fairway/internal/api"
)

// contentPolicy is sent with every page. Scripts and styles are files of this
// package, and scripts may make HTML of text in one place alone (morph.js).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types fairway"

// readTime bounds what a page asks of the operations.
const readTime = 10 * time.Second

// Pages serves the pages. Serve may be called from any goroutine.
type Pages struct {
	log       *slog.Logger
	templates map[string]*template.Template // by name of the page
	assets    *assets
	mux       *http.ServeMux  // finds the page of a path
	pages     map[string]page // by pattern of mux
	now       func() time.Time
}

// New parses the pages. A nil logger logs nothing.
func New(log *slog.Logger) (*Pages, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Pages{log: log, mux: http.NewServeMux(), pages: map[string]page{}, now: time.Now}
	for _, e := range pages() {
		p.pages[e.path] = e.page
		p.mux.Handle(e.path, http.NotFoundHandler()) // it is only asked which pattern fits
	}
	var err error
	if p.assets, err = newAssets(); err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	if p.templates, err = parseTemplates(p.assets); err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	return p, nil
}

// call is one request for a page.
type call struct {
	context.Context
	r   *http.Request
	q   url.Values
	ask *api.Client
	who api.Identity
	now time.Time
}

// may says whether the viewer may do what needs a role.
func (c *call) may(role string) bool { return api.MayAct(c.who.Role, role) }

// page is one page.
type page struct {
	// name is that of the template, and of the entry in the navigation.
	name  string
	title string
	// role is the least role that is shown the page in the navigation.
	role string
	// key is the letter that leads to it from everywhere, after a g.
	key string
	// asks is set where a form is sent to the page, which changes nothing either.
	asks bool
	// read asks for what the template shows.
	read func(p *Pages, c *call) (any, error)
}

// pages lists the pages by path. Those with a title are in the navigation, in
// this order.
func pages() []struct {
	path string
	page page
} {
	return []struct {
		path string
		page page
	}{
		{"/{$}", page{name: "overview", title: "Overview", key: "o", read: (*Pages).overview}},
		{"/services", page{name: "services", title: "Services", key: "s", read: (*Pages).services}},
		{"/services/{name...}", page{name: "service", read: (*Pages).service}},
		{"/routes", page{name: "routes", title: "Routes", key: "r", read: (*Pages).routes}},
		{"/problems", page{name: "problems", title: "Problems", key: "p", read: (*Pages).problems}},
		{"/nodes", page{name: "nodes", title: "Nodes", key: "n", read: (*Pages).nodes}},
		{"/nodes/{name...}", page{name: "node", read: (*Pages).node}},
		{"/events", page{name: "events", title: "Events", key: "e", read: (*Pages).events}},
		{"/history", page{name: "history", title: "History", key: "h", read: (*Pages).history}},
		{"/history/{number}", page{name: "entry", read: (*Pages).entry}},
		{"/plan", page{name: "plan", title: "Plan", key: "l", asks: true, read: (*Pages).plan}},
		{"/fleet", page{name: "fleet", title: "Fleet", key: "f", read: (*Pages).fleet}},
		{"/fleet/{name...}", page{name: "document", read: (*Pages).document}},
		{"/access", page{name: "access", title: "Access", role: api.RoleAdmin, key: "a", read: (*Pages).access}},
		{"/sign-in", page{name: "signin", read: (*Pages).signIn}},
	}
}

// Serve answers a request for a page or for a file that pages need.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, ask *api.Client, who api.Identity) {
	if p.assets.serve(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	c := &call{Context: ctx, r: r, q: r.URL.Query(), ask: ask, who: who, now: p.now()}
	_, pattern := p.mux.Handler(r)
	found := p.pages[pattern]
	name := found.name
	if r.Method == http.MethodPost && !found.asks {
		name = ""
	}
	if who.Role == "" && name != "signin" {
		to := url.Values{"to": {r.URL.RequestURI()}}
		http.Redirect(w, r, "/sign-in?"+to.Encode(), http.StatusSeeOther)
		return
	}
	var data any
	err := error(&api.Error{Status: http.StatusNotFound, Title: "Not Found", Detail: "There is no such page."})
	switch {
	case name != "" && found.role != "" && !c.may(found.role):
		err = &api.Error{Status: http.StatusForbidden, Title: "Not for you", Detail: "This page needs the role " + found.role + "."}
	case name != "":
		data, err = found.read(p, c)
	}
	if err != nil {
		p.fail(w, c, err)
		return
	}
	p.render(w, c, found, http.StatusOK, data)
}

// fail shows an error as a page.
func (p *Pages) fail(w http.ResponseWriter, c *call, err error) {
	e := &api.Error{Status: http.StatusInternalServerError, Title: "Something went wrong", Detail: "The log says more."}
	if refused, ok := errors.AsType[*api.Error](err); ok {
		e = refused
	} else {
		p.log.Error("page failed", "path", c.r.URL.Path, "error", err)
	}
	p.render(w, c, page{name: "error"}, e.Status, e)
}

// frame is what every page shows around its own part.
type frame struct {
	Page   string
	Title  string
	Nav    []navItem
	Who    api.Identity
	Info   api.Info
	Asset  string // prefix of the files
	Path   string // of the page, with the query
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
		Page: of.name, Title: of.title, Who: c.who, Asset: p.assets.prefix, Path: c.r.URL.RequestURI(), Data: data, Now: c.now,
		SignIn: c.who.By == api.ByNothing && c.who.Role != api.RoleAdmin,
	}
	if c.who.Role != "" {
		info, err := c.ask.Info(c)
		if err != nil {
			p.log.Error("page failed", "path", c.r.URL.Path, "error", err)
		}
		f.Info = info
		f.Nav = p.nav(c, of, info)
	}
	if t, ok := data.(interface{ title() string }); ok {
		f.Title = t.title()
	}
	var b bytes.Buffer
	if err := p.templates[of.name].ExecuteTemplate(&b, "layout", f); err != nil {
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

// nav lists the pages that the viewer may see.
func (p *Pages) nav(c *call, of page, info api.Info) []navItem {
	here := map[string]string{"service": "services", "node": "nodes", "entry": "history", "document": "fleet"}
	var items []navItem
	for _, e := range pages() {
		if e.page.title == "" || e.page.role != "" && !c.may(e.page.role) {
			continue
		}
		item := navItem{Name: e.page.name, Title: e.page.title, Path: strings.TrimSuffix(e.path, "{$}"), Key: e.page.key}
		item.Here = e.page.name == cmp.Or(here[of.name], of.name)
		if item.Name == "problems" {
			item.Count = info.Table.Problems
		}
		items = append(items, item)
	}
	return items
}

// bad is a request for a page that makes no sense.
func bad(detail string) error {
	return &api.Error{Status: http.StatusBadRequest, Title: "Bad Request", Detail: detail}
}
