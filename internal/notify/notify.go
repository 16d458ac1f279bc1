// Package notify reports to people and programs what happened to what exists: a node
// went down, a service was deployed, a label is refused.
//
//	snapshots ────▶ watch ──┐
//	other parts, by Report ─┴▶ outbox (one file) ──▶ channel ──▶ webhook, mail, chat
//
// What has been reported, and what is still to be delivered, are one transaction on
// disk: an event is reported once, however often the process dies, and reaches each
// receiver at least once, in order and with the same ID each time.
//
// Only the operator names receivers; labels cannot. Texts from outside are cleaned,
// and escaped for the place where they stand.
package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fairway/internal/boltfile"
	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/metrics"
)

// Options are what New needs. Dir, Feed and Metrics are required.
type Options struct {
	// Dir is the state directory; the outbox is the file notify.db in it.
	Dir  string
	Feed *catalog.Feed
	// Channels are where events go; without any, events are kept and not sent.
	Channels []Channel
	// Settle is how long what is no node must be wrong; 0 means 10 s, negative no time.
	Settle time.Duration
	// From is how this Fairway is called in messages.
	From    string
	Logger  *slog.Logger
	Metrics *metrics.Set
}

const (
	defaultSettle = 10 * time.Second
	// maxAge is how long delivery is tried.
	maxAge = 72 * time.Hour
	// maxPending and maxPendingBytes bound what waits for one channel.
	maxPending      = 10_000
	maxPendingBytes = 16 << 20
	// keptEvents is how many events are kept to be looked at.
	keptEvents = 2000
	// openEvery is how often a taken outbox is tried, with maxEarly events waiting.
	openEvery = time.Second
	maxEarly  = 1000
	// idle is how long a goroutine waits at most for something to do.
	idle = time.Hour
)

// Notifier reports events. All methods may be called from any goroutine.
type Notifier struct {
	feed     *catalog.Feed
	dir      string
	settle   time.Duration
	log      *slog.Logger
	meters   *meters
	channels []*channel // in the order of their names

	// order is held by those who change something, from the decision until it is on disk.
	// It comes before mu, which is never held over the disk.
	order    sync.Mutex
	mu       sync.Mutex
	closed   bool
	store    *store  // nil while another process has the outbox
	early    []Event // reported meanwhile
	watch    *watch
	standing map[string]Event // by condition
	recent   []Event          // the newest keptEvents, oldest first
}

// New opens the outbox, unless another process has it: then Run waits. What a damaged file
// held is lost, and what exists is seen for the first time. Without Run, call Close.
func New(o Options) (*Notifier, error) {
	if o.Dir == "" || o.Feed == nil || o.Metrics == nil {
		return nil, errors.New("notify: directory, feed and metrics are required")
	}
	n := &Notifier{
		feed: o.Feed, dir: o.Dir, settle: max(0, cmp.Or(o.Settle, defaultSettle)),
		log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	}
	for _, c := range o.Channels {
		made, err := newChannel(c, o.From)
		if err != nil {
			return nil, fmt.Errorf("notify: channel %q: %w", c.Name, err)
		}
		if n.channel(c.Name) != nil {
			return nil, fmt.Errorf("notify: two channels are called %q", c.Name)
		}
		n.channels = append(n.channels, made)
	}
	slices.SortFunc(n.channels, func(a, b *channel) int { return cmp.Compare(a.Name, b.Name) })
	n.meters = newMeters(o.Metrics, n)
	if err := n.open(); err != nil && !errors.Is(err, boltfile.ErrTaken) {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return n, nil
}

var errClosed = errors.New("it is closed")

// open opens the outbox and takes over what is in it. New and then Run call it. It holds no
// lock while it waits for the file, which another process may have.
func (n *Notifier) open() error {
	n.mu.Lock()
	closed, open := n.closed, n.store != nil
	n.mu.Unlock()
	switch {
	case closed:
		return errClosed
	case open:
		return nil
	}
	store, kept, err := openStore(n.dir, n.log)
	if err != nil {
		return err
	}
	defer n.change()()
	if n.closed {
		return errors.Join(errClosed, store.close())
	}
	n.store, n.standing, n.recent = store, kept.standing, kept.events
	n.watch = newWatch(n.settle, kept.known, n.standing)
	for name, waiting := range kept.waiting {
		if n.channel(name) == nil {
			n.log.Warn("notifications for a channel that is not configured any more are dropped", "channel", name, "count", len(waiting))
			_ = n.commit(removal(name, waiting, 0)) // errors are logged
		}
	}
	for _, c := range n.channels {
		c.append(kept.waiting[c.Name])
		c.status.Lost = kept.lost[c.Name]
	}
	early := n.early
	n.early = nil
	return n.report(findings{events: early})
}

// Close closes the outbox. Run does it by itself. It may be called again.
func (n *Notifier) Close() error {
	defer n.change()()
	n.closed = true
	if n.store == nil {
		return nil
	}
	return n.store.close()
}

// Run follows the feed and delivers until ctx ends. It may be called once.
func (n *Notifier) Run(ctx context.Context) error {
	defer func() { _ = n.Close() }()
	if !n.opened(ctx) {
		return nil
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	for _, c := range n.channels {
		workers.Go(func() { n.work(ctx, c) })
	}
	var newest *catalog.Snapshot
	due := time.Now().Add(idle) // when something may be to report without a newer snapshot
	for {
		waiting, cancel := context.WithDeadline(ctx, due)
		s, err := n.feed.Next(waiting, newest)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			newest = s
		}
		due = n.look(newest)
	}
}

// opened waits until the outbox is open; false when ctx ends before.
func (n *Notifier) opened(ctx context.Context) bool {
	for logged := false; ; logged = true {
		err := n.open()
		if err == nil {
			return true
		}
		if !logged {
			n.log.Info("notifications wait for the outbox", "dir", n.dir, "error", err)
		}
		if clock.Sleep(ctx, openEvery) != nil {
			return false
		}
	}
}

// look reports what is new in a snapshot.
func (n *Notifier) look(s *catalog.Snapshot) (due time.Time) {
	defer n.change()()
	f := n.watch.next(s, time.Now())
	_ = n.report(f) // errors are logged; it is sent all the same
	if f.due.IsZero() {
		return time.Now().Add(idle)
	}
	return f.due
}

// Report takes events of other parts, but for a condition that stands already, or the end
// of none. A hold that stands is taken again after a day. After an error they are sent as long as the process lives.
func (n *Notifier) Report(events ...Event) error {
	defer n.change()()
	return n.report(findings{events: events})
}

// report puts events into the outboxes, with what is known now. It needs both locks.
func (n *Notifier) report(f findings) error {
	if n.store == nil {
		for _, e := range f.events {
			e.At = cmp.Or(e.At, time.Now())
			n.early = append(n.early, e)
		}
		n.early = n.early[max(0, len(n.early)-maxEarly):]
		return boltfile.ErrTaken
	}
	var tx changes
	for key, k := range f.changed {
		set(&tx, inKnown, key, k)
	}
	for _, condition := range f.withdrawn {
		n.withdraw(condition, &tx)
	}
	var reported []Event
	fresh := map[*channel][]*message{}
	for _, e := range f.events {
		e, is := n.news(e, &tx)
		if !is {
			continue
		}
		m := &message{n.store.next, e}
		n.store.next++
		n.meters.events.With(string(e.Kind)).Inc()
		reported = append(reported, e)
		key := string(boltfile.Key(m.number))
		set(&tx, inEvents, key, &e)
		for _, c := range n.channels {
			if c.wants(&e) {
				set(&tx, outboxOf(c.Name), key, &e)
				fresh[c] = append(fresh[c], m)
			}
		}
	}
	err := n.commit(tx)
	n.recent = append(n.recent, reported...)
	n.recent = slices.Delete(n.recent, 0, max(0, len(n.recent)-keptEvents))
	for c, list := range fresh {
		n.enqueue(c, list)
	}
	return err
}

// news returns the event as it is reported, and false for one that is none.
func (n *Notifier) news(e Event, tx *changes) (Event, bool) {
	e = e.cleaned()
	e.ID, e.At = cmp.Or(e.ID, rand.Text()), cmp.Or(e.At, time.Now()).UTC().Truncate(time.Millisecond)
	if e.Kind == "" || e.Subject == "" {
		return e, false
	}
	condition := e.condition()
	if condition == "" {
		return e, true
	}
	was, stands := n.standing[condition]
	switch {
	case stands == e.Kind.begins() && !(stands && e.repeats(was)):
		return e, false
	case stands && !e.Kind.begins():
		n.withdraw(condition, tx)
	default:
		n.standing[condition] = e
		set(tx, inStanding, condition, &e)
	}
	return e, true
}

// withdraw ends a condition without an event.
func (n *Notifier) withdraw(condition string, tx *changes) {
	delete(n.standing, condition)
	set[Event](tx, inStanding, condition, nil)
}

// commit writes to disk. The caller has both locks; mu is free while the disk works.
func (n *Notifier) commit(tx changes) error {
	if len(tx) == 0 {
		return nil
	}
	n.mu.Unlock()
	err := n.store.write(tx)
	n.mu.Lock()
	if err != nil {
		n.meters.diskErrors.Inc()
	}
	return err
}

// change takes both locks and returns the function that releases them.
func (n *Notifier) change() (done func()) {
	n.order.Lock()
	n.mu.Lock()
	return func() {
		n.mu.Unlock()
		n.order.Unlock()
	}
}

// Suppress records the conditions of events that are too many to be sent one by one.
func (n *Notifier) Suppress(events ...Event) {
	n.amend(func(tx *changes) {
		for _, e := range events {
			n.news(e, tx)
		}
	})
}

// Forget withdraws, without an event, the conditions of a kind whose subjects are gone. gone
// must not call the notifier.
func (n *Notifier) Forget(kind Kind, gone func(subject string) bool) {
	n.amend(func(tx *changes) {
		for condition, e := range n.standing {
			if e.Kind == kind && gone(e.Subject) {
				n.withdraw(condition, tx)
			}
		}
	})
}

// amend changes what stands, without an event.
func (n *Notifier) amend(change func(*changes)) {
	defer n.change()()
	if n.store == nil {
		return
	}
	var tx changes
	change(&tx)
	_ = n.commit(tx) // errors are logged
}

// Standing returns what is wrong now: the events that began it, the oldest first.
func (n *Notifier) Standing() []Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.standing), func(a, b Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Kind, b.Kind))
	})
}

// Recent returns the newest events, at most 2000, the newest first.
func (n *Notifier) Recent() []Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := slices.Clone(n.recent)
	slices.Reverse(list)
	return list
}

// meters are what the notifier counts. What waits is read off the channels.
type meters struct {
	events, messages *metrics.Vec[metrics.Counter]
	diskErrors       *metrics.Counter
}

func newMeters(m *metrics.Set, n *Notifier) *meters {
	counted := &meters{
		events: m.CounterVec("fairway_events_total", "Events that were reported, by kind.", "kind"),
		messages: m.CounterVec("fairway_notify_messages_total",
			"Messages to a channel, by what became of a try: delivered, failed or given up.", "channel", "result"),
		diskErrors: m.Counter("fairway_notify_disk_errors_total", "Writes to the outbox that failed."),
	}
	for _, c := range n.channels {
		for _, result := range []string{"delivered", "failed", "given up"} {
			counted.messages.With(c.Name, result)
		}
	}
	pending := m.Family(metrics.KindGauge, "fairway_notify_pending", "Events that wait for a channel.", "channel")
	oldest := m.Family(metrics.KindGauge, "fairway_notify_oldest_seconds", "Age of the oldest event that waits for a channel; 0 for none.", "channel")
	m.Collect(func(scrape *metrics.Scrape) {
		for _, c := range n.channels {
			s, age := n.status(c), 0.0
			if s.Pending > 0 {
				age = time.Since(s.Oldest).Seconds()
			}
			scrape.Put(pending, float64(s.Pending), c.Name)
			scrape.Put(oldest, age, c.Name)
		}
	})
	return counted
}
