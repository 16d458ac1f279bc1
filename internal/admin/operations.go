package admin

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/access"
	"fairway/internal/admin/certified"
	"fairway/internal/admin/claims"
	"fairway/internal/admin/explain"
	"fairway/internal/admin/meter"
	"fairway/internal/admin/requests"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/api/anchor"
	"fairway/internal/api/rights"
	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/plan"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// Query parameters that several operations know.
var (
	byService = text("service", "ID or name of a service.")
	bySource  = text("source", "Name of a source.")
	byHost    = text("host", "Host name: keeps what could take a request for it.")
)

// operations is the table of what can be asked, which docs/api.md describes.
func (s *Server) operations() []operation {
	return slices.Concat([]operation{
		get("/healthz", s.healthz).open(),
		raw("/ready", s.ready).giving(reflect.TypeFor[api.Readiness]()).open(),
		raw("/metrics", func(r *request) error { s.options.Metrics.ServeHTTP(r.w, r.Request); return nil }),
		raw("/v1/openapi.json", s.openAPI).open(),
		get("/v1/info", s.info),
		get("/v1/status", s.status),
		get("/v1/identity", func(r *request) (api.Identity, error) { return r.who, nil }),
		list("/v1/routes", s.routes).with(byService, bySource, byHost, text("state", "State of the condition; several are separated by commas."), boolean("live", "Adds to each endpoint what the engine knows of it at this moment.")),
		list("/v1/services", s.services).with(byService, bySource, byHost),
		list("/v1/services/{name...}", s.service),
		list("/v1/problems", s.problems).with(byService, bySource, boolean("notices", "Lists what is no fault and should be known, in the place of problems.")),
		list("/v1/sources", s.sources),
		where(s.options.Authority != nil, "there is no authority of Fairway's own: set acme.internal to true", get("/v1/authority", func(*request) (anchor.Authority, error) { return anchor.Of(s.options.Authority()) }))[0],
		list("/v1/owners", func(r *request) ([]rights.OwnerRecord, error) {
			return claims.Records(s.options.Owners, r.view().Snapshot, r.view().Table), nil
		}),
		list("/v1/owners/check", func(r *request) ([]rights.OwnerAnswer, error) {
			return claims.Check(s.options.Owners, r.view().Snapshot, r.query)
		}).with(text("service", "Service that asks, by ID or name."), bySource, text("node", "Node that the owner is on."), text("project", "Its Compose project."), text("stack", "Its stack."), param{name: "label", form: someLines, help: "A label of it, KEY=VALUE; may be given several times."},
			text("host", "Host as in labels."), text("path", "Prefix of paths."), number("port", 65535, "Port for TCP."), text("priority", "Priority, a number."), boolean("snippets", "Asks for lines of HAProxy's configuration.")),
		list("/v1/nodes", s.nodes).with(bySource),
		list("/v1/labels", s.labels),
		list("/v1/search", s.search).with(param{name: "q", help: "Words, all of which must be there.", required: true}, number("limit", maxFound, "How many; 20 by default.")),
		get("/v1/explain", s.explain).with(
			param{name: "url", help: "Absolute URL of the request.", required: true},
			text("method", "HTTP method; GET by default."),
			param{name: "header", form: someLines, help: "NAME: VALUE; may be given several times."},
			text("client", "IP address that the request comes from."),
			text("listener", "Name of the listener that it comes in by; http or https by default, like the scheme.")).refuses(http.StatusServiceUnavailable),
		list("/v1/doctor/{name...}", s.doctor),
		get("/v1/traffic", s.showTraffic).with(boolean("wait", "With false nothing is measured: the answer is what is measured for other clients already.")),
		raw("/v1/watch", s.watch).streaming(reflect.TypeFor[api.Change]()).with(boolean("traffic", "Adds an event every second.")),
		post("/v1/session", s.signIn).open().refuses(http.StatusUnauthorized, http.StatusTooManyRequests),
		act(http.MethodDelete, "/v1/session", s.signOut).by(api.RoleViewer),
		list("/v1/tokens", func(*request) ([]api.Token, error) { return s.access.Tokens.List(), nil }).by(api.RoleAdmin),
		post("/v1/tokens", s.createToken).refuses(http.StatusConflict),
		act(http.MethodDelete, "/v1/tokens/{name}", s.revokeToken),
		list("/v1/audit", s.auditLog).by(api.RoleAdmin).with(number("limit", access.MaxEntries, "How many; 100 by default.")),
	}, s.certificateOperations(), s.historyOperations(), s.fleetOperations(), s.notifyOperations(), s.seriesOperations(), s.requestOperations(), s.logOperations(), s.nameOperations(), s.publishOperations())
}

func (s *Server) certified() certified.Certificates {
	return certified.Certificates{Inventory: s.options.Certificates, Automatic: s.options.Automatic, Table: s.options.Tables.Table}
}

func (s *Server) certificateOperations() []operation {
	return append(where(s.options.Certificates != nil, "certificates are not known here", get("/v1/certificates", func(*request) (api.Certificates, error) { return s.certified().List(), nil })),
		where(s.options.Automatic != nil, "Fairway gets no certificates here: acme.agree is not set",
			act(http.MethodPost, "/v1/certificates/{name}/renew", func(r *request) (api.Done, error) {
				return r.did(s.certified().Renew(r.Context(), r.PathValue("name")), "a certificate for %s is to be ordered", r.PathValue("name"))
			}).refuses(http.StatusConflict),
			act(http.MethodPost, "/v1/certificates/{name}/revoke", func(r *request) (api.Done, error) {
				return r.did(s.certified().Revoke(r.Context(), r.PathValue("name"), r.flag("compromised")), "revoked the certificate for %s", r.PathValue("name"))
			}).with(boolean("compromised", "Says that the key may be known to others.")).refuses(http.StatusConflict))...)
}

func (s *Server) healthz(*request) (api.Health, error) { return api.Health{Status: "ok"}, nil }

// openAPI answers with the document that this table was written to.
func (s *Server) openAPI(r *request) error {
	r.w.Header().Set("Content-Type", "application/json")
	_, err := r.w.Write(api.OpenAPI())
	return err
}

func (s *Server) ready(r *request) error {
	found, code := api.Readiness{State: string(s.options.Tables.Status().State)}, http.StatusOK
	if !found.Ready() {
		code = http.StatusServiceUnavailable
	}
	send(r.w, code, "application/json", found)
	return nil
}

// newest is the view of what is newest. It is made once for a snapshot and a table.
func (s *Server) newest() *show.View {
	snapshot, table := s.options.Catalogue.Newest(), s.options.Tables.Table()
	s.views.Lock()
	defer s.views.Unlock()
	if v := s.views.newest; v == nil || s.views.snapshot != snapshot || s.views.table != table {
		s.views.snapshot, s.views.table = snapshot, table
		s.views.newest = show.New(snapshot, table, s.options.ShownLabel)
	}
	return s.views.newest
}

// live asks the engine for what it knows of the endpoints.
func (s *Server) live() show.Live {
	all := show.Live{}
	for _, e := range s.options.Engine.Endpoints() {
		all[[2]string{e.Backend, e.Endpoint}] = meter.Live(e)
	}
	return all
}

func (s *Server) info(r *request) (api.Info, error) {
	v, st := r.view(), s.options.Tables.Status()
	info := api.Info{
		Version: s.options.Version,
		Engine:  s.options.Engine.Name(),
		Started: s.started,
		Table: api.Table{
			Revision: v.Table.Revision, Hash: v.Table.Hash,
			State: string(st.State), Since: st.Since.UTC(), Applied: st.Applied.UTC(), Pending: st.Pending,
			Routes: len(v.Table.Routes), Backends: len(v.Table.Backends), Problems: len(v.Table.Problems),
		},
		Listeners: show.All(v.Table.Listeners, func(l route.Listener) api.Listener {
			return api.Listener{Name: l.Name, Address: l.Address, TLS: l.TLS, TCP: l.TCP}
		}),
	}
	if s.options.History != nil {
		info.History = new(s.options.History.Status())
	}
	return info, nil
}

// chosen keeps the routes that the request asks for by host, of those given.
func (r *request) chosen(routes []*route.Route) ([]*route.Route, error) {
	if r.text("host") == "" {
		return routes, nil
	}
	host, err := canonical.Host(r.text("host"))
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%v", err)
	}
	var kept []*route.Route
	for _, one := range routes {
		if slices.ContainsFunc(one.Matches, func(m route.Match) bool { return m.Host.Matches(host) }) {
			kept = append(kept, one)
		}
	}
	return kept, nil
}

// wants says whether a name is the one that a parameter asks for, or none is.
func (r *request) wants(param, name string) bool { return r.text(param) == "" || r.text(param) == name }

func (s *Server) routes(r *request) (items []api.Route, err error) {
	v := r.view()
	r.incomplete = s.incomplete()
	var live show.Live
	if r.flag("live") {
		live = s.live()
	}
	found := s.options.Conditions.Report()
	states, err := show.States(r.text("state"))
	if err != nil {
		return nil, err
	}
	chosen, err := r.chosen(v.Table.Routes)
	used := s.lastRequests()
	for _, one := range chosen {
		if v.IsService(r.text("service"), one.Service) && r.wants("source", one.Origin.Source) {
			item := v.Route(one, live)
			item.LastRequest = used[one.ID]
			if show.Judge(&item, found); states == nil || slices.Contains(states, item.Condition.State) {
				items = append(items, item)
			}
		}
	}
	return items, err
}

// lastRequests is when each route had its last request, by ID.
func (s *Server) lastRequests() map[string]time.Time {
	all := map[string]time.Time{}
	if s.options.LastRequests != nil {
		maps.Copy(all, s.options.LastRequests())
	}
	for _, t := range s.options.Engine.Traffic() {
		if t.Last.After(all[t.Route]) {
			all[t.Route] = t.Last
		}
	}
	return all
}

func (s *Server) services(r *request) (items []api.Service, err error) {
	if _, err := r.chosen(nil); err != nil { // also where there is no service
		return nil, err
	}
	v := r.view()
	r.incomplete = s.incomplete()
	for _, svc := range v.Snapshot.Services {
		seen := r.wants("source", svc.Source) ||
			slices.ContainsFunc(svc.Instances, func(in *catalog.Instance) bool { return in.Source == r.text("source") })
		if !v.IsService(r.text("service"), svc.ID) || !seen {
			continue
		}
		chosen, err := r.chosen(v.RoutesOf(svc.ID))
		if err != nil {
			return nil, err
		}
		if len(chosen) > 0 || r.text("host") == "" {
			items = append(items, s.judged(v, svc))
		}
	}
	return items, err
}

func (s *Server) service(r *request) (items []api.Service, err error) {
	name := r.PathValue("name")
	for _, svc := range r.view().Snapshot.Services {
		if r.view().IsService(name, svc.ID) {
			items = append(items, s.judged(r.view(), svc))
		}
	}
	if len(items) == 0 {
		return nil, s.missing("service", name)
	}
	return items, nil
}

// incomplete is why lists may lack something.
func (s *Server) incomplete() []api.Reason {
	return show.Reasons(s.options.Conditions.Report().Incomplete())
}

// missing is the error about a name that nothing has, which something that sources do not
// say may have. It names a similar one.
func (s *Server) missing(what, name string) *api.Error {
	err := api.Errorf(http.StatusNotFound, "no %s %q%s", what, name, s.newest().Snapshot.DidYouMean(name))
	for _, reason := range s.incomplete() {
		err.Detail += "; " + reason.Text
	}
	return err
}

// judged is a service with how it is doing.
func (s *Server) judged(v *show.View, svc *catalog.Service) api.Service {
	item := v.Service(svc)
	item.Condition = show.Condition(s.options.Conditions.Report().Services[svc.ID])
	return item
}

func (s *Server) status(*request) (api.Status, error) {
	return show.Status(s.options.Conditions.Report()), nil
}

func (s *Server) problems(r *request) (items []api.Problem, err error) {
	r.incomplete = s.incomplete()
	v, findings := r.view(), map[string][]condition.Finding{}
	for _, f := range s.options.Conditions.Report().Findings {
		findings[f.Service] = append(findings[f.Service], f)
	}
	for _, p := range v.Remarks(r.flag("notices")) {
		if v.IsService(r.text("service"), p.Service) && r.wants("source", p.Source) {
			item := show.Problem(p)
			item.Where = v.Where(p)
			// The finding of a problem, or of the route that it refuses, has its text.
			if i := slices.IndexFunc(findings[p.Service], func(f condition.Finding) bool { return strings.Contains(f.Reason.Text, p.Text) }); i >= 0 {
				item.Since = findings[p.Service][i].Reason.Since.UTC()
			}
			items = append(items, item)
		}
	}
	return items, nil
}

func (s *Server) sources(*request) ([]api.Source, error) {
	now := time.Now()
	found := s.options.Conditions.Report()
	return show.All(s.options.Sources(), func(st catalog.SourceStatus) api.Source {
		item := show.Source(st, now)
		item.Condition = show.Condition(found.Sources[st.Name])
		return item
	}), nil
}

func (s *Server) nodes(r *request) ([]api.Node, error) {
	return slices.DeleteFunc(show.Nodes(r.view().Snapshot), func(n api.Node) bool { return !r.wants("source", n.Source) }), nil
}

func (s *Server) explain(r *request) (api.Explanation, error) {
	out, err := explain.Answer(r.view(), s.live(), s.options.Conditions.Report(), r.query)
	if err == nil && s.options.Certificates != nil {
		s.certified().Explain(&out, r.text("listener"))
	}
	if out.Winner != nil && s.options.Requests != nil {
		out.Winner.LastError = requests.Last(r.view(), s.options.Requests, out.Winner.Route.ID, r.sees(api.RoleOperator))
	}
	return out, err
}

func (s *Server) showTraffic(r *request) (*api.Traffic, error) {
	if r.text("wait") == "false" {
		return s.meter.Recent(time.Now()), nil
	}
	return s.meter.Measure(r.Context())
}

func (s *Server) doctor(r *request) ([]api.Diagnosis, error) {
	found := s.options.Diagnose(r.PathValue("name"))
	if len(found) == 0 {
		return nil, s.missing("service, container or other instance", r.PathValue("name"))
	}
	plan.Observe(r.Context(), r.view().Snapshot, r.view().Table, s.options.Conditions.Report(), s.options.Conditions.Connect, found)
	if s.options.Certificates != nil {
		for i := range found {
			s.certified().Diagnose(r.view(), &found[i])
		}
	}
	if s.options.Requests != nil {
		for i := range found {
			requests.Diagnose(r.view(), s.options.Requests, time.Now(), &found[i])
		}
	}
	return found, nil
}

func (s *Server) signIn(r *request, body api.SignIn) (api.Session, error) {
	session, err := s.access.SignIn(r.w, r.Request, body.Token)
	r.remark = fmt.Sprintf("%s signed in as %s", session.Name, session.Role)
	return session, err
}

func (s *Server) signOut(r *request) (api.Done, error) {
	s.access.SignOut(r.w, r.Request)
	return r.done("signed out")
}

func (s *Server) createToken(r *request, n api.NewToken) (api.MadeToken, error) {
	r.remark = fmt.Sprintf("made the token %s for %s", n.Name, n.Role)
	return s.access.Tokens.Create(n, r.who.Name)
}

func (s *Server) revokeToken(r *request) (api.Done, error) {
	if err := s.access.Tokens.Revoke(r.PathValue("name")); err != nil {
		return api.Done{}, err
	}
	return r.done("revoked the token %s", r.PathValue("name"))
}

func (s *Server) auditLog(r *request) ([]api.AuditEntry, error) {
	return s.access.Audit.Newest(r.limit(100)), nil
}
