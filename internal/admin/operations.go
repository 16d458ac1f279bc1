package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/route"
)

// operation is one thing that can be asked.
type operation struct {
	// method is the HTTP method; empty means GET, which includes HEAD. What is no
	// GET changes something, and is audited.
	method string
	// path is the pattern of the mux. Several operations may share one.
	path string
	// asks is set where nothing is changed although the method is no GET: what is
	// asked is too long for a URL. It is not audited.
	asks bool
	// public operations answer everybody: they say that Fairway is there and
	// nothing about what it serves.
	public bool
	// role is the least role that may ask, one of the Role constants of package
	// api; empty means viewer for GET and admin for everything else.
	role string
	// params are the query parameters it knows; any other is refused, so that a
	// typing error does not pass for an answer.
	params []string
	// body is the most bytes it takes; zero means maxBody.
	body  int64
	serve func(w http.ResponseWriter, r *http.Request) error
}

// verb is the method, never empty.
func (op operation) verb() string { return cmp.Or(op.method, http.MethodGet) }

// needs is the least role that may ask; empty for everybody.
func (op operation) needs() string {
	switch {
	case op.public:
		return ""
	case op.role != "":
		return op.role
	case op.verb() == http.MethodGet:
		return api.RoleViewer
	}
	return api.RoleAdmin
}

// operations is everything that can be asked. docs/api.md describes each.
func (s *Server) operations() []operation {
	metrics := promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{})
	return slices.Concat([]operation{
		{path: "/healthz", public: true, serve: s.healthz},
		{path: "/ready", public: true, serve: s.ready},
		{path: "/metrics", serve: func(w http.ResponseWriter, r *http.Request) error { metrics.ServeHTTP(w, r); return nil }},
		{path: "/v1/info", serve: s.info},
		{path: "/v1/identity", serve: s.identity},
		{path: "/v1/routes", params: []string{"service", "source", "host", "live"}, serve: s.routes},
		{path: "/v1/services", params: []string{"service", "source", "host"}, serve: s.services},
		{path: "/v1/services/{name...}", serve: s.service},
		{path: "/v1/problems", params: []string{"service", "source"}, serve: s.problems},
		{path: "/v1/sources", serve: s.sources},
		{path: "/v1/nodes", params: []string{"source"}, serve: s.nodes},
		{path: "/v1/explain", params: []string{"method", "url", "header", "client", "listener"}, serve: s.explain},
		{path: "/v1/doctor/{name...}", serve: s.doctor},
		{path: "/v1/traffic", params: []string{"wait"}, serve: s.showTraffic},
		{path: "/v1/watch", params: []string{"traffic"}, serve: s.watch},
		{method: http.MethodPost, path: "/v1/session", public: true, serve: s.signIn},
		{method: http.MethodDelete, path: "/v1/session", role: api.RoleViewer, serve: s.signOut},
		{path: "/v1/tokens", role: api.RoleAdmin, serve: s.listTokens},
		{method: http.MethodPost, path: "/v1/tokens", role: api.RoleAdmin, serve: s.createToken},
		{method: http.MethodDelete, path: "/v1/tokens/{name}", role: api.RoleAdmin, serve: s.revokeToken},
		{path: "/v1/audit", role: api.RoleAdmin, params: []string{"limit"}, serve: s.listDeeds},
	}, s.historyOperations(), s.fleetOperations(), s.notifyOperations(), s.seriesOperations())
}

// newMux registers operations, and for everything else the answers that say no.
// Those ask who it is, too: nothing is told to strangers.
func (s *Server) newMux(ops []operation) *http.ServeMux {
	mux := http.NewServeMux()
	register := func(pattern string, op operation) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(op.body, maxBody))
			err := s.perform(w, r, op)
			if err == nil {
				return
			}
			if _, told := errors.AsType[*api.Error](err); !told {
				s.log.Error("admin operation failed", "operation", op.verb()+" "+op.path, "error", err)
			}
			fail(w, err)
		})
	}
	paths := map[string][]operation{}
	for _, op := range ops {
		serve, params := op.serve, op.params
		op.serve = func(w http.ResponseWriter, r *http.Request) error {
			if err := checkParams(r.URL.RawQuery, params); err != nil {
				return err
			}
			return serve(w, r)
		}
		register(op.verb()+" "+op.path, op)
		paths[op.path] = append(paths[op.path], op)
	}
	for path, known := range paths {
		register(path, notAllowed(known))
	}
	rest := operation{serve: notFound, role: api.RoleViewer}
	if s.options.Pages == nil {
		register("/", rest)
		return mux
	}
	register("/v1/", rest)
	register("/", operation{public: true, serve: func(w http.ResponseWriter, r *http.Request) error {
		if reads(r.Method) || r.Method == http.MethodPost {
			return s.page(w, r)
		}
		return s.perform(w, r, rest)
	}})
	return mux
}

// perform answers one operation, or says why whoever asks may not.
func (s *Server) perform(w http.ResponseWriter, r *http.Request, op operation) error {
	var who api.Identity
	serve := op.serve
	if need := op.needs(); need != "" {
		var refused *api.Error
		if who, refused = s.whoAsks(r); refused == nil && !api.MayAct(who.Role, need) {
			refused = tooLittle(who, need)
		}
		if refused != nil && refused.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="fairway"`)
		}
		if refused != nil && (who.Name == "" || op.verb() == http.MethodGet) {
			return refused
		}
		if refused != nil {
			serve = func(http.ResponseWriter, *http.Request) error { return refused }
		}
		r = r.WithContext(withIdentity(r.Context(), who))
	}
	if op.verb() == http.MethodGet || op.asks {
		return serve(w, r)
	}
	if isInside(r.Context()) {
		return status(http.StatusMethodNotAllowed, "a page changes nothing")
	}
	return s.audited(w, r, who, serve)
}

// notAllowed is what answers the other methods of a path. Who may ask any of the
// operations may learn which there are.
func notAllowed(known []operation) operation {
	least := known[0]
	var allow []string
	for _, op := range known {
		if op.public || !least.public && api.MayAct(least.needs(), op.needs()) {
			least = op
		}
		allow = append(allow, op.verb())
		if op.verb() == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	return operation{public: least.public, role: least.needs(), serve: func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return status(http.StatusMethodNotAllowed, "not with this method here; with "+strings.Join(allow, ", "))
	}}
}

func notFound(http.ResponseWriter, *http.Request) error {
	return status(http.StatusNotFound, "no such path; docs/api.md lists what there is")
}

// readBody decodes the JSON that an operation was sent into v, a pointer to a
// struct. A field that v does not know is refused, a name that is there twice (of
// which RFC 8259, section 4, does not say which counts), and what is not called JSON:
// a form of another page cannot send that.
func readBody(r *http.Request, v any) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return status(http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json")
	}
	data, err := io.ReadAll(r.Body)
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err = dec.Decode(v)
		if _, more := dec.Token(); err == nil && !errors.Is(more, io.EOF) {
			err = errors.New("there is something behind the JSON")
		}
	}
	if err == nil {
		err = namesOnce(json.NewDecoder(bytes.NewReader(data)), reflect.TypeOf(v))
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return status(http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d bytes", long.Limit))
	case err != nil:
		return status(http.StatusBadRequest, "the body is not what is asked for: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// namesOnce fails when an object of a JSON text, which was decoded into a t, has a name
// twice. Where the object is a struct, case does not count, as it does not in decoding.
func namesOnce(dec *json.Decoder, t reflect.Type) error {
	token, err := dec.Token()
	if err != nil {
		return nil //nolint:nilerr // the text was decoded before
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch token {
	case json.Delim('{'):
		err = objectNamesOnce(dec, t)
	case json.Delim('['):
		for err == nil && dec.More() {
			err = namesOnce(dec, elementOf(t, ""))
		}
	default:
		return nil
	}
	_, _ = dec.Token() // the end of the object or list
	return err
}

func objectNamesOnce(dec *json.Decoder, t reflect.Type) error {
	names := map[string]bool{}
	for dec.More() {
		token, _ := dec.Token()
		name, _ := token.(string)
		twice := names[name]
		if t != nil && t.Kind() == reflect.Struct { // it has few names
			for known := range names {
				twice = twice || strings.EqualFold(known, name)
			}
		}
		if twice {
			return fmt.Errorf("%q is there twice", name)
		}
		names[name] = true
		if err := namesOnce(dec, elementOf(t, name)); err != nil {
			return err
		}
	}
	return nil
}

// elementOf is the type of an element of t: of the field that a name is decoded into
// where t is a struct. Nil where that is not known.
func elementOf(t reflect.Type, name string) reflect.Type {
	if t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array:
		return t.Elem()
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if strings.EqualFold(cmp.Or(tag, f.Name), name) {
				return f.Type
			}
		}
	}
	return nil
}

// checkParams refuses a query that does not parse or has parameters that the
// operation does not know.
func checkParams(query string, known []string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return status(http.StatusBadRequest, "the query does not parse")
	}
	for name, v := range values {
		if !slices.Contains(known, name) {
			return status(http.StatusBadRequest, fmt.Sprintf("no query parameter %q here; known: %s", name, orNone(known)))
		}
		if len(v) > 1 && name != "header" {
			return status(http.StatusBadRequest, fmt.Sprintf("query parameter %q is given twice", name))
		}
	}
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// fail answers with problem details.
func fail(w http.ResponseWriter, err error) {
	e := asError(err)
	send(w, e.Status, api.ProblemContentType, e)
}

// asError returns what is told of an error: the first *api.Error in it; anything
// else is ours to know.
func asError(err error) *api.Error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	return status(http.StatusInternalServerError, "it failed; the log says why")
}

// answer sends v with status 200.
func answer(w http.ResponseWriter, v any) error {
	send(w, http.StatusOK, "application/json", v)
	return nil
}

// send writes v whole or not at all. The types of package api always encode.
func send(w http.ResponseWriter, code int, contentType string, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is JSON, and says so with nosniff
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // a client that has gone is nobody to tell
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, struct {
		Status string `json:"status"`
	}{"ok"})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) error {
	r := api.Readiness{State: s.options.Tables.Status().State}
	code := http.StatusOK
	if !r.Ready() {
		code = http.StatusServiceUnavailable
	}
	send(w, code, "application/json", r)
	return nil
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) error {
	v := s.view()
	st := s.options.Tables.Status()
	info := api.Info{
		Version: s.options.Version,
		Engine:  s.options.Engine.Name(),
		Started: s.started,
		Table: api.Table{
			Revision: v.table.Revision, Hash: v.table.Hash,
			State: st.State, Since: st.Since.UTC(), Applied: st.Applied.UTC(), Pending: st.Pending,
			Routes: len(v.table.Routes), Backends: len(v.table.Backends), Problems: len(v.table.Problems),
		},
		Listeners: make([]api.Listener, len(v.table.Listeners)),
		History:   s.historyInfo(),
	}
	for i, l := range v.table.Listeners {
		info.Listeners[i] = api.Listener{Name: l.Name, Address: l.Address, TLS: l.TLS, TCP: l.TCP}
	}
	return answer(w, info)
}

func (s *Server) routes(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	live, err := boolean(q, "live")
	if err != nil {
		return err
	}
	keep, err := s.routeFilter(q)
	if err != nil {
		return err
	}
	v := s.view()
	if live {
		v.readLive(s.options.Engine)
	}
	items := []api.Route{}
	for _, rt := range v.table.Routes {
		if keep(v, rt) {
			items = append(items, v.route(rt))
		}
	}
	return answer(w, list(v, items))
}

func (s *Server) services(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	keep, err := s.routeFilter(url.Values{"host": q["host"]})
	if err != nil {
		return err
	}
	v := s.view()
	items := []api.Service{}
	for _, svc := range v.snapshot.Services {
		if name := q.Get("service"); name != "" && name != svc.ID && name != svc.Name {
			continue
		}
		if source := q.Get("source"); source != "" && !seenBy(svc, source) {
			continue
		}
		if q.Get("host") != "" && !slices.ContainsFunc(v.routesOf[svc.ID], func(rt *route.Route) bool { return keep(v, rt) }) {
			continue
		}
		items = append(items, v.service(svc))
	}
	return answer(w, list(v, items))
}

// seenBy is true when source sees the service or an instance of it.
func seenBy(svc *catalog.Service, source string) bool {
	return svc.Source == source || slices.ContainsFunc(svc.Instances, func(in *catalog.Instance) bool { return in.Source == source })
}

func (s *Server) service(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	v := s.view()
	items := []api.Service{}
	for _, svc := range v.snapshot.Services {
		if svc.ID == name || svc.Name == name {
			items = append(items, v.service(svc))
		}
	}
	if len(items) == 0 {
		return status(http.StatusNotFound, fmt.Sprintf("no service %q", name))
	}
	return answer(w, list(v, items))
}

func (s *Server) problems(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v := s.view()
	items := []api.Problem{}
	for _, p := range v.table.Problems {
		if v.isService(q.Get("service"), p.Service) && (q.Get("source") == "" || q.Get("source") == p.Source) {
			items = append(items, shownProblem(p))
		}
	}
	return answer(w, list(v, items))
}

func (s *Server) sources(w http.ResponseWriter, _ *http.Request) error {
	v := s.view()
	items := []api.Source{}
	for _, st := range s.options.Sources.Sources() {
		items = append(items, source(st, time.Now()))
	}
	return answer(w, list(v, items))
}

func (s *Server) nodes(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v := s.view()
	instances := map[string]int{}
	for _, service := range v.snapshot.Services {
		for _, in := range service.Instances {
			instances[in.Node]++
		}
	}
	items := []api.Node{}
	for _, n := range v.snapshot.Nodes {
		if q.Get("source") == "" || q.Get("source") == n.Source {
			items = append(items, api.Node{
				ID: n.ID, Name: n.Name, Source: n.Source, State: n.State,
				Address: n.Address, Role: n.Role, Availability: n.Availability, Engine: n.Engine,
				Instances: instances[n.ID],
			})
		}
	}
	return answer(w, list(v, items))
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	found := s.options.Doctor.Diagnose(name)
	if len(found) == 0 {
		return status(http.StatusNotFound, fmt.Sprintf("no service, container or other instance %q", name))
	}
	return answer(w, list(s.view(), found))
}

// list is the envelope of every list.
func list[T any](v *view, items []T) api.List[T] {
	return api.List[T]{Revision: v.snapshot.Revision, Hash: v.table.Hash, Items: items}
}

// boolean reads a parameter that is "true", "false" or not there.
func boolean(q url.Values, name string) (bool, error) {
	switch q.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, status(http.StatusBadRequest, fmt.Sprintf("query parameter %q: want true or false", name))
}
