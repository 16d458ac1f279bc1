// Package notify reports to people and programs what happened to what exists: a node
// went down, a service was deployed, a label is refused.
//
//	snapshots ────▶ watch ──┐
//	other parts, by Report ─┴▶ outbox (one file) ──▶ channel ──▶ webhook, mail, chat
//
// What changed is decided purely from a snapshot and what has been reported before
// (see watch). What has been reported, and what is still to be delivered, are one
// transaction on disk: an event is reported once, however often the process dies,
// and reaches each receiver at least once, in order. A receiver that gets an event
// twice gets the same ID both times.
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
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
)

// Feed hands out snapshots. *catalog.Feed is one.
type Feed interface {
	Next(ctx context.Context, have *catalog.Snapshot) (*catalog.Snapshot, error)
}

// Options are what New needs. Dir, Feed and Registerer are required.
type Options struct {
	// Dir is the state directory; the outbox is the file notify.db in it.
	Dir  string
	Feed Feed
	// Channels are where events go; without any, events are kept and not sent.
	Channels []Channel
	// Settle is how long something must be wrong with a service, an instance or a
	// source before it is reported, so that a deployment is no incident. A node that
	// is down is reported at once. Zero means 10 s, negative not at all.
	Settle time.Duration
	// From is how this Fairway is called in messages.
	From       string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
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
	// openEvery is how often an outbox is tried that another process has, and
	// maxEarly how many events wait for that.
	openEvery = time.Second
	maxEarly  = 1000
)

// Notifier reports events. All methods may be called from any goroutine.
type Notifier struct {
	feed     Feed
	dir      string
	settle   time.Duration
	log      *slog.Logger
	metrics  *metrics
	channels []*channel // in the order of their names

	// order is held by those who change something, from the decision until it is on
	// disk. It comes before mu, which is never held over the disk, so that readers do
	// not wait for it.
	order    sync.Mutex
	mu       sync.Mutex
	closed   bool
	store    *store  // nil while another process has the outbox
	early    []Event // reported meanwhile
	watch    *watch
	standing map[string]Event // by condition
	recent   []Event          // the newest keptEvents, oldest first
}

// New opens the outbox, unless another process has it: then Run waits for it. A
// file that is damaged is moved aside with an alarm in the log; what was not
// delivered is lost then, and what exists counts as seen for the first time.
// Without Run, the caller has to Close.
func New(o Options) (*Notifier, error) {
	if o.Dir == "" || o.Feed == nil || o.Registerer == nil {
		return nil, errors.New("notify: directory, feed and registerer are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Settle = cmp.Or(o.Settle, defaultSettle); o.Settle < 0 {
		o.Settle = 0
	}
	n := &Notifier{feed: o.Feed, dir: o.Dir, settle: o.Settle, log: o.Logger}
	names := map[string]bool{}
	for _, c := range o.Channels {
		if err := errors.Join(c.Check()...); err != nil {
			return nil, fmt.Errorf("notify: channel %q: %w", c.Name, err)
		}
		if names[c.Name] {
			return nil, fmt.Errorf("notify: two channels are called %q", c.Name)
		}
		names[c.Name] = true
		made, err := newChannel(c, o.From)
		if err != nil {
			return nil, fmt.Errorf("notify: channel %q: %w", c.Name, err)
		}
		n.channels = append(n.channels, made)
	}
	slices.SortFunc(n.channels, func(a, b *channel) int { return cmp.Compare(a.Name, b.Name) })
	var err error
	if n.metrics, err = newMetrics(o.Registerer, n); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	if err := n.open(); err != nil && !errors.Is(err, errTaken) {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return n, nil
}

// open opens the outbox and takes over what is in it. While another process has it,
// as during an upgrade, that one reports.
func (n *Notifier) open() error {
	defer n.change()()
	if n.closed {
		return nil
	}
	n.mu.Unlock()
	store, kept, err := openStore(n.dir, n.log)
	n.mu.Lock()
	if err != nil {
		return err
	}
	n.store, n.standing, n.recent = store, kept.standing, kept.events
	n.watch = newWatch(n.settle, kept.known, n.standing)
	for name, waiting := range kept.waiting {
		c, err := n.channel(name)
		if err != nil {
			n.log.Warn("notifications for a channel that is not configured any more are dropped", "channel", name, "count", len(waiting))
			_ = n.commit(&commit{forget: []string{name}}) // errors are logged
			continue
		}
		c.restore(waiting, kept.lost[name])
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

// Run follows the feed and delivers until ctx ends, then returns nil. It may be
// called once.
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
	var due time.Time // when something may be to report without a newer snapshot
	for {
		s, err := n.next(ctx, newest, due)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			newest = s
		}
		due = n.look(newest)
	}
}

// opened waits until the outbox is open; false when ctx ends before.
func (n *Notifier) opened(ctx context.Context) bool {
	for logged := false; ; {
		n.mu.Lock()
		is := n.store != nil
		n.mu.Unlock()
		if is {
			return true
		}
		switch err := n.open(); {
		case err == nil:
			continue
		case !logged:
			n.log.Info("notifications wait for the process that has the outbox", "error", err)
			logged = true
		}
		select {
		case <-time.After(openEvery):
		case <-ctx.Done():
			return false
		}
	}
}

// next waits for a snapshot that is newer than have; it gives up when something is
// due.
func (n *Notifier) next(ctx context.Context, have *catalog.Snapshot, due time.Time) (*catalog.Snapshot, error) {
	if due.IsZero() {
		return n.feed.Next(ctx, have)
	}
	waiting, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	return n.feed.Next(waiting, have)
}

// look reports what is new in a snapshot.
func (n *Notifier) look(s *catalog.Snapshot) (due time.Time) {
	defer n.change()()
	f := n.watch.next(s, time.Now())
	_ = n.report(f) // errors are logged; it is sent all the same
	return f.due
}

// Report takes events that other parts have seen. An event that begins a condition
// that stands already, or ends one that does not, is dropped. When Report returns nil
// the events are on disk and survive the process; with an error they are sent as long
// as it lives. It takes as long as the disk takes.
func (n *Notifier) Report(events ...Event) error {
	defer n.change()()
	return n.report(findings{events: events})
}

// report puts events into the outbox of every channel that wants them, and
// remembers what is known from now on. The caller has both locks.
func (n *Notifier) report(f findings) error {
	if n.store == nil {
		for _, e := range f.events {
			e.At = cmp.Or(e.At, time.Now())
			n.early = append(n.early, e)
		}
		n.early = n.early[max(0, len(n.early)-maxEarly):]
		return errTaken
	}
	tx := &commit{known: f.known, standing: map[string]*Event{}}
	for _, condition := range f.withdrawn {
		n.withdraw(condition, tx)
	}
	for _, e := range f.events {
		if e, is := n.news(e, tx); is {
			tx.events = append(tx.events, e)
		}
	}
	if len(tx.events) == 0 && len(tx.known) == 0 && len(tx.standing) == 0 {
		return nil
	}
	n.store.number(tx)
	for i, e := range tx.events {
		n.metrics.events.WithLabelValues(string(e.Kind)).Inc()
		for _, c := range n.channels {
			if c.wants(&e) {
				tx.queued = append(tx.queued, &message{channel: c.Name, number: tx.first + uint64(i), event: e})
			}
		}
	}
	err := n.commit(tx)
	n.recent = append(n.recent, tx.events...)
	if excess := len(n.recent) - keptEvents; excess > 0 {
		n.recent = slices.Delete(n.recent, 0, excess)
	}
	for _, c := range n.channels {
		n.enqueue(c, tx.queued)
	}
	return err
}

// news returns the event as it is reported, and false for one that is none. It notes
// what stands after it.
func (n *Notifier) news(e Event, tx *commit) (Event, bool) {
	e = e.cleaned()
	e.ID, e.At = cmp.Or(e.ID, rand.Text()), cmp.Or(e.At, time.Now()).UTC().Truncate(time.Millisecond)
	if e.Kind == "" || e.Subject == "" {
		return e, false
	}
	condition := e.condition()
	if condition == "" {
		return e, true
	}
	_, stands := n.standing[condition]
	if stands == e.Kind.begins() {
		return e, false
	}
	if stands {
		n.withdraw(condition, tx)
	} else {
		n.standing[condition], tx.standing[condition] = e, &e
	}
	return e, true
}

// withdraw ends a condition without an event.
func (n *Notifier) withdraw(condition string, tx *commit) {
	delete(n.standing, condition)
	tx.standing[condition] = nil
}

// commit writes to disk. A failure is logged once, and counted. The caller has both
// locks; mu is free while the disk works.
func (n *Notifier) commit(tx *commit) error {
	n.mu.Unlock()
	err := n.store.write(tx)
	n.mu.Lock()
	if err != nil && n.metrics != nil {
		n.metrics.diskErrors.Inc()
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

// Suppress records the conditions of events without sending the events: those that are
// too many to be sent one by one.
func (n *Notifier) Suppress(events ...Event) {
	n.amend(func(tx *commit) {
		for _, e := range events {
			n.news(e, tx)
		}
	})
}

// Forget withdraws, without an event, the conditions of a kind whose subject is not
// among those that are still there: of a rule that was removed from the
// configuration.
func (n *Notifier) Forget(kind Kind, subjects map[string]bool) {
	n.amend(func(tx *commit) {
		for condition, e := range n.standing {
			if e.Kind == kind && !subjects[e.Subject] {
				n.withdraw(condition, tx)
			}
		}
	})
}

// amend changes what stands, without an event.
func (n *Notifier) amend(change func(*commit)) {
	defer n.change()()
	if n.store == nil {
		return
	}
	tx := &commit{standing: map[string]*Event{}}
	change(tx)
	if len(tx.standing) > 0 {
		_ = n.commit(tx) // errors are logged
	}
}

// Standing returns the events that began a condition which is not over, the
// oldest first: what is wrong now.
func (n *Notifier) Standing() []Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Event, 0, len(n.standing))
	for _, e := range n.standing {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}

// Recent returns the newest events, at most 2000, the newest first.
func (n *Notifier) Recent() []Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := slices.Clone(n.recent)
	slices.Reverse(list)
	return list
}
