package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/boltfile"
	"fairway/internal/catalog"
	"fairway/internal/metrics"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("FAIRWAY_NOTIFY_CHILD"); dir != "" {
		killedChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// inbox is a receiver in memory.
type inbox struct {
	mu   sync.Mutex
	down error
	got  []*batch
}

func (b *inbox) send(_ context.Context, p *batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return b.down
	}
	b.got = append(b.got, p)
	return nil
}

func (b *inbox) receiver() string { return "memory" }

func (b *inbox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
}

// events are the single events that came, in order, and messages how many parcels.
func (b *inbox) events() (events []Event, messages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.got {
		events = append(events, p.events...)
	}
	return events, len(b.got)
}

// start opens and runs a notifier with one channel that goes into an inbox, which
// may be down from the beginning.
func start(t *testing.T, dir string, feed *catalog.Feed, c Channel, down ...error) (n *Notifier, b *inbox, stop func()) {
	t.Helper()
	c.Name, c.Kind, c.URL = "ops", KindWebhook, "http://127.0.0.1:1/"
	n, err := New(Options{Dir: dir, Feed: feed, Channels: []Channel{c}, From: "here", Metrics: &metrics.Set{}})
	if err != nil {
		t.Fatal(err)
	}
	b = &inbox{down: errors.Join(down...)}
	n.channels[0].sender = b
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	return n, b, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// numbered are events about a few subjects that can be told apart.
func numbered(from, to int) []Event {
	var list []Event
	for i := from; i < to; i++ {
		list = append(list, Event{Kind: DrainCut, Subject: fmt.Sprintf("instance/%d", i%3), Name: "x", Text: fmt.Sprintf("event %d", i)})
	}
	return list
}

func wantNumbered(t *testing.T, events []Event, from, to int) {
	t.Helper()
	var got, want []string
	for _, e := range events {
		got = append(got, e.Text)
	}
	for i := from; i < to; i++ {
		want = append(want, fmt.Sprintf("event %d", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func mustReport(t *testing.T, n *Notifier, events ...Event) {
	t.Helper()
	if err := n.Report(events...); err != nil {
		t.Fatal(err)
	}
}

// A receiver that is away for an hour gets everything afterwards, in order, each
// once; a restart in between changes nothing.
func TestReceiverAwayForAnHour(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		feed := &catalog.Feed{}
		away := errors.New("connection refused")
		n, b, stop := start(t, dir, feed, Channel{}, away)
		w := swarm()
		s := w.snapshot()
		s.Revision = 1
		feed.Publish(s)
		for i := range 60 {
			mustReport(t, n, numbered(i, i+1)...)
			time.Sleep(time.Minute)
			if i == 30 {
				stop()
				n, b, stop = start(t, dir, feed, Channel{}, away)
			}
		}
		if state := n.Channels()[0]; state.Pending != 60 || state.Error != "connection refused" || state.Retry.IsZero() {
			t.Errorf("status %+v", state)
		}
		if pending, err := n.Pending("ops", 3); err != nil || len(pending) != 3 {
			t.Errorf("pending %v, %v", pending, err)
		}
		b.fail(nil)
		back := time.Now()
		time.Sleep(retryMost + retryMost/5)
		synctest.Wait()
		events, messages := b.events()
		wantNumbered(t, events, 0, 60)
		if messages != 60 {
			t.Errorf("%d messages", messages)
		}
		t.Logf("the first one %s after the receiver was back", b.got[0].at.Sub(back))
		stop()
		n, b, stop = start(t, dir, feed, Channel{}) // everything is gone from the disk
		time.Sleep(time.Hour)
		if events, _ := b.events(); len(events) != 0 || n.Channels()[0].Pending != 0 {
			t.Errorf("delivered again: %v", events)
		}
		stop()
	})
}

// What is more than the rate goes together in one message, in order.
// A receiver that says when to come again is not asked before.
func TestRetryAfter(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{}, &laterError{errors.New("busy"), 10 * time.Minute})
		defer stop()
		began := time.Now()
		mustReport(t, n, numbered(0, 1)...)
		synctest.Wait()
		b.fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		events, _ := b.events()
		wantNumbered(t, events, 0, 1)
		if took := b.got[0].at.Sub(began); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("it came after %s", took)
		}
	})
}

func TestRate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{Rate: "3/3m"})
		defer stop()
		began := time.Now()
		mustReport(t, n, numbered(0, 50)...)
		time.Sleep(time.Hour)
		synctest.Wait()
		events, messages := b.events()
		wantNumbered(t, events, 0, 50)
		if messages != 4 {
			t.Errorf("%d messages, want three and one with the rest", messages)
		}
		last := b.got[messages-1]
		if took := last.at.Sub(began); took < time.Minute || took > 61*time.Second {
			t.Errorf("the rest came after %s", took)
		}
		if e := last.summary(); e.Kind != Summary || e.Text != "47 events: drain.cut × 47" {
			t.Errorf("summary %+v", e)
		}
		mustReport(t, n, numbered(50, 52)...)
		synctest.Wait()
		if _, messages := b.events(); messages != 6 {
			t.Errorf("%d messages, want two more: it has been quiet", messages)
		}
	})
}

// A condition is told when it begins and when it ends, and no more often.
func TestConditionsAreToldOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{})
		fired := Event{Kind: RuleFired, Subject: "rule/busy/node/n1", Name: "busy", Text: "fired"}
		cleared := Event{Kind: RuleCleared, Subject: fired.Subject, Name: "busy", Text: "cleared"}
		mustReport(t, n, cleared, fired, fired)
		stop()
		var again *inbox
		n, again, stop = start(t, dir, &catalog.Feed{}, Channel{})
		defer stop()
		mustReport(t, n, fired)
		if got := n.Standing(); len(got) != 1 || got[0].Kind != RuleFired {
			t.Errorf("standing %+v", got)
		}
		mustReport(t, n, cleared, cleared, fired)
		n.Forget(RuleFired, func(string) bool { return true })
		mustReport(t, n, cleared)
		synctest.Wait()
		first, _ := b.events()
		second, _ := again.events()
		var kinds []Kind
		for _, e := range append(first, second...) {
			kinds = append(kinds, e.Kind)
		}
		if !slices.Equal(kinds, []Kind{RuleFired, RuleCleared, RuleFired}) {
			t.Errorf("told %v", kinds)
		}
		if recent := n.Recent(); len(recent) != 3 || recent[0].ID == recent[1].ID {
			t.Errorf("recent %+v", recent)
		}
	})
}

// What a receiver says it will never take does not hold up the rest.
func TestRefusedMessageIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{})
		defer stop()
		b.fail(fmt.Errorf("%w with status 400", errRefused))
		mustReport(t, n, numbered(0, 2)...)
		time.Sleep(20 * time.Second)
		b.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		events, _ := b.events()
		wantNumbered(t, events, 1, 2)
		if lost := b.got[0].lost; lost != 1 {
			t.Errorf("the next message says that %d were lost", lost)
		}
		if text := b.got[0].summary().Text; !strings.Contains(text, "1 notifications before it were given up") {
			t.Errorf("text %q", text)
		}
		if state := n.Channels()[0]; state.Lost != 0 || state.Error != "" {
			t.Errorf("status %+v", state)
		}
	})
}

// The outbox is bounded in number, bytes and age; what is given up is told.
func TestOutboxIsBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{Rate: "1/1s"})
		defer stop()
		b.fail(errors.New("away"))
		for i := range 21 {
			mustReport(t, n, numbered(500*i, 500*(i+1))...)
		}
		state := n.Channels()[0]
		if state.Pending != maxPending || state.Lost != 500 {
			t.Errorf("status %+v", state)
		}
		time.Sleep(maxAge + time.Hour)
		if state = n.Channels()[0]; state.Pending != 0 || state.Lost != 10_500 {
			t.Errorf("status after %s: %+v", maxAge, state)
		}
		b.fail(nil)
		mustReport(t, n, numbered(0, 1)...)
		time.Sleep(retryMost * 2)
		synctest.Wait()
		if _, messages := b.events(); messages != 1 || b.got[0].lost != 10_500 {
			t.Errorf("%d messages; %+v", messages, n.Channels()[0])
		}
		big := strings.Repeat("x", maxDetail)
		details := map[string]string{}
		for i := range maxDetails {
			details[fmt.Sprint(i)] = big
		}
		b.fail(errors.New("away"))
		for range 3 {
			events := numbered(0, 1000)
			for i := range events {
				events[i].Details = details
			}
			mustReport(t, n, events...)
		}
		if bytes := n.channels[0].bytes; bytes > maxPendingBytes {
			t.Errorf("%d bytes wait", bytes)
		}
	})
}

func TestChannelsGetWhatTheyWant(t *testing.T) {
	for _, c := range []struct {
		channel Channel
		kind    Kind
		name    string
		want    bool
	}{
		{Channel{}, NodeDown, "n1", true},
		{Channel{Events: []string{"node.*"}}, NodeDown, "n1", true},
		{Channel{Events: []string{"node.*"}}, ServiceDown, "n1", false},
		{Channel{Events: []string{"!service.*"}}, NodeDown, "n1", true},
		{Channel{Events: []string{"!service.*"}}, ServiceDown, "n1", false},
		{Channel{Events: []string{"*", "!*.gone", "service.gone"}}, ServiceGone, "n1", true},
		{Channel{Subjects: []string{"shop-*"}}, ServiceDown, "shop-web", true},
		{Channel{Subjects: []string{"node/*"}}, NodeDown, "n1", true},
		{Channel{Subjects: []string{"node/*"}}, ServiceDown, "n1", false},
		{Channel{Subjects: []string{"n?"}, Events: []string{"node.up"}}, NodeDown, "n1", false},
	} {
		thing, _, _ := strings.Cut(string(c.kind), ".")
		if got := c.channel.wants(&Event{Kind: c.kind, Subject: thing + "/" + c.name, Name: c.name}); got != c.want {
			t.Errorf("%v: %s %s: %v", c.channel, c.kind, c.name, got)
		}
	}
}

func TestNotifierFollowsTheFeed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		feed := &catalog.Feed{}
		n, b, stop := start(t, dir, feed, Channel{})
		defer stop()
		w := swarm()
		publish := func(revision uint64) {
			s := w.snapshot()
			s.Revision = revision
			feed.Publish(s)
			synctest.Wait()
		}
		publish(1)
		w.services = []*catalog.Service{service("shop", "shop:1", instance("shop.1", "n1", "shop:1", catalog.StateUnhealthy))}
		publish(2)
		if events, _ := b.events(); len(events) != 0 {
			t.Errorf("told at once: %v", events)
		}
		time.Sleep(defaultSettle) // without a further snapshot
		synctest.Wait()
		if events, _ := b.events(); len(events) != 2 {
			t.Errorf("told %v", events)
		}
		w.nodes[1] = node("n2", "down")
		before := time.Now()
		publish(3)
		events, _ := b.events()
		if last := events[len(events)-1]; last.Kind != NodeDown || !last.At.Equal(before.UTC().Truncate(time.Millisecond)) {
			t.Errorf("told %+v", last)
		}
		if got := n.meters.messages.With("ops", "delivered").Value(); got != 3 {
			t.Errorf("%v delivered", got)
		}
	})
}

// A disk that does not take the outbox keeps nobody from being told.
func TestDiskThatFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{})
		defer stop()
		if err := n.store.db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := n.Report(numbered(0, 1)...); err == nil {
			t.Error("no error from a disk that fails")
		}
		synctest.Wait()
		events, _ := b.events()
		wantNumbered(t, events, 0, 1)
		if got := n.meters.diskErrors.Value(); got == 0 {
			t.Error("the failure is not counted")
		}
	})
}

func TestChannelThatIsNotConfiguredAnyMore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, b, stop := start(t, dir, &catalog.Feed{}, Channel{})
		b.fail(errors.New("away"))
		mustReport(t, n, numbered(0, 3)...)
		stop()
		n, err := New(Options{Dir: dir, Feed: &catalog.Feed{}, Metrics: &metrics.Set{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(n.Recent()); got != 3 {
			t.Errorf("%d events are kept", got)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		_, b, stop = start(t, dir, &catalog.Feed{}, Channel{})
		defer stop()
		time.Sleep(time.Hour)
		if events, _ := b.events(); len(events) != 0 {
			t.Errorf("delivered %v", events)
		}
	})
}

// Damage to the file costs what was damaged, never the start.
func TestDamagedOutbox(t *testing.T) {
	dir := t.TempDir()
	n, err := New(Options{Dir: dir, Feed: &catalog.Feed{}, Metrics: &metrics.Set{}})
	if err != nil {
		t.Fatal(err)
	}
	mustReport(t, n, numbered(0, 500)...)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(t *testing.T, data []byte) int {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := New(Options{Dir: dir, Feed: &catalog.Feed{}, Metrics: &metrics.Set{}})
		if err != nil {
			t.Fatal(err)
		}
		kept := len(n.Recent())
		_ = n.Report(numbered(0, 1)...) // what is damaged deeper down may show only now; nothing may panic
		_ = n.Close()
		return kept
	}
	if got := reopen(t, whole); got != 500 {
		t.Fatalf("%d events in a whole file", got)
	}
	for _, size := range []int{0, 1, 100, 4096, 8192, 10_000, len(whole) / 2} {
		t.Logf("cut to %d bytes: %d events", size, reopen(t, whole[:size]))
	}
	text := slices.Clone(whole)
	at := strings.Index(string(text), "event 250")
	text[at] ^= 1
	if got := reopen(t, text); got != 499 {
		t.Errorf("%d events after one byte of one was changed", got)
	}
	for page := 0; page*4096 < len(whole); page++ {
		junk := slices.Clone(whole)
		for i := range 64 {
			junk[page*4096+i] = byte(i * 7)
		}
		reopen(t, junk)
	}
}

func TestNewRefuses(t *testing.T) {
	o := Options{Dir: t.TempDir(), Feed: &catalog.Feed{}, Metrics: &metrics.Set{}}
	o.Channels = []Channel{{Name: "a", Kind: KindWebhook, URL: "https://a.example"}, {Name: "a", Kind: KindWebhook, URL: "https://b.example"}}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), `two channels are called "a"`) {
		t.Errorf("error %v", err)
	}
}

// While another process has the outbox, that one tells; then this one does, also
// what it saw meanwhile.
func TestOutboxThatIsTaken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		feed := &catalog.Feed{}
		w := swarm()
		s := w.snapshot()
		s.Revision = 1
		feed.Publish(s)
		old, _, stopOld := start(t, dir, feed, Channel{})
		synctest.Wait()
		n, b, stop := start(t, dir, feed, Channel{})
		defer stop()
		time.Sleep(time.Minute)
		if err := n.Report(numbered(0, 2)...); !errors.Is(err, boltfile.ErrTaken) {
			t.Errorf("error %v", err)
		}
		mustReport(t, old, Event{Kind: RuleFired, Subject: "rule/x/y"})
		synctest.Wait()
		if got := n.Channels(); len(got) != 1 || got[0].Pending != 0 {
			t.Errorf("channels %+v", got)
		}
		stopOld()
		w.nodes[1] = node("n2", "down")
		s = w.snapshot()
		s.Revision = 2
		feed.Publish(s)
		time.Sleep(time.Minute)
		events, _ := b.events()
		wantNumbered(t, events[:2], 0, 2)
		if len(events) != 3 || events[2].Kind != NodeDown || len(n.Standing()) != 2 {
			t.Errorf("events %+v, standing %+v", events, n.Standing())
		}
	})
}

// Who waits for an outbox that is taken ends with its context, also once it is closed.
func TestClosedWhileTheOutboxIsTaken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, _, stopOld := start(t, dir, &catalog.Feed{}, Channel{})
		defer stopOld()
		n, _, stop := start(t, dir, &catalog.Feed{}, Channel{})
		synctest.Wait() // Run waits for the file now; a Close that waited for Run would hang here
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		stop()
	})
}
