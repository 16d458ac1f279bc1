package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/acme/ca"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// The bounds of what clients cause that ask for names.
const (
	// askTime bounds one question to the operator's service; a yes counts for askedFor.
	askTime  = 5 * time.Second
	askedFor = 10 * time.Minute
	// A no is remembered for noFor, a question that was not answered for failedFor.
	noFor     = 10 * time.Minute
	failedFor = 10 * time.Second
	maxNos    = 10_000
	// maxAsking handshakes are at that point at a time; their questions begin at most
	// askBurst at once, then one each askPace.
	maxAsking = 64
	askBurst  = 20
	askPace   = 200 * time.Millisecond
	// demandSpan is what OnDemand.Most is counted in.
	demandSpan = time.Hour
	// demandSoon is how far away an order may be that clients wait for.
	demandSoon = 5 * time.Second
)

// OnDemand says for which names certificates are got once a client asks for them.
type OnDemand struct {
	// Ask says whether a certificate may be got for a name. Nothing is ordered without a yes.
	Ask func(ctx context.Context, name string) (yes bool, err error)
	// Hosts are those that may be asked for.
	Hosts []route.Host
	// Names is how many names there may be at a time, Most how many new ones in an hour.
	Names, Most int
}

// demands is what is remembered of names that clients ask for.
type demands struct {
	OnDemand
	takes   []func(name string) bool // of Hosts
	room    chan struct{}
	results *metrics.Vec[metrics.Counter]

	mu      sync.Mutex
	nos     map[string]time.Time // until when nothing is asked for a name
	waiting map[string]*waiting  // for what comes of an order
	full    time.Time            // when, by the pace, there is room for all questions again
}

// waiting is for what comes of a name.
type waiting struct {
	done     chan struct{}
	since    time.Time
	admitted bool // an order is to come
}

func newDemands(o *OnDemand, set *metrics.Set) *demands {
	if o == nil {
		return nil
	}
	d := &demands{
		OnDemand: *o, room: make(chan struct{}, maxAsking), nos: map[string]time.Time{}, waiting: map[string]*waiting{},
		results: set.CounterVec("fairway_acme_demands_total", "Names without a certificate that clients asked for, by result (yes, no: ask allowed it or not, known-no: a no that was remembered, unasked: no question could be asked now, bound: a bound of acme.on-demand is reached, or the next order is not to come soon, failed: ask did not answer).", "result"),
	}
	for _, h := range o.Hosts {
		if takes, err := h.Compile(); err == nil {
			d.takes = append(d.takes, takes)
		}
	}
	return d
}

// Demand returns the certificate for a name that a client asks for and that has none yet,
// and gets one where that may be; nil where none can be had before ctx ends. It may be called
// from any goroutine.
func (k *Keeper) Demand(ctx context.Context, name string) *tls.Certificate {
	d := k.demands
	if d == nil {
		return nil
	}
	name, err := canonical.Host(name)
	if err != nil || !d.may(name, k.o.Private) {
		return nil
	}
	select {
	case d.room <- struct{}{}:
		defer func() { <-d.room }()
	default:
		return nil
	}
	if cert := k.demanded(name); cert != nil {
		return cert
	}
	done, first := d.wait(name, time.Now())
	if first && !k.admit(ctx, name) {
		d.settle(name)
		return nil
	}
	select {
	case <-done:
		return k.demanded(name)
	case <-k.ended:
		return nil
	case <-ctx.Done():
		return nil
	}
}

// may says whether a name is among those that may be asked for.
func (d *demands) may(name string, private bool) bool {
	return strings.Contains(name, ".") && len(name) <= maxName && !isInternal(name, private) &&
		slices.ContainsFunc(d.takes, func(takes func(string) bool) bool { return takes(name) })
}

// demanded is the certificate of a name that there is by now; nil for none.
func (k *Keeper) demanded(name string) *tls.Certificate {
	names := k.View().Names // there may be another view at any time
	at, ok := slices.BinarySearchFunc(names, name, func(n NameView, name string) int { return strings.Compare(n.Name, name) })
	if !ok || names[at].File == "" {
		return nil
	}
	b, _, err := readBundle(k.fileOf(name))
	if err != nil {
		return nil
	}
	cert, err := tls.X509KeyPair(b.CertPEM, b.KeyPEM)
	if err != nil {
		return nil
	}
	return &cert
}

// wait is closed once something came of a name; first says that nothing is under way for it.
func (d *demands) wait(name string, now time.Time) (done <-chan struct{}, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.waiting[name]
	switch {
	case w == nil:
		w = &waiting{done: make(chan struct{})}
		d.waiting[name] = w
	case now.Sub(w.since) < askedFor:
		return w.done, false
	}
	w.since = now
	return w.done, true
}

// settle wakes those who wait for a name.
func (d *demands) settle(name string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.waiting[name]; w != nil {
		close(w.done)
		delete(d.waiting, name)
	}
}

// admitted notes that an order is to come for a name.
func (d *demands) admitted(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.waiting[name]; w != nil {
		w.admitted = true
	}
}

// dropped wakes those who wait for a name that was admitted and is not wanted any more.
func (d *demands) dropped(names map[string]*name) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.waiting, func(host string, w *waiting) bool {
		gone := w.admitted && (names[host] == nil || names[host].want == nil)
		if gone {
			close(w.done)
		}
		return gone
	})
}

// admit asks whether a name may have a certificate, and has it ordered.
func (k *Keeper) admit(ctx context.Context, name string) bool {
	d := k.demands
	if result := d.begin(name, time.Now()); result != "" {
		d.results.With(result).Inc()
		return false
	}
	result, pause := "yes", noFor
	yes, err := d.ask(ctx, name)
	switch {
	case err != nil:
		result, pause = "failed", failedFor
		k.log.Warn("no answer whether a name may have a certificate", "name", name, "error", err)
	case !yes:
		result = "no"
	default:
		if err := k.give(ctx, order{host: name, do: actDemand}); err != nil {
			result, pause = "bound", failedFor
			k.log.Warn("no certificate on demand", "name", name, "reason", err)
		}
	}
	d.results.With(result).Inc()
	if result != "yes" {
		d.remember(name, pause, time.Now())
	}
	return result == "yes"
}

// ask asks the operator's service.
func (d *demands) ask(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return d.Ask(ctx, name)
}

// begin says why a question is not asked now; empty for nothing.
func (d *demands) begin(name string, now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.nos[name]) {
		return "known-no"
	}
	if d.full.Before(now) {
		d.full = now
	}
	if d.full.Sub(now) > (askBurst-1)*askPace {
		return "unasked"
	}
	d.full = d.full.Add(askPace)
	return ""
}

// remember has nothing asked for a name for a time. Of too many, those that end first go.
func (d *demands) remember(name string, pause time.Duration, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.nos) >= maxNos {
		first := slices.SortedFunc(maps.Keys(d.nos), func(a, b string) int { return d.nos[a].Compare(d.nos[b]) })
		for _, other := range first[:maxNos/4] {
			delete(d.nos, other)
		}
	}
	d.nos[name] = now.Add(pause)
}

// demandedOf are the wants of names that were asked for, as far as a route takes them.
func (k *Keeper) demandedOf(list []Want) []Want {
	if k.demands == nil {
		return list
	}
	listed := make(map[string]bool, len(list))
	for _, w := range list {
		listed[w.Name] = true
	}
	for _, n := range k.state.names {
		if n.demanded.IsZero() || listed[n.host] || covers(k.state.names[wildcardOf(n.host)]) {
			continue
		}
		if w, ok := k.takers.want(n.host); ok && k.demands.may(n.host, k.o.Private) {
			list = append(list, w)
		}
	}
	return list
}

// covers says whether a wildcard has a certificate or is to get one.
func covers(above *name) bool { return above != nil && (above.want != nil || above.has != nil) }

// maxFailures is how many orders may fail for a name that a client asked for, and that has no
// certificate, until it is forgotten.
const maxFailures = 3

// ofDemand notes, before a failure is, when the answer for a name was yes, or that it is not wanted any more: the
// answer was no, or nothing comes of it. What there is serves to its end.
func (k *Keeper) ofDemand(n *name, asked time.Time, now time.Time) {
	n.demanded = asked
	if n.want == nil || !n.want.Demanded || !asked.IsZero() && (n.has != nil || n.trouble.failures+1 < maxFailures) {
		return
	}
	n.demanded, n.want = time.Time{}, nil
	k.demands.remember(n.host, noFor, now)
}

// demand notes that a name may have a certificate, or says why none is to come soon.
func (k *Keeper) demand(host string, now time.Time) error {
	w, ok := k.takers.want(host)
	if !ok {
		return errors.New("no route over HTTPS takes it")
	}
	s, count := k.state, 0
	for _, n := range s.names {
		if !n.demanded.IsZero() && (n.want == nil || n.want.Demanded) { // else a label has it by now
			count++
		}
	}
	s.admitted = slices.DeleteFunc(s.admitted, func(at time.Time) bool { return now.Sub(at) >= demandSpan })
	n := s.names[host]
	switch {
	case n != nil && n.want != nil:
		return s.comes(n, now)
	case covers(s.names[wildcardOf(host)]):
		return errors.New("a wildcard is to serve it")
	case count >= k.demands.Names:
		return fmt.Errorf("there are %d names already (acme.on-demand.names)", count)
	case len(s.admitted) >= k.demands.Most:
		return fmt.Errorf("there were %d new names within the hour (acme.on-demand.per-hour)", len(s.admitted))
	case n == nil:
		n = &name{host: host}
		s.names[host] = n
	}
	s.admitted = append(s.admitted, now)
	n.demanded, n.want, n.source = now, &w, s.directory
	k.unsaved = true
	return s.comes(n, now)
}

// comes says what is in the way of an order that is under way or begins soon.
func (s *state) comes(n *name, now time.Time) error {
	next := n.due()
	if open := s.opens(); open.After(next) {
		next = open
	}
	if n.busy != "" || next.Sub(now) <= demandSoon {
		return nil
	}
	return errors.New("the next order for it begins at " + next.UTC().Format(time.RFC3339))
}

// allowed asks again whether a name that clients asked for may have a certificate, where the
// yes is old. It is in the goroutine of an order.
func (k *Keeper) allowed(ctx context.Context, o obtain) (again time.Time, err error) {
	if !o.ask || time.Since(o.demanded) < askedFor {
		return o.demanded, nil
	}
	yes, err := k.demands.ask(ctx, o.host)
	switch {
	case err != nil:
		return o.demanded, &ca.Failure{Kind: ca.Denied, Text: "acme.on-demand.ask: " + err.Error()}
	case !yes:
		return time.Time{}, &ca.Failure{Kind: ca.Denied, Text: "acme.on-demand.ask says no"}
	}
	return time.Now(), nil
}
