package notify

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/testkit"
)

// A disk that stands still holds up those who write, and nobody who looks.
func TestASlowDiskDoesNotHoldUpReaders(t *testing.T) {
	set := &metrics.Set{}
	n, err := New(Options{Dir: t.TempDir(), Feed: &catalog.Feed{}, Metrics: set})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	disk, err := n.store.db.Begin(true) // the one who may write
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { told <- n.Report(Event{Kind: DrainCut, Subject: "service/a", Name: "a", Text: "x"}) }()
	testkit.Eventually(t, "the writer waits for the disk", func() bool {
		if !n.order.TryLock() {
			return true
		}
		n.order.Unlock()
		return false
	})
	looked := make(chan error, 1)
	go func() {
		err := set.Write(io.Discard)
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

// What was delivered is pending for those who look until the disk knows of it: a kill
// after they have seen that nothing waits sends nothing twice.
func TestDeliveredIsSeenWhenItIsDurable(t *testing.T) {
	arrived := make(chan struct{}, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} }))
	defer receiver.Close()
	n, err := New(Options{
		Dir: t.TempDir(), Feed: &catalog.Feed{}, Metrics: &metrics.Set{},
		Channels: []Channel{{Name: "ops", Kind: KindWebhook, URL: receiver.URL}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Report(Event{Kind: DrainCut, Subject: "service/a", Name: "a", Text: "x"}); err != nil {
		t.Fatal(err)
	}
	disk, err := n.store.db.Begin(true) // the one who may write
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = n.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	<-arrived
	testkit.Eventually(t, "it is counted as delivered", func() bool {
		return n.meters.messages.With("ops", "delivered").Value() == 1
	})
	if pending := n.Channels()[0].Pending; pending != 1 {
		t.Errorf("%d events wait before the disk knows that the one was delivered", pending)
	}
	if err := disk.Rollback(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "nothing waits", func() bool { return n.Channels()[0].Pending == 0 })
}
