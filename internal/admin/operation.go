package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/admin/body"
	"fairway/internal/admin/show"
	"fairway/internal/api"
)

// operation is one endpoint: who may call it, what it takes and what it answers.
type operation struct {
	method string
	path   string // the pattern of the mux; several operations may share one
	// public operations answer everybody: they say nothing about what is served.
	public bool
	// role is the least that may call it; by default viewer for GET, and admin.
	role string
	// question is set where no GET changes nothing, which is not audited.
	question bool
	params   []param // any other is refused, so that a typing error does not pass for an answer
	room     int64   // the most bytes of a body; zero means maxBody
	// takes and gives are the types of body and answer; nil for none, and for an
	// answer that is no JSON.
	takes, gives reflect.Type
	events       bool  // the answer is a stream of server-sent events, whose data is of the type gives
	refusals     []int // statuses of errors beyond those that follow from the above
	serve        func(*request) error
}

// changes is true for what changes something, which is audited.
func (op operation) changes() bool { return op.method != http.MethodGet && !op.question }

// needs is the least role that may call it; empty for everybody.
func (op operation) needs() string {
	switch {
	case op.public:
		return ""
	case op.role != "":
		return op.role
	case op.method == http.MethodGet:
		return api.RoleViewer
	}
	return api.RoleAdmin
}

// by sets the least role.
func (op operation) by(role string) operation {
	op.role = role
	return op
}

// with adds query parameters.
func (op operation) with(params ...param) operation {
	op.params = params
	return op
}

// refuses adds statuses of errors.
func (op operation) refuses(statuses ...int) operation {
	op.refusals = append(op.refusals, statuses...)
	return op
}

// upTo sets the most bytes of a body.
func (op operation) upTo(room int64) operation {
	op.room = room
	return op
}

// onlyAsks marks a POST that changes nothing.
func (op operation) onlyAsks() operation {
	op.question = true
	return op
}

// where answers operations with 503 and a reason where what they are about is not there.
func where(there bool, reason string, all ...operation) []operation {
	for i := range all {
		serve := all[i].serve
		all[i] = all[i].refuses(http.StatusServiceUnavailable)
		all[i].serve = func(r *request) error {
			if !there {
				return api.Errorf(http.StatusServiceUnavailable, "%s", reason)
			}
			return serve(r)
		}
	}
	return all
}

// open lets everybody call it.
func (op operation) open() operation {
	op.public = true
	return op
}

// raw is an operation that writes its answer itself.
func raw(path string, serve func(*request) error) operation {
	return operation{method: http.MethodGet, path: path, serve: serve}
}

// streaming marks an operation that answers with server-sent events; t is the type of the
// data of the first kind of them.
func (op operation) streaming(t reflect.Type) operation {
	op.gives, op.events = t, true
	return op
}

// giving names the type of the JSON that a raw operation answers.
func (op operation) giving(t reflect.Type) operation {
	op.gives = t
	return op
}

// get is an operation that reads one thing.
func get[T any](path string, serve func(*request) (T, error)) operation {
	return act(http.MethodGet, path, serve)
}

// list is an operation that reads several things of one kind.
func list[T any](path string, serve func(*request) ([]T, error)) operation {
	return act(http.MethodGet, path, func(r *request) (api.List[T], error) {
		found, err := serve(r)
		return listOf(r, found), err
	})
}

// listOf is the envelope of every list.
func listOf[T any](r *request, items []T) api.List[T] {
	if items == nil {
		items = []T{}
	}
	return api.List[T]{Revision: r.view().Snapshot.Revision, Hash: r.view().Table.Hash, Incomplete: r.incomplete, Items: items}
}

// act is an operation without a body.
func act[T any](method, path string, serve func(*request) (T, error)) operation {
	return operation{method: method, path: path, gives: reflect.TypeFor[T](), serve: func(r *request) error {
		v, err := serve(r)
		if err != nil {
			return err
		}
		send(r.w, http.StatusOK, "application/json", v)
		return nil
	}}
}

// post is an operation with a body.
func post[B, T any](path string, serve func(*request, B) (T, error)) operation {
	op := act(http.MethodPost, path, func(r *request) (T, error) {
		var sent B
		if err := body.Decode(r.Request, &sent); err != nil {
			var none T
			return none, err
		}
		return serve(r, sent)
	})
	op.takes = reflect.TypeFor[B]()
	return op
}

// request is an authorized call of an operation, with parameters that were checked.
type request struct {
	*http.Request
	w          http.ResponseWriter
	who        api.Identity
	query      url.Values
	server     *Server
	seen       *show.View
	remark     string       // says in words what was done, for the audit; it holds no secret
	incomplete []api.Reason // of a list, why it may lack something
}

// view is what is newest, and stays the same for this request.
func (r *request) view() *show.View {
	if r.seen == nil {
		r.seen = r.server.newest()
	}
	return r.seen
}

func (r *request) text(name string) string { return r.query.Get(name) }

func (r *request) flag(name string) bool { return r.text(name) == "true" }

// number is a parameter, or unset where it is not given.
func (r *request) number(name string, unset uint64) uint64 {
	n, err := strconv.ParseUint(r.text(name), 10, 64)
	if err != nil {
		return unset
	}
	return n
}

func (r *request) limit(unset int) int { return int(r.number("limit", uint64(unset))) } //nolint:gosec // each has a bound

// time is a parameter, or zero where it is not given.
func (r *request) time(name string) time.Time {
	t, _ := time.Parse(time.RFC3339, r.text(name)) // it was checked
	return t
}

// names is a parameter of names with commas between them.
func (r *request) names(name string) []string {
	return strings.FieldsFunc(r.text(name), func(c rune) bool { return c == ',' })
}

// operator is the name of who calls, for the history.
func (r *request) operator() string { return cmp.Or(r.who.Name, "somebody on this machine") }

// The forms of query parameters.
const (
	aText     = ""         // any text
	aFlag     = "flag"     // true or false
	aNumber   = "number"   // 1 to the parameter's most
	anEntry   = "entry"    // the number of an entry of the history, or live
	aTime     = "time"     // RFC 3339
	aDuration = "duration" // Go's text
	someLines = "lines"    // may be given several times
)

// param is a query parameter.
type param struct {
	name, form string
	most       uint64 // of a number; zero for no bound
	help       string
	required   bool
}

func text(name, help string) param { return param{name: name, help: help} }

func boolean(name, help string) param { return param{name: name, form: aFlag, help: help} }

func number(name string, most uint64, help string) param {
	return param{name: name, form: aNumber, most: cmp.Or(most, ^uint64(0)), help: help}
}

// check says what is wrong with a value; empty for nothing.
func (p param) check(value string) (want string) {
	switch p.form {
	case aFlag:
		if value != "true" && value != "false" {
			return "true or false"
		}
	case aNumber:
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n < 1 || n > p.most {
			return fmt.Sprintf("a number from 1 to %d", p.most)
		}
	case anEntry:
		if n, err := strconv.ParseUint(value, 10, 64); value != "live" && (err != nil || n == 0) {
			return "the number of an entry, or live"
		}
	case aTime:
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return "a time such as 2026-05-01T12:00:00Z"
		}
	case aDuration:
		if d, err := time.ParseDuration(value); err != nil || d < 0 {
			return "a duration such as 1m"
		}
	}
	return ""
}

// checkParams refuses what does not parse, is not known or makes no sense. Empty is none.
func checkParams(query string, known []param) (url.Values, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "the query does not parse")
	}
	for name, v := range values {
		i := slices.IndexFunc(known, func(p param) bool { return p.name == name })
		if i < 0 {
			names := strings.Join(show.All(known, func(p param) string { return p.name }), ", ")
			return nil, api.Errorf(http.StatusBadRequest, "no query parameter %q here; known: %s", name, cmp.Or(names, "none"))
		}
		if len(v) > 1 && known[i].form != someLines {
			return nil, api.Errorf(http.StatusBadRequest, "query parameter %q is given twice", name)
		}
		if want := known[i].check(v[0]); v[0] != "" && want != "" {
			return nil, api.Errorf(http.StatusBadRequest, "query parameter %q: want %s", name, want)
		}
	}
	return values, nil
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
	_, _ = w.Write(b.Bytes()) // the client may have gone
}
