package acme

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"fairway/internal/acme/ca"
)

// The policy of orders.
const (
	// An order that failed is placed again after firstRetry, then after twice as long each
	// time, up to maxRetry.
	firstRetry = time.Minute
	maxRetry   = 6 * time.Hour
	// maxOrders are placed for one host in orderSpan.
	maxOrders = 5
	orderSpan = time.Hour
	// Of all orders the first burst begin at once, then one each pace.
	burst = 10
	pace  = 2 * time.Second
	// maxRunning are under way at a time.
	maxRunning = 8
	// limitedPause is how long nothing is ordered after the authority said that it is too much.
	limitedPause = time.Minute
	// windowEvery is how often the authority is asked when to renew, where it does not say;
	// windowLeast bounds what it may say.
	windowEvery = 6 * time.Hour
	windowLeast = time.Hour
)

// state is everything that decisions are made from.
type state struct {
	names map[string]*name
	// issuer is how the authority as a whole is doing.
	issuer trouble
	// ownReported is true while Fairway's own authority is reported as failing.
	ownReported bool
	// after is when, by the pace, the bucket of orders is full again.
	after time.Time
	// directory is the source of certificates of the issuer.
	directory string
	// admitted is when names were admitted that clients asked for, within demandSpan.
	admitted []time.Time
}

// name is the state of one host.
type name struct {
	host string
	want *Want // nil: not wanted any more
	// source is where the certificate is to come from.
	source string
	has    *held // nil: no certificate yet
	// window is when the authority wants it renewed; zero for unknown. ask is when to ask.
	from, to, ask time.Time
	orders        []time.Time // in the last orderSpan, oldest first
	trouble       trouble
	busy          action // what is under way; empty for nothing
	forced        bool   // an operator wants it renewed now
	// demanded is when the answer was yes that it may have a certificate, since a client asked
	// for it; zero for a host of a route's own.
	demanded time.Time
}

// held is a certificate that is in use.
type held struct {
	file                string
	notBefore, notAfter time.Time
	issuer              string
	source              string // sourceInternal or a directory; empty for unknown
}

// sourceInternal is the source of certificates of Fairway's own authority.
const sourceInternal = "internal"

// foreign says whether the certificate is of another source than the one that is wanted.
func (n *name) foreign() bool { return n.want != nil && n.has.source != "" && n.has.source != n.source }

// trouble is what failed, how often, and when it is tried again.
type trouble struct {
	kind     ca.Kind
	failures int
	text     string
	since    time.Time
	next     time.Time
	reported bool
}

// action is what is to be done for a name.
type action string

// The actions. Revoking is asked for by an operator alone.
const (
	actObtain action = "obtain" // by the issuer
	actIssue  action = "issue"  // by the internal authority
	actWindow action = "window" // ask when to renew
	actRevoke action = "revoke"
	actDemand action = "demand" // a client asks for a name that has none
)

// decide says what is to be done at once and for which name, or, where that is nothing, when
// to ask again: zero for never. public and internal say which authorities there are.
func decide(s *state, public, internal bool, now time.Time) (do action, on *name, again time.Time) {
	later := func(t time.Time) {
		if again.IsZero() || t.Before(again) {
			again = t
		}
	}
	running, asking, issuing := 0, 0, 0
	for _, n := range s.names {
		switch n.busy {
		case actObtain:
			running++
		case actWindow:
			asking++
		case actIssue:
			issuing++
		}
	}
	open := s.opens()
	for _, n := range s.names {
		if n.want == nil || n.want.Refused != "" || n.busy != "" {
			continue
		}
		due := n.due()
		switch {
		case n.want.Internal && !internal || !n.want.Internal && !public:
			continue
		case due.After(now):
			later(due)
			if ask := n.asks(); !ask.IsZero() && asking == 0 && do == "" {
				if ask.After(now) {
					later(ask)
				} else {
					do, on = actWindow, n
				}
			}
		case n.want.Internal:
			if issuing < maxRunning { // else the end of one wakes the loop
				return actIssue, n, time.Time{}
			}
		case running >= maxRunning || s.issuer.failures > 0 && running > 0:
			// the end of what runs wakes the loop
		case open.After(now):
			later(open)
		case do != actObtain || n.before(on):
			do, on = actObtain, n
		}
	}
	if do != "" {
		return do, on, time.Time{}
	}
	return "", nil, again
}

// opens is when the next order may begin: by the pace, and once the authority has had its rest.
func (s *state) opens() time.Time {
	at := s.after.Add(-(burst - 1) * pace)
	if s.issuer.next.After(at) {
		at = s.issuer.next
	}
	return at
}

// before orders what is due: hosts without a certificate first, then by when it ends.
func (n *name) before(o *name) bool {
	end := func(n *name) time.Time {
		if n.has == nil {
			return time.Time{}
		}
		return n.has.notAfter
	}
	return cmp.Or(end(n).Compare(end(o)), n.trouble.failures-o.trouble.failures, cmp.Compare(n.host, o.host)) < 0
}

// due is when the next order for the name may begin.
func (n *name) due() time.Time {
	at := n.renews()
	if n.forced {
		at = time.Time{}
	} else if n.trouble.next.After(at) {
		at = n.trouble.next
	}
	if len(n.orders) >= maxOrders {
		if open := n.orders[len(n.orders)-maxOrders].Add(orderSpan); open.After(at) {
			at = open
		}
	}
	return at
}

// renews is when the certificate is to be replaced: at a moment within the window that the
// authority wants, else when two thirds of its life have passed and a little more, so that
// many that came together do not end together. It is zero without a certificate, and for one of
// another source than the one that is wanted.
func (n *name) renews() time.Time {
	if n.has == nil || n.foreign() {
		return time.Time{}
	}
	life := n.has.notAfter.Sub(n.has.notBefore)
	at, spread := n.has.notBefore.Add(life*2/3), life/30
	if n.to.After(n.from) && n.from.Before(n.has.notAfter) {
		at, spread = n.from, n.to.Sub(n.from)
	}
	return at.Add(time.Duration(share(n.host, n.has.notAfter.Unix()) * float64(spread)))
}

// asks is when to ask the authority for the window; zero for never.
func (n *name) asks() time.Time {
	if n.has == nil || n.want.Internal || n.foreign() {
		return time.Time{}
	}
	if n.ask.IsZero() { // soon, but not all at once
		return n.has.notBefore.Add(time.Duration(share(n.host, 0) * float64(windowLeast)))
	}
	return n.ask
}

// share is a number from 0 to 1 that is always the same for the same arguments.
func share(text string, salt int64) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text + "/" + strconv.FormatInt(salt, 10))) // it never fails
	return float64(h.Sum32()%10_000) / 10_000
}

// begin notes that something begins.
func (s *state) begin(do action, n *name, now time.Time) {
	n.busy = do
	if do != actObtain {
		return
	}
	n.orders = recent(append(n.orders, now), now)
	if s.after.Before(now) {
		s.after = now
	}
	s.after = s.after.Add(pace)
}

// recent are the orders that still count.
func recent(orders []time.Time, now time.Time) []time.Time {
	for len(orders) > 0 && now.Sub(orders[0]) >= orderSpan {
		orders = orders[1:]
	}
	return orders
}

// obtained notes a success.
func (s *state) obtained(n *name, has *held) {
	public := n.busy == actObtain
	n.busy, n.has, n.forced, n.trouble = "", has, false, trouble{}
	n.from, n.to, n.ask = time.Time{}, time.Time{}, time.Time{}
	if public {
		s.recovered()
	}
}

// recovered notes that the authority works. What failed only because it did not is tried
// again at once.
func (s *state) recovered() {
	if s.issuer.failures >= 3 {
		for _, n := range s.names {
			if n.trouble.kind == ca.Unavailable {
				n.trouble.next = time.Time{}
			}
		}
	}
	s.issuer = trouble{}
}

// failed notes a failure.
func (s *state) failed(n *name, f *ca.Failure, now time.Time) {
	public := n.busy == actObtain
	n.busy, n.forced = "", false
	switch {
	case public && f.Kind == ca.Unavailable:
		s.issuer.failed(f, "", now)
	case public && f.Kind == ca.Denied: // the authority was not asked
	case public: // it works, and says no
		s.recovered()
		if f.Kind == ca.Limited {
			s.issuer.next = now.Add(limitedPause)
		}
	}
	n.trouble.failed(f, n.host, now)
}

// failed notes one more failure, and when it is tried again.
func (t *trouble) failed(f *ca.Failure, salt string, now time.Time) {
	if t.failures == 0 {
		t.since = now
	}
	wait := maxRetry
	if t.failures < 16 {
		wait = min(firstRetry<<t.failures, maxRetry)
	}
	t.failures++
	t.kind, t.text = f.Kind, f.Text
	t.next = now.Add(wait + time.Duration(share(salt, int64(t.failures))*float64(wait)/5))
	if f.RetryAfter.After(t.next) {
		t.next = f.RetryAfter
	}
}

// windowed notes what the authority said about when to renew, or that it said nothing.
func (n *name) windowed(from, to, again time.Time, err error, now time.Time) {
	n.busy = ""
	if least := now.Add(windowLeast); again.IsZero() || err != nil {
		again = now.Add(windowEvery)
	} else if again.Before(least) {
		again = least
	} else if most := now.Add(24 * time.Hour); again.After(most) {
		again = most
	}
	n.ask = again
	if err == nil && to.After(from) {
		n.from, n.to = from, to
	}
}

// wanted brings the names to what is wanted, and forgets those that nothing is left of. It
// returns the hosts that are wanted no more, and whose trouble was reported.
func (s *state) wanted(list []Want, now time.Time) (over []string) {
	for _, n := range s.names {
		n.want = nil
	}
	for i := range list {
		w := &list[i]
		n := s.names[w.Name]
		if n == nil {
			n = &name{host: w.Name}
			s.names[w.Name] = n
		}
		if n.want, n.source = w, s.directory; w.Internal {
			n.source = sourceInternal
		}
	}
	for host, n := range s.names {
		if n.want == nil && n.trouble.reported {
			n.trouble.reported = false
			over = append(over, host)
		}
		n.orders = recent(n.orders, now)
		if n.want == nil && n.busy == "" && n.has == nil && len(n.orders) == 0 {
			delete(s.names, host)
		}
	}
	slices.Sort(over)
	return over
}

// expired are the names that are not wanted any more and whose certificates have ended.
func (s *state) expired(now time.Time) (list []*name) {
	for _, n := range s.names {
		if n.want == nil && n.busy == "" && n.has != nil && !n.has.notAfter.After(now) {
			list = append(list, n)
		}
	}
	return list
}
