package dockerflow

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"fairway/internal/catalog"
	"fairway/internal/feed"
	"fairway/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world stands for the rest of Fairway: what is posted is in the next snapshot,
// and every snapshot is a table at once. A service with pathType "bad" is refused;
// one with pathType "worse" loses a contest.
type world struct {
	mu       sync.Mutex
	services map[string]*catalog.Service
	from     map[string]string
	changes  int
	feed     catalog.Feed
	tables   feed.Feed[route.Table]
	certs    map[string]string
}

func newWorld() *world {
	w := &world{services: map[string]*catalog.Service{}, from: map[string]string{}, certs: map[string]string{}}
	w.publish()
	return w
}

// publish is called with the mutex held, or by the only one who knows of w.
func (w *world) publish() {
	s := &catalog.Snapshot{Revision: uint64(w.changes) + 1}
	t := &route.Table{Revision: s.Revision}
	for _, service := range w.list() {
		s.Services = append(s.Services, service)
		switch service.Labels["com.df.pathType"] {
		case "bad":
			t.Problems = append(t.Problems, route.Problem{Code: route.CodeBadValue, Service: service.ID, Label: "com.df.pathType", Text: "no such type"})
		case "worse":
			t.Problems = append(t.Problems, route.Problem{Code: route.CodeConflict, Service: service.ID, Text: "somebody else was first"})
		default:
			t.Routes = append(t.Routes, &route.Route{ID: service.ID, Service: service.ID})
		}
	}
	w.changes++
	w.feed.Publish(s)
	w.tables.Publish(t)
}

func (w *world) list() []*catalog.Service {
	var list []*catalog.Service
	for _, s := range w.services {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (w *world) Put(s *catalog.Service) (before *catalog.Service, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before = w.services[s.ID]
	w.services[s.ID] = s
	w.publish()
	return before, nil
}

func (w *world) Remove(id string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.services[id] == nil {
		return false, nil
	}
	delete(w.services, id)
	w.publish()
	return true, nil
}

func (w *world) Replace(from string, services []*catalog.Service) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, f := range w.from {
		if f == from {
			delete(w.services, id)
			delete(w.from, id)
		}
	}
	for _, s := range services {
		w.services[s.ID], w.from[s.ID] = s, from
	}
	w.publish()
	return true, nil
}

func (w *world) Services() []*catalog.Service {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.list()
}

// certificates stand for the store; a certificate is sound when it says so.
type certificates struct{ *world }

func (c certificates) Put(name string, pem []byte) error {
	if strings.Contains(name, "/") || !strings.HasPrefix(string(pem), "sound") {
		return errors.New("invalid certificate")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.certs[name] = string(pem)
	return nil
}

func (c certificates) Names() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := []string{}
	for name := range c.certs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (c certificates) Get(name string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []byte(c.certs[name]), nil
}

// shownLabel hides what the tests have of secrets.
func shownLabel(key, value string) string {
	switch key {
	case "com.df.users":
		return regexp.MustCompile(`:.*`).ReplaceAllString(value, ":***")
	case "com.df.addReqHeader", "com.df.setReqHeader", "com.df.serviceCert", "com.df.backendExtra", "com.df.secret":
		return "***"
	}
	return value
}

// proxy makes a face on the world.
func (w *world) proxy(t *testing.T, change func(*ProxyOptions)) *Proxy {
	t.Helper()
	o := ProxyOptions{
		Posted: w, Certificates: certificates{w}, Catalogue: &w.feed, Tables: &w.tables,
		Metrics: http.NotFoundHandler(), Statistics: (&fakeHAProxy{statistics: "# pxname,svname,\n"}).Statistics,
		Lookup:     func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") },
		Own:        func(string) bool { return false },
		ShownLabel: shownLabel,
	}
	if change != nil {
		change(&o)
	}
	p, err := NewProxy(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// said is an answer of a face.
type said struct {
	code                         int
	Status, Message, ServiceName string
	body                         string
}

// ask calls a face.
func ask(t *testing.T, h http.Handler, method, path, body string) said {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := said{code: w.Code, body: w.Body.String()}
	if strings.HasPrefix(a.body, "{") {
		if err := json.Unmarshal([]byte(a.body), &a); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: content type %q", path, got)
		}
	}
	return a
}

// receiver records the calls it gets.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	calls []string
	// answer decides about each call; nil answers 200.
	answer func(n int, r *http.Request) int
}

func newReceiver(t *testing.T, answer func(n int, r *http.Request) int) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		n := len(r.calls)
		r.calls = append(r.calls, req.Method+" "+req.RequestURI+string(body))
		r.mu.Unlock()
		if r.answer != nil {
			w.WriteHeader(r.answer(n, req))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}
