package notify

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
	"fairway/internal/testkit"
)

// A disk that stands still holds up those who write, and nobody who looks.
func TestASlowDiskDoesNotHoldUpReaders(t *testing.T) {
	registry := prometheus.NewRegistry()
	n, err := New(Options{Dir: t.TempDir(), Feed: &catalog.Feed{}, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	disk, err := n.store.db.Begin(true) // the one who may write
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { told <- n.Tell(Event{Kind: DrainCut, Subject: "service/a", Name: "a", Text: "x"}) }()
	testkit.Eventually(t, "the writer waits for the disk", testkit.True(func() bool {
		if !n.order.TryLock() {
			return true
		}
		n.order.Unlock()
		return false
	}))
	looked := make(chan error, 1)
	go func() {
		_, err := registry.Gather()
		n.Channels()
		n.Standing()
		n.Recent()
		looked <- err
	}()
	select {
	case err := <-looked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testkit.Patience):
		t.Error("whoever looks waits for the disk")
	}
	if err := disk.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
}
