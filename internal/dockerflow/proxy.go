package dockerflow

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Posted keeps the services that calls bring. Put returns the service that had the
// ID before; Replace takes a list that is complete.
type Posted interface {
	Put(*catalog.Service) (before *catalog.Service, err error)
	Remove(id string) (had bool, err error)
	Replace(from string, services []*catalog.Service) (changed bool, err error)
	Services() []*catalog.Service
}

// Certificates keeps the certificates that calls bring. Put refuses what is none
// and names that are no names of plain files.
type Certificates interface {
	Put(name string, pem []byte) error
	Names() ([]string, error)
	Get(name string) ([]byte, error)
}

// Catalogue has the snapshots. *catalog.Feed is one.
type Catalogue interface {
	Newest() *catalog.Snapshot
	Next(ctx context.Context, have *catalog.Snapshot) (*catalog.Snapshot, error)
}

// Tables has the live table. *feed.Feed[route.Table] is one.
type Tables interface {
	// Newest returns the live table, or nil before the first.
	Newest() *route.Table
	// Changed returns a channel that is closed when another table is live.
	Changed() <-chan struct{}
}

// ProxyOptions are what NewProxy needs. The parts are required; a zero duration
// means the default that is named with it.
type ProxyOptions struct {
	Posted       Posted
	Certificates Certificates
	Catalogue    Catalogue
	Tables       Tables
	// Metrics answers /metrics.
	Metrics http.Handler
	// Statistics are those of the engine in the form in which HAProxy shows its own: CSV,
	// with the names of the columns in the first line. Not every engine has every column.
	Statistics func(context.Context) ([]byte, error)
	// ConfigText is the configuration that HAProxy runs, without passwords, or nil. It is
	// nil itself when something else serves the table.
	ConfigText func() []byte
	Settings   Settings
	// ShownLabel returns the value of a com.df.* label without secrets; nil shows none.
	ShownLabel func(key, value string) string

	// ServiceName is this proxy's for Docker's DNS (proxy), Port that of its replicas'
	// APIs (8080).
	ServiceName string
	Port        string
	// CheckAddress refuses a service whose name cannot be resolved.
	CheckAddress bool
	// Listeners are the Swarm Listeners from which all services are pulled at start:
	// a host, host:port or a URL each.
	Listeners []string
	// PullInterval is the pause between two pulls (5 s); Repeat goes on after a success.
	PullInterval time.Duration
	Repeat       bool

	// Deadline bounds a call to other replicas or to a listener (5 s).
	Deadline time.Duration
	// LiveWait is how long a call waits for its change to be served (2 s).
	LiveWait time.Duration
	// Lookup resolves a name; the default asks the system.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Own reports whether an address, with its port, is this replica's.
	Own    func(address string) bool
	Logger *slog.Logger
}

// Proxy is the API of Docker Flow Proxy. It is an http.Handler.
type Proxy struct {
	o      ProxyOptions
	log    *slog.Logger
	mux    *http.ServeMux
	client *http.Client
	// replicas are the other replicas of this proxy, which get certificates with keys.
	replicas *peers
	pulled   atomic.Bool // from one listener at least
	adopted  atomic.Bool // the other replicas were asked for certificates, once
}

// NewProxy returns the API.
func NewProxy(o ProxyOptions) (*Proxy, error) {
	if o.Posted == nil || o.Certificates == nil || o.Catalogue == nil || o.Tables == nil || o.Metrics == nil || o.Statistics == nil {
		return nil, errors.New("dockerflow: a part of the proxy's API is missing")
	}
	o.ServiceName = cmp.Or(o.ServiceName, "proxy")
	o.Port = cmp.Or(o.Port, "8080")
	o.PullInterval = cmp.Or(o.PullInterval, 5*time.Second)
	o.Deadline = cmp.Or(o.Deadline, 5*time.Second)
	o.LiveWait = cmp.Or(o.LiveWait, 2*time.Second)
	o.Lookup = bounded(o.Lookup)
	if o.ShownLabel == nil {
		o.ShownLabel = hideLabel
	}
	if o.Own == nil {
		o.Own = ownAddress
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	p := &Proxy{o: o, log: o.Logger, mux: http.NewServeMux(), client: newClient()}
	p.replicas = &peers{names: []string{"tasks." + o.ServiceName}, lookup: o.Lookup, deadline: o.Deadline}
	handle(p.mux, proxyPath+"reconfigure", p.carryOut(o.Settings.judge, p.configure))
	handle(p.mux, proxyPath+"remove", p.carryOut(call.nameless, p.forget))
	handle(p.mux, proxyPath+"reload", p.reload)
	handle(p.mux, proxyPath+"cert", p.cert)
	handle(p.mux, proxyPath+"certs", p.certs)
	handle(p.mux, proxyPath+"config", p.config)
	handle(p.mux, proxyPath+"metrics", p.statistics)
	handle(p.mux, proxyPath+"ping", func(w http.ResponseWriter, _ *http.Request) { p.reply(w, done(""), call{}) })
	handle(p.mux, proxyPath+"successfulinitreload", p.initReload)
	handle(p.mux, "/v1/test", test)
	handle(p.mux, "/v2/test", test)
	handle(p.mux, "/metrics", o.Metrics.ServeHTTP)
	return p, nil
}

// ServeHTTP answers a call.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { serve(p.mux, w, r) }

// newClient makes a client for calls to others, which are rare, and whose receivers move.
// Each call has a deadline of its own.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// serviceReply is what came of a call, and what was understood.
type serviceReply struct {
	Status, Message string
	echo
}

// echo shows a service without what is secret.
func (p *Proxy) echo(c call) echo {
	shown := make(map[string]string, len(c.params))
	for name, value := range c.params {
		shown[name] = p.o.ShownLabel(LabelPrefix+name, value)
	}
	return p.o.Settings.echo(c.service, shown)
}

func (p *Proxy) reply(w http.ResponseWriter, v verdict, c call) {
	answer(w, v.code, serviceReply{v.status(), v.message, p.echo(c)})
}

// readRequest reads the call and its body. What the query says of distribute wins: a
// replica that passes a call on says no there.
func readRequest(r *http.Request) (c call, body []byte, distribute bool, err error) {
	if body, err = io.ReadAll(r.Body); err != nil {
		return call{}, nil, false, fmt.Errorf("the body cannot be read: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := r.ParseForm(); err != nil {
		return call{}, nil, false, errors.New("the parameters cannot be read: they are not form-encoded")
	}
	query := r.URL.Query()
	c = readCall(query, r.Form)
	distribute = c.params["distribute"] != ""
	if query.Has("distribute") {
		distribute = yes(query.Get("distribute"))
	}
	delete(c.params, "distribute")
	if distribute {
		c.params["distribute"] = "true"
	}
	return c, body, distribute, nil
}

// carryOut answers a call that changes a service, here or on all replicas.
func (p *Proxy) carryOut(judge func(call) (verdict, bool), do func(context.Context, call) verdict) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, body, distribute, err := readRequest(r)
		v, decided := judge(c)
		switch {
		case err != nil:
			v = refuse(http.StatusBadRequest, err.Error())
		case decided:
		case distribute:
			v = p.everywhere(r, body, func(ctx context.Context) verdict { return do(ctx, c) })
		default:
			v = do(r.Context(), c)
		}
		p.reply(w, v, c)
	}
}

// configure carries out a call on this replica.
func (p *Proxy) configure(ctx context.Context, c call) verdict {
	s := p.o.Settings
	if s.foreign(c) {
		return done("this service is for another proxy instance")
	}
	if p.o.CheckAddress {
		host := cmp.Or(s.destinations(c.params)[0].OutboundHostname, c.service)
		ctx, cancel := context.WithTimeout(ctx, p.o.Deadline)
		defer cancel()
		if _, err := p.o.Lookup(ctx, host); err != nil {
			return refuse(http.StatusInternalServerError, "the address of the service cannot be found: "+host)
		}
	}
	if gone(c) {
		return p.forget(ctx, c)
	}
	service, err := p.posted(c)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	before, err := p.o.Posted.Put(service)
	if err != nil {
		p.log.Error("posted service cannot be kept", "service", c.service, "error", err)
		return refuse(http.StatusInternalServerError, "the service cannot be kept")
	}
	table := p.live(ctx, func(s *catalog.Snapshot) bool { return says(s, service) })
	if table == nil {
		return done("accepted; it is not served yet")
	}
	rejected, message := outcome(table, service.ID)
	if !rejected {
		return done(message)
	}
	// The one before goes on; where there was none, nothing is left behind.
	if before != nil {
		_, err = p.o.Posted.Put(before)
	} else {
		_, err = p.o.Posted.Remove(service.ID)
	}
	if err != nil {
		p.log.Error("refused service cannot be taken back", "service", c.service, "error", err)
	}
	return refuse(http.StatusInternalServerError, message)
}

// posted turns a call into the service to keep. A certificate that comes with it goes to
// the other certificates, and is no label.
func (p *Proxy) posted(c call) (*catalog.Service, error) {
	service := c.posted()
	text := c.params["serviceCert"]
	if text == "" {
		return service, nil
	}
	delete(service.Labels, LabelPrefix+"serviceCert")
	name := c.service
	if domains := p.o.Settings.destinations(c.params)[0].ServiceDomain; len(domains) > 0 {
		name = strings.TrimLeft(domains[0], "*.")
	}
	if err := p.o.Certificates.Put(name, []byte(strings.ReplaceAll(text, `\n`, "\n"))); err != nil {
		return nil, fmt.Errorf("serviceCert: %w", err)
	}
	return service, nil
}

// says reports whether a snapshot has a service as it was posted.
func says(s *catalog.Snapshot, want *catalog.Service) bool {
	return slices.ContainsFunc(s.Services, func(has *catalog.Service) bool {
		return has.ID == want.ID && maps.Equal(has.Labels, want.Labels)
	})
}

// outcome says what the table made of a service: whether nothing of what it asks for is
// served because its labels are at fault, and its problems. A lost contest is no fault: the
// service takes over when the other one goes.
func outcome(t *route.Table, id string) (rejected bool, message string) {
	served := false
	for _, r := range t.Routes {
		served = served || r.Service == id && r.Refused == "" && !r.Origin.Stale
	}
	var texts []string
	for _, problem := range t.Problems {
		if problem.Service != id {
			continue
		}
		rejected = rejected || problem.Code != route.CodeConflict
		text := problem.Text
		if problem.Label != "" {
			text = problem.Label + ": " + text
		}
		if problem.Hint != "" {
			text += " (" + problem.Hint + ")"
		}
		texts = append(texts, text)
	}
	return rejected && !served, strings.Join(texts, "; ")
}

// live waits for the table of a snapshot that fits; nil when that takes too long.
func (p *Proxy) live(ctx context.Context, fits func(*catalog.Snapshot) bool) *route.Table {
	ctx, cancel := context.WithTimeout(ctx, p.o.LiveWait)
	defer cancel()
	s := p.o.Catalogue.Newest()
	for s == nil || !fits(s) {
		var err error
		if s, err = p.o.Catalogue.Next(ctx, s); err != nil {
			return nil
		}
	}
	for {
		changed := p.o.Tables.Changed()
		if t := p.o.Tables.Newest(); t != nil && t.Revision >= s.Revision {
			return t
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// forget removes a service. One that is not known is removed already.
func (p *Proxy) forget(ctx context.Context, c call) verdict {
	had, err := p.o.Posted.Remove(c.id())
	if err != nil {
		p.log.Error("posted service cannot be removed", "service", c.service, "error", err)
		return refuse(http.StatusInternalServerError, "the service cannot be removed")
	}
	if had {
		p.live(ctx, func(s *catalog.Snapshot) bool {
			return !slices.ContainsFunc(s.Services, func(has *catalog.Service) bool { return has.ID == c.id() })
		})
	}
	return done("")
}

// reload asks the listeners to announce everything again, if it is to, and does no more.
func (p *Proxy) reload(w http.ResponseWriter, r *http.Request) {
	v := done("")
	if yes(folded(r.URL.Query(), "fromListener")) {
		if err := p.askListeners(r.Context()); err != nil {
			v = refuse(http.StatusInternalServerError, err.Error())
		}
	}
	p.reply(w, v, call{})
}

// Waiting says what a new replica lacks before it can stand beside the others; once empty,
// for nothing, it stays so. Any goroutine may call it.
func (p *Proxy) Waiting() string {
	switch {
	case len(p.o.Listeners) > 0 && !p.pulled.Load():
		return "services have not been pulled from a listener yet"
	case !p.adopted.Load():
		return "certificates of other replicas have not been asked for yet"
	}
	return ""
}

func (p *Proxy) initReload(w http.ResponseWriter, _ *http.Request) {
	if len(p.o.Listeners) > 0 && !p.pulled.Load() {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// config shows what is served, or the services that com.df.* labels describe.
func (p *Proxy) config(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("type") == "json" {
		answer(w, http.StatusOK, p.services())
		return
	}
	var text []byte // stays nil before there is a configuration, or a table
	if p.o.ConfigText != nil {
		text = p.o.ConfigText()
	} else if table := p.o.Tables.Newest(); table != nil {
		text = []byte(table.String())
	}
	if text == nil {
		answer(w, http.StatusInternalServerError, reply{statusNOK, "there is no configuration yet"})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text) // a client that went away needs no answer
}

// services are those of the newest snapshot and those just posted.
func (p *Proxy) services() map[string]echo {
	list := p.o.Posted.Services()
	if s := p.o.Catalogue.Newest(); s != nil {
		for _, service := range s.Services {
			if service.Source != Source {
				list = append(list, service)
			}
		}
	}
	all := map[string]echo{}
	for _, service := range list {
		params, _ := ownLabels(service.Labels, asWritten)
		if len(params) == 0 {
			continue
		}
		if service.Replicas != nil {
			params["replicas"] = fmt.Sprint(*service.Replicas)
		}
		c := call{service.Name, params}
		if _, refused := p.o.Settings.judge(c); !refused {
			all[service.Name] = p.echo(c)
		}
	}
	return all
}

// test is what demonstrations of the original ask for.
func test(w http.ResponseWriter, r *http.Request) {
	version, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	answer(w, http.StatusOK, reply{statusOK, "Test " + version})
}

// maxStatistics bounds what is taken from another replica.
const maxStatistics = 64 << 20

// statistics are those of the engine; with distribute, those of all replicas.
func (p *Proxy) statistics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), p.o.Deadline)
	defer cancel()
	all, err := p.o.Statistics(ctx)
	if err == nil && yes(folded(r.URL.Query(), "distribute")) {
		var others []byte
		others, err = p.otherStatistics(ctx, r)
		all = append(all, others...)
	}
	if err != nil {
		p.log.Warn("statistics cannot be read", "error", err)
		answer(w, http.StatusInternalServerError, reply{statusNOK, "the statistics cannot be read"})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(all) // a client that went away needs no answer
}

// otherStatistics asks the other replicas.
func (p *Proxy) otherStatistics(ctx context.Context, r *http.Request) ([]byte, error) {
	siblings, err := p.siblings(ctx)
	if err != nil {
		return nil, err
	}
	answers, errs := askAll(siblings, func(address string) ([]byte, error) { return p.passOn(ctx, r, nil, address, maxStatistics) })
	return slices.Concat(answers...), cmp.Or(errs...)
}
