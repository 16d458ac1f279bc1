package history

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/route"
)

// blobs counts the parts of tables and contents in the file.
func blobs(t testing.TB, s *Store) (n int) {
	t.Helper()
	err := s.view(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(inBlobs)).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRetentionByCount(t *testing.T) {
	s := open(t, Options{MaxEntries: 120})
	s.Keep(3)
	for n := range uint64(230) {
		if _, err := s.Append(crashTable(n+1), time.Now(), Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Entries(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 121 || len(list) > 121+pruneSlack || list[len(list)-1].Number != 3 || s.Status().Entries != len(list) {
		t.Errorf("%d entries, the oldest %d, status %+v", len(list), list[len(list)-1].Number, s.Status())
	}
	for _, e := range list {
		if r, err := s.Entry(e.Number); err != nil || r.Table.Hash != crashTable(e.Number).Hash {
			t.Errorf("entry %d: %v", e.Number, err)
		}
	}
	if _, err := s.Entry(4); !errors.Is(err, ErrNotFound) {
		t.Errorf("entry 4: %v", err)
	}
	before := blobs(t, s)
	if err := s.update(s.sweep); err != nil {
		t.Fatal(err)
	}
	if after := blobs(t, s); after != before {
		t.Errorf("%d parts, %d of them for nothing", before, before-after)
	}
}

// Age removes what is old but never the newest hundred, so that a clock that jumps
// costs nothing; numbers go on.
func TestRetentionByAge(t *testing.T) {
	s := open(t, Options{})
	now := time.Now()
	for n := range uint64(150) {
		at := now.Add(-2 * maxAge)
		if n >= 148 {
			at, s.pruned = now, time.Time{} // it is time to look at the age
		}
		if _, err := s.Append(crashTable(n+1), at, Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Entries(0, 0)
	if err != nil || len(list) != alwaysKept || list[0].Number != 150 {
		t.Errorf("%d entries, the newest %d, %v", len(list), list[0].Number, err)
	}
	for i, jump := range []time.Duration{time.Hour, -24 * time.Hour, 87600 * time.Hour, -87600 * time.Hour} {
		e, err := s.Append(crashTable(1000), now.Add(jump), Cause{})
		if err != nil || e.Number != uint64(151+i) {
			t.Errorf("after a jump of %s: entry %d, %v", jump, e.Number, err)
		}
	}
	if list, err := s.Entries(0, 0); err != nil || len(list) < alwaysKept || list[0].Number != 154 {
		t.Errorf("after the jumps: %d entries, the newest %d, %v", len(list), list[0].Number, err)
	}
}

func TestRetentionOfRevisions(t *testing.T) {
	s := open(t, Options{MaxRevisions: 5})
	for n := range uint64(12) {
		for _, document := range []string{"a", "a b", "b"} {
			if _, err := s.PutRevision(Draft{Document: document, Expect: n, Author: "x", Content: fmt.Appendf(nil, "%s %d", document, n)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, document := range []string{"a", "a b", "b"} {
		list, err := s.Revisions(document, 0, 0)
		if err != nil || len(list) != 5 || list[0].Number != 12 || list[4].Number != 8 {
			t.Errorf("%s: %d revisions, %v", document, len(list), err)
		}
		if v, err := s.Revision(document, 8); err != nil || string(v.Content) != document+" 7" {
			t.Errorf("%s: %q, %v", document, v.Content, err)
		}
	}
}

// bigTable has n services with three endpoints each; version changes one of them.
func bigTable(tb testing.TB, n int, version int, before *route.Table) *route.Table {
	tb.Helper()
	var routes []*route.Route
	var backends []*route.Backend
	for i := range n {
		name := fmt.Sprintf("service-%05d@docker", i)
		if before != nil && i != version%n {
			routes, backends = append(routes, before.Route(name)), append(backends, before.Backend(name))
			continue
		}
		b := backendOf(name, fmt.Sprintf("10.1.%d.%d:80", version/250, version%250))
		for j := range 2 {
			e := b.Endpoints[0]
			e.ID += fmt.Sprint("-", j)
			b.Endpoints = append(b.Endpoints, e)
		}
		routes, backends = append(routes, routeOf(name, name[:13]+".example.com")), append(backends, b)
	}
	return newTable(tb, uint64(version+1), routes, backends)
}

// BenchmarkAppend records changes of one service among ten thousand.
func BenchmarkAppend(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	table := bigTable(b, 10_000, 0, nil)
	began := time.Now()
	if _, err := s.Append(table, began, Cause{}); err != nil {
		b.Fatal(err)
	}
	b.Logf("the first takes %s and %d bytes", time.Since(began), s.Status().Bytes)
	first := s.Status().Bytes
	version := 0
	for b.Loop() {
		b.StopTimer()
		version++
		table = bigTable(b, 10_000, version, table)
		b.StartTimer()
		if _, err := s.Append(table, time.Now(), Cause{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Status().Bytes-first)/float64(b.N), "B-disk/op")
	began = time.Now()
	if r, err := s.Entry(1); err != nil || len(r.Table.Routes) != 10_000 {
		b.Fatal(err)
	}
	b.Logf("reading one takes %s", time.Since(began))
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	began = time.Now()
	again, err := Open(s.options)
	if err != nil {
		b.Fatal(err)
	}
	defer again.Close()
	b.Logf("opening %d bytes with %d entries takes %s", again.Status().Bytes, again.Status().Entries, time.Since(began))
}
