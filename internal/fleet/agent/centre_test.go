package agent

import (
	"crypto/sha256"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// Fairway as the control server: it asks for a token, and a follower gets what is new in
// the moment in which it is put there.
func TestFollowFairway(t *testing.T) {
	t.Parallel()
	store, err := history.Open(history.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sum := sha256.Sum256([]byte("a token of the tests"))
	f, err := fleet.New(fleet.Options{
		Map:       &fleet.Map{Readers: []fleet.Reader{{Name: "edge", Token: &sum, Documents: []string{"127.0.0.*"}}}},
		Documents: store, Records: store, NewEngine: func(string) (driver.Engine, error) { return nil, errors.New("none") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	server := httptest.NewServer(f.Handler())
	// The agent ends first: until then it connects anew, and Close waits for it.
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)

	s := newStage(t, func(o *Options) {
		o.URL, o.Client, o.Follow, o.Interval, o.Retries = server.URL+"/haproxy/", server.Client(), true, time.Hour, 0
	})
	put := func(expect uint64, content string) {
		t.Helper()
		if _, err := f.Put(history.Draft{Document: "127.0.0.1", Expect: expect, Author: "ops", Message: "test", Content: []byte(content)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Update(t.Context()); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("without a token: %v", err)
	}
	s.o.Token = "a token of the tests"
	if _, err := s.Update(t.Context()); err == nil || !strings.Contains(err.Error(), "no configuration of this name") {
		t.Errorf("before the first: %v", err)
	}
	put(0, s.config("one", ""))
	s.run()
	s.answers("one")
	s.logs("Worker ")
	for i, word := range []string{"two", "three", "four"} {
		begun := time.Now()
		put(uint64(i+1), s.config(word, ""))
		s.answers(word)
		t.Logf("%s is live %s after it was put", word, time.Since(begun).Round(time.Millisecond))
	}
}
