package history

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/route"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tableOf makes a table with one route and one backend for each name.
func tableOf(t testing.TB, revision uint64, names ...string) *route.Table {
	t.Helper()
	var routes []*route.Route
	var backends []*route.Backend
	for _, n := range names {
		routes = append(routes, routeOf(n, n+".example.com"))
		backends = append(backends, backendOf(n, "10.0.0.1:80"))
	}
	return newTable(t, revision, routes, backends)
}

func routeOf(name, host string) *route.Route {
	return &route.Route{
		ID: name, Service: name, Backend: name,
		Matches: []route.Match{{
			Host: route.Host{Kind: route.HostExact, Value: host},
			Path: route.Path{Kind: route.PathPrefix, Value: "/"},
		}},
		Origin: route.Origin{Source: "test", Labels: map[string]string{"fairway.host": host, "fairway.note": "<&>"}},
	}
}

func backendOf(name, address string) *route.Backend {
	return &route.Backend{
		ID: name, Service: name, Scheme: route.SchemeHTTP,
		Balance:   route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: name + "-1", Address: address, Weight: 1, State: route.EndpointReady, Instance: name + "-1"}},
	}
}

func newTable(t testing.TB, revision uint64, routes []*route.Route, backends []*route.Backend) *route.Table {
	t.Helper()
	table, err := route.New(revision, []route.Listener{{Name: "http", Address: ":80"}}, routes, backends,
		[]route.Problem{{Code: route.CodeBadValue, Source: "test", Service: "x", Text: fmt.Sprint("problem of ", revision)}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// encoded is the table as bytes, with everything that is in it.
func encoded(t testing.TB, table *route.Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := route.Encode(&b, table); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEntriesComeBackByteForByte(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	var names []string
	var want []string
	for n := range 60 {
		names = append(names, fmt.Sprintf("service-%03d", n))
		table := tableOf(t, uint64(n+1), names...)
		want = append(want, encoded(t, table))
		entry, err := s.Append(table, time.Now(), Cause{Operator: "ann", Command: "test", Text: fmt.Sprint("cause ", n)})
		if err != nil {
			t.Fatal(err)
		}
		if entry.Number != uint64(n+1) || entry.Routes.Added != 1 || entry.Routes.Changed != 0 {
			t.Fatalf("entry %+v, want number %d and one route added", entry, n+1)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir})
	for n := range want {
		got, err := s.Entry(uint64(n + 1))
		if err != nil {
			t.Fatal(err)
		}
		if encoded(t, got.Table) != want[n] || got.Cause.Text != fmt.Sprint("cause ", n) {
			t.Fatalf("entry %d came back as another one", n+1)
		}
	}
	if st := s.Status(); st.Entries != 60 || st.Newest != 60 || st.Alarm != "" {
		t.Errorf("status %+v", st)
	}
	list, err := s.Entries(51, 3)
	if err != nil || len(list) != 3 || list[0].Number != 50 || list[2].Number != 48 {
		t.Errorf("entries before 51: %+v, %v", list, err)
	}
	if _, err := s.Entry(61); !errors.Is(err, ErrNotFound) {
		t.Errorf("entry 61: %v, want ErrNotFound", err)
	}
}

func TestRevisionsAreComparedAndSet(t *testing.T) {
	s := open(t, Options{})
	first, err := s.PutRevision(Draft{Document: "10.0.0.1", Author: "ann", Content: []byte("a\n")})
	if err != nil || first.Number != 1 {
		t.Fatalf("first: %+v, %v", first, err)
	}
	if _, err := s.PutRevision(Draft{Document: "10.0.0.1", Author: "bob", Content: []byte("b\n")}); err == nil {
		t.Fatal("a second first revision was taken")
	} else if conflict, ok := errors.AsType[*ConflictError](err); !ok || conflict.Current != 1 || conflict.Author != "ann" {
		t.Fatalf("error %v, want a conflict with revision 1 by ann", err)
	}
	for n := uint64(1); n < 5; n++ {
		if _, err := s.PutRevision(Draft{Document: "10.0.0.1", Expect: n, Author: "bob", Content: fmt.Appendf(nil, "b%d\n", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.PutRevision(Draft{Document: "10.0.0.1a", Author: "eve"}); err != nil {
		t.Fatal(err)
	}
	newest, err := s.Revision("10.0.0.1", 0)
	if err != nil || newest.Number != 5 || string(newest.Content) != "b4\n" {
		t.Errorf("newest: %+v, %v", newest, err)
	}
	old, err := s.Revision("10.0.0.1", 1)
	if err != nil || string(old.Content) != "a\n" || old.Digest != first.Digest {
		t.Errorf("first: %+v, %v", old, err)
	}
	list, err := s.Revisions("10.0.0.1", 0, 2)
	if err != nil || len(list) != 2 || list[0].Number != 5 || list[1].Number != 4 {
		t.Errorf("list: %+v, %v", list, err)
	}
	documents, err := s.Documents()
	if err != nil || len(documents) != 2 || documents[0].Number != 5 || documents[1].Document != "10.0.0.1a" {
		t.Errorf("documents: %+v, %v", documents, err)
	}
	empty, err := s.Revision("10.0.0.1a", 0)
	if err != nil || len(empty.Content) != 0 {
		t.Errorf("empty document: %+v, %v", empty, err)
	}
	if _, err := s.Revision("nothing", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("no document: %v", err)
	}
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	for _, name := range []string{"b", "a", "c"} {
		if err := s.PutRecord("rollout", name, []byte("of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutRecord("rolloutx", "d", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRecord("rollout", "b"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRecord("rollout", "b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
	_ = s.Close()
	s = open(t, Options{Dir: dir})
	list, err := s.Records("rollout")
	if err != nil || len(list) != 2 || list[0].Name != "a" || string(list[1].Data) != "of c" {
		t.Errorf("records %+v, %v", list, err)
	}
	if data, err := s.Record("rolloutx", "d"); err != nil || data == nil || len(data) != 0 {
		t.Errorf("empty record: %q, %v", data, err)
	}
	if _, err := s.Record("rollout", "b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted record: %v", err)
	}
	if err := s.PutRecord("a\x00b", "c", nil); err == nil {
		t.Error("a kind with a zero byte was taken")
	}
}
