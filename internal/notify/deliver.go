package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"fairway/internal/api"
	"fairway/internal/boltfile"
)

const (
	retryFirst = time.Second
	retryMost  = 5 * time.Minute
	// sendTimeout bounds one delivery, tryTimeout a test, for which an operator waits.
	sendTimeout = 20 * time.Second
	tryTimeout  = 8 * time.Second
	// maxTogether bounds how many events go in one message.
	maxTogether = 200
	// refusedTries is how often a message is tried that the receiver refuses.
	refusedTries = 5
)

// sender delivers batches to a receiver.
type sender interface {
	// send returns nil for what was taken, and errRefused for what never will be.
	send(ctx context.Context, p *batch) error
	// receiver is where it goes, without secrets.
	receiver() string
}

// errRefused says that a receiver has understood and will not take a message.
var errRefused = errors.New("refused")

// batch is what goes out at once: one event, or several in one message.
type batch struct {
	id     string
	from   string
	at     time.Time // when it is sent
	events []Event
	last   uint64 // number of the last of them
	lost   int    // messages that were given up before these
}

// channel is a Channel at work. What is below sender belongs to the notifier's lock.
type channel struct {
	Channel
	from   string
	sender sender

	wake    chan struct{}
	waiting []*message
	bytes   int

	limiter *rate.Limiter
	limited bool // messages have waited for the limiter

	tries  int         // of the batch that is next
	status api.Channel // but for what follows from waiting
}

func newChannel(c Channel, from string) (*channel, error) {
	if err := errors.Join(c.Check()...); err != nil {
		return nil, err
	}
	c.Rate = cmp.Or(c.Rate, rates[c.Kind])
	made := &channel{Channel: c, from: from, wake: make(chan struct{}, 1), status: api.Channel{Name: c.Name, Kind: c.Kind}}
	texts, err := parseTemplates(c)
	if err != nil {
		return nil, err
	}
	switch c.Kind {
	case KindMail:
		made.sender = &mailer{channel: c, texts: texts}
	case KindSlack:
		made.sender = &webhook{c, texts, slackBody}
	default:
		made.sender = &webhook{c, texts, webhookBody}
	}
	burst, every, err := parseRate(c.Rate)
	made.limiter = rate.NewLimiter(rate.Every(every), burst)
	return made, err
}

// append lets messages wait.
func (c *channel) append(list []*message) {
	c.waiting = append(c.waiting, list...)
	for _, m := range list {
		c.bytes += m.size()
	}
}

// size is about what a message takes in memory.
func (m *message) size() int {
	n := 200 + len(m.event.Subject) + len(m.event.Name) + len(m.event.Text)
	for k, v := range m.event.Details {
		n += len(k) + len(v)
	}
	return n
}

// enqueue lets messages wait; of too many the oldest are given up. It needs both locks.
func (n *Notifier) enqueue(c *channel, list []*message) {
	c.append(list)
	over := 0
	for bytes := c.bytes; over < len(c.waiting) && (len(c.waiting)-over > maxPending || bytes > maxPendingBytes); over++ {
		bytes -= c.waiting[over].size()
	}
	n.giveUp(c, over, "too many wait")
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// giveUp drops the first messages; the next batch says so. It needs both locks.
func (n *Notifier) giveUp(c *channel, count int, why string) {
	if count == 0 {
		return
	}
	n.log.Error("notifications are given up", "channel", c.Name, "count", count, "reason", why, "error", c.status.Error)
	n.meters.messages.With(c.Name, "given up").Add(uint64(count))
	c.status.Lost += count
	n.remove(c, count)
}

// remove takes the first messages of a channel out of the outbox, on disk first, so that
// none that readers see no more is sent again after a kill. It needs both locks.
func (n *Notifier) remove(c *channel, count int) {
	_ = n.commit(removal(c.Name, c.waiting[:count], c.status.Lost)) // logged; they go out again after a restart
	for _, m := range c.waiting[:count] {
		c.bytes -= m.size()
	}
	c.waiting = slices.Delete(c.waiting, 0, count)
}

// removal takes messages of a channel out of the outbox, and says how many are lost.
func removal(channel string, list []*message, lost int) changes {
	var tx changes
	for _, m := range list {
		set[Event](&tx, outboxOf(channel), string(boltfile.Key(m.number)), nil)
	}
	if lost > 0 {
		set(&tx, inLost, channel, &lost)
	} else {
		set[int](&tx, inLost, channel, nil)
	}
	return tx
}

// work delivers what waits for a channel until ctx ends.
func (n *Notifier) work(ctx context.Context, c *channel) {
	for {
		p, wait := n.take(c, time.Now())
		if p == nil {
			select {
			case <-time.After(wait):
			case <-c.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		sending, cancel := context.WithTimeout(ctx, sendTimeout)
		err := c.sender.send(sending, p)
		cancel()
		if err != nil && ctx.Err() != nil {
			return // it goes out after the restart
		}
		n.sent(c, p, err)
	}
}

// take returns what goes out next, or how long to wait for that.
func (n *Notifier) take(c *channel, now time.Time) (*batch, time.Duration) {
	defer n.change()()
	old := 0
	for old < len(c.waiting) && now.Sub(c.waiting[old].event.At) > maxAge {
		old++
	}
	n.giveUp(c, old, "they are older than "+maxAge.String())
	if len(c.waiting) == 0 {
		return nil, idle
	}
	if wait := c.status.Retry.Sub(now); wait > 0 {
		return nil, wait
	}
	if wait := c.token(now); wait > 0 {
		c.limited = true
		return nil, wait
	}
	count := 1
	if c.limited {
		count = min(len(c.waiting), maxTogether)
	}
	p := &batch{from: c.from, at: now, last: c.waiting[count-1].number, lost: c.status.Lost, events: eventsOf(c.waiting[:count])}
	p.id = idOf(p.events)
	return p, 0
}

func eventsOf(list []*message) (events []Event) {
	for _, m := range list {
		events = append(events, m.event)
	}
	return events
}

// idOf is the event's ID, or one that the same events together always have.
func idOf(events []Event) string {
	if len(events) == 1 {
		return events[0].ID
	}
	h := sha256.New()
	for _, e := range events {
		_, _ = h.Write([]byte(e.ID + "\n"))
	}
	return "summary_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// token is how long to wait until a message may go out, which then takes the token.
func (c *channel) token(now time.Time) time.Duration {
	missing := 1 - c.limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing/float64(c.limiter.Limit())*float64(time.Second)) + time.Millisecond
}

// sent records how a delivery went.
func (n *Notifier) sent(c *channel, p *batch, err error) {
	defer n.change()()
	now := time.Now()
	count := 0 // of the batch, some of which may have been given up meanwhile
	for count < len(c.waiting) && c.waiting[count].number <= p.last {
		count++
	}
	s := &c.status
	if err == nil {
		n.meters.messages.With(c.Name, "delivered").Inc()
		c.limiter.AllowN(now, 1)
		c.limited = c.limited && len(c.waiting) > count
		c.tries, s.Retry, s.Error, s.LastSuccess = 0, time.Time{}, "", now
		s.Lost -= p.lost
		n.remove(c, count)
		return
	}
	n.meters.messages.With(c.Name, "failed").Inc()
	c.tries++
	if s.Error != err.Error() {
		n.log.Warn("notification not delivered, trying again", "channel", c.Name, "receiver", c.sender.receiver(), "error", err)
	}
	s.Error, s.LastFailure = err.Error(), now
	if errors.Is(err, errRefused) && c.tries >= refusedTries {
		n.giveUp(c, count, "the receiver does not take them")
		c.tries, s.Retry = 0, time.Time{}
		return
	}
	wait := backoff(c.tries)
	var later *laterError
	if errors.As(err, &later) {
		wait = max(wait, later.wait)
	}
	s.Retry = now.Add(wait)
}

// backoff is how long to wait after so many tries in vain, a fifth more or less.
func backoff(tries int) time.Duration {
	d := min(retryMost, retryFirst<<min(tries-1, 10))
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// summary is the batch as one event. What was given up is counted in it.
func (p *batch) summary() Event {
	if len(p.events) == 1 && p.lost == 0 {
		return p.events[0]
	}
	e := Event{ID: p.id, Kind: Summary, Subject: "summary", Name: "summary", At: p.at.UTC().Truncate(time.Millisecond)}
	if len(p.events) == 1 {
		e = p.events[0]
		e.Text += fmt.Sprintf(" (and %d notifications before it were given up)", p.lost)
		return e
	}
	counts := map[Kind]int{}
	for _, x := range p.events {
		counts[x.Kind]++
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, string(kind)+" × "+strconv.Itoa(counts[kind]))
	}
	e.Text = clean(fmt.Sprintf("%d events: %s", len(p.events), strings.Join(parts, ", ")), maxText)
	if p.lost > 0 {
		e.Details = map[string]string{"given up": strconv.Itoa(p.lost)}
	}
	return e
}

// ErrNoChannel says that there is no channel of that name.
var ErrNoChannel = errors.New("no such channel")

// channel finds a channel; nil when there is none of that name.
func (n *Notifier) channel(name string) *channel {
	if i := slices.IndexFunc(n.channels, func(c *channel) bool { return c.Name == name }); i >= 0 {
		return n.channels[i]
	}
	return nil
}

// Try sends a test event to a channel, past its queue.
func (n *Notifier) Try(ctx context.Context, name string) error {
	c := n.channel(name)
	if c == nil {
		return fmt.Errorf("%w: %s", ErrNoChannel, name)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	now := time.Now()
	e := Event{
		Kind: Test, Subject: "channel/" + name, Name: name, At: now.UTC().Truncate(time.Millisecond),
		Text: "this is a test of the channel " + name, ID: fmt.Sprintf("test_%d", now.UnixNano()),
	}
	return c.sender.send(ctx, &batch{id: e.ID, from: c.from, at: now, events: []Event{e}})
}

// Channels returns the condition of the channels, sorted by name.
func (n *Notifier) Channels() []api.Channel {
	list := make([]api.Channel, 0, len(n.channels))
	for _, c := range n.channels {
		list = append(list, n.status(c))
	}
	return list
}

func (n *Notifier) status(c *channel) api.Channel {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := c.status
	s.Receiver, s.Pending = c.sender.receiver(), len(c.waiting)
	if len(c.waiting) > 0 {
		s.Oldest = c.waiting[0].event.At
	} else {
		s.Retry = time.Time{}
	}
	for _, at := range []*time.Time{&s.LastSuccess, &s.LastFailure, &s.Retry} {
		*at = at.UTC().Truncate(time.Millisecond)
	}
	return s
}

// Pending returns the first events that wait for a channel, in order, at most limit.
func (n *Notifier) Pending(name string, limit int) ([]Event, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.channel(name)
	if c == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoChannel, name)
	}
	return eventsOf(c.waiting[:min(limit, len(c.waiting))]), nil
}
