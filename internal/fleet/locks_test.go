package fleet

import (
	"errors"
	"testing"
	"time"

	"fairway/internal/fleet/driver"
	"fairway/internal/history"
	"fairway/internal/testkit"
)

// slowRecords stand still where a rollout is written, until free is closed.
type slowRecords struct {
	*history.Store
	reached, free chan struct{}
}

func (r *slowRecords) PutRecord(kind, name string, data []byte) error {
	if kind == kindRollout {
		select {
		case r.reached <- struct{}{}:
			<-r.free
		case <-r.free:
		}
	}
	return r.Store.PutRecord(kind, name, data)
}

// A disk that stands still where a rollout is written holds up nobody who looks.
func TestASlowDiskDoesNotHoldUpReaders(t *testing.T) {
	s := newSimFleet(t, 1, text("one"))
	f, stop := s.start(t, t.TempDir())
	defer stop()
	write(t, f, 0, text("one"))
	write(t, f, 1, text("two"))
	slow := &slowRecords{Store: f.store.records.(*history.Store), reached: make(chan struct{}), free: make(chan struct{})}
	f.store.records = slow
	started := make(chan error, 1)
	go func() {
		_, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: quick})
		started <- err
	}()
	select {
	case <-slow.reached:
	case err := <-started:
		t.Fatalf("it did not begin: %v", err)
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		f.current()
		f.news.Changed()
		f.runOf("web")
	}()
	select {
	case <-looked:
	case <-time.After(testkit.Patience):
		t.Error("whoever looks waits for the disk")
	}
	close(slow.free)
	check(t, <-started)
	await(t, f, 1)
}

// closable is an engine that counts how often it is closed.
type closable struct {
	driver.Engine
	closed *int
}

func (c closable) Close() { *c.closed++ }

// A fleet file that names an engine that cannot be made leaves no other behind.
func TestEnginesMadeBeforeAFaultAreClosed(t *testing.T) {
	store, err := history.Open(history.Options{Dir: t.TempDir()})
	check(t, err)
	defer store.Close()
	made, closed := 0, 0
	m := &Map{Targets: []driver.Target{
		{Host: "a", Docker: "tcp://a:2375", Document: "web"}, {Host: "b", Docker: "tcp://b:2375", Document: "web"}, {Host: "c", Docker: "bad", Document: "web"},
	}}
	_, err = New(Options{Map: m, Documents: store, Records: store, NewEngine: func(url string) (driver.Engine, error) {
		if url == "bad" {
			return nil, errors.New("no such engine")
		}
		made++
		return closable{closed: &closed}, nil
	}})
	if err == nil || made != 2 || closed != 2 {
		t.Errorf("%d engines are made and %d closed: %v", made, closed, err)
	}
}
