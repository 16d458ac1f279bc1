package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"fairway/internal/acme/ca"
	"fairway/internal/catalog"
	"fairway/internal/discovery/poll"
	"fairway/internal/feed"
	"fairway/internal/route"
)

const (
	// orderTime bounds one order, with the challenge and what DNS takes.
	orderTime = 5 * time.Minute
	// coveredEvery is how often the certificates of others are looked at again.
	coveredEvery = time.Minute
	// answerEvery is how often the source answers when nothing changes.
	answerEvery = time.Hour
)

// result is how something that was done for a name went.
type result struct {
	host string
	do   action
	err  error
	// of actObtain and actIssue
	has      *held
	ordered  bool
	demanded time.Time
	// of actWindow
	from, to, again time.Time
	// of actRevoke
	answer chan<- error
}

// order is what an operator asks for.
type order struct {
	host   string
	do     action // actObtain or actRevoke
	reason int
	answer chan error // room for one
}

// ErrUnknown is the reason why nothing is done for a name that Fairway gets no certificate for.
var ErrUnknown = errors.New("no certificate is got for this name")

// Source is the keeper as a source of the catalogue.
func (k *Keeper) Source() Source { return Source{k} }

// Source answers with the certificates that there are.
type Source struct{ k *Keeper }

// Name is the name of the source.
func (Source) Name() string { return Name }

// Run answers at once, and whenever there are other certificates.
func (s Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	poll.Run(ctx, answerEvery, s.k.wake, out, func(context.Context) catalog.Answer {
		return catalog.Answer{Certificates: s.k.Certificates(), Certain: true}
	})
}

// Run does what the live tables ask for until ctx ends, and returns nil when all that it began
// has ended.
func (k *Keeper) Run(ctx context.Context, tables *feed.Feed[route.Table]) error {
	defer close(k.ended)
	look := time.NewTicker(k.every)
	defer look.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := tables.Changed()
		if t := tables.Newest(); t != k.table {
			k.table, k.takers = t, newTakers(t)
			k.look()
		}
		timer.Reset(k.act(ctx))
		if k.unsaved && k.running == 0 {
			k.save()
		}
		k.show()
		select {
		case <-changed:
		case <-timer.C:
		case <-look.C:
			k.look()
			k.sweep(time.Now())
		case r := <-k.results:
			k.take(r)
		case o := <-k.orders:
			k.ask(ctx, o)
		case <-ctx.Done():
			k.end(ctx)
			return nil
		}
	}
}

// end waits for all that runs. What has come is kept, and what has not is tried again by the
// next run.
func (k *Keeper) end(ctx context.Context) {
	for k.running > 0 {
		r := <-k.results
		if r.err == nil {
			k.take(r)
			continue
		}
		k.running--
		if r.answer != nil {
			r.answer <- ctx.Err()
		}
	}
	if k.unsaved {
		k.save()
	}
}

// look brings the names to what the live table wants.
func (k *Keeper) look() {
	if k.table == nil {
		return
	}
	covered := k.o.Covered(k.table)
	slices.Sort(covered)
	covered = slices.Compact(covered)
	if !slices.Equal(covered, *k.covered.Load()) {
		k.covered.Store(&covered)
		if k.o.Recompile != nil {
			k.o.Recompile()
		}
	}
	now := time.Now()
	list := slices.DeleteFunc(wants(k.table, covered, k.o.Private, k.o.Wildcards), func(w Want) bool {
		above := k.state.names[wildcardOf(w.Name)] // until it is to be replaced
		return above != nil && above.has != nil && now.Before(above.renews()) && (w.Internal || above.has.source != sourceInternal)
	})
	for _, host := range k.state.wanted(k.demandedOf(list), now) {
		k.unsaved = true
		k.report(Event{Name: host, Text: "no certificate is wanted for " + host + " any more"})
	}
	k.demands.dropped(k.state.names)
}

// sweep removes certificates that have ended and are not wanted.
func (k *Keeper) sweep(now time.Time) {
	for _, n := range k.state.expired(now) {
		_ = os.Remove(n.has.file) // it is read no more in any case
		n.has = nil
		k.changed()
	}
}

// changed makes the source answer.
func (k *Keeper) changed() {
	k.publish()
	poll.Wake(k.wake)
}

// act begins what is to be done now, and says how long nothing else is.
func (k *Keeper) act(ctx context.Context) time.Duration {
	for began := false; ; {
		now := time.Now()
		do, n, again := decide(k.state, k.o.Issuer != nil, k.o.Authority != nil, now)
		if do == "" {
			if began {
				k.save() // before what it counts can be forgotten
			}
			if again.IsZero() {
				return time.Hour
			}
			return max(again.Sub(now), time.Millisecond)
		}
		k.state.begin(do, n, now)
		began = began || do == actObtain
		k.start(ctx, n, do)
	}
}

// start does something in a goroutine, and has the loop take the result.
func (k *Keeper) start(ctx context.Context, n *name, do action) {
	k.running++
	o := obtain{host: n.host, do: do, attempt: n.trouble.failures, fresh: n.has != nil && n.foreign(), source: n.source, demanded: n.demanded, ask: n.want.Demanded}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, orderTime)
		defer cancel()
		r := result{host: o.host, do: do}
		switch do {
		case actWindow:
			r.from, r.to, r.again, r.err = k.window(ctx, o.host)
		default:
			if r.demanded, r.err = k.allowed(ctx, o); r.err == nil {
				r.has, r.ordered, r.err = k.obtain(ctx, o)
			}
		}
		k.results <- r
	}()
}

// obtain is what is known of a name when a certificate is got for it.
type obtain struct {
	host    string
	do      action // actObtain or actIssue
	attempt int
	fresh   bool   // it replaces none of the same source
	source  string // where it comes from
	// demanded is as in name; ask says that the answer may have to be asked for again.
	demanded time.Time
	ask      bool
}

// obtain gets a certificate and writes it for the engines.
func (k *Keeper) obtain(ctx context.Context, o obtain) (*held, bool, error) {
	b, err := &ca.Bundle{Ordered: true}, error(nil)
	if o.do == actIssue {
		b.CertPEM, b.KeyPEM, err = k.o.Authority.Issue(ctx, o.host)
	} else {
		var replaces *x509.Certificate
		if !o.fresh {
			_, replaces, _ = readBundle(k.fileOf(o.host)) // nil where there is none
		}
		b, err = k.o.Issuer.Obtain(ctx, o.host, replaces, o.attempt)
	}
	if err != nil {
		return nil, false, err
	}
	if err := ca.Check(b, o.host, time.Now()); err != nil {
		return nil, b.Ordered, err
	}
	has, err := k.write(o.host, b)
	if err != nil {
		return nil, b.Ordered, &ca.Failure{Kind: ca.Local, Text: "the certificate cannot be written: " + err.Error()}
	}
	has.source = o.source
	return has, b.Ordered, nil
}

func (k *Keeper) window(ctx context.Context, host string) (from, to, again time.Time, err error) {
	_, leaf, err := readBundle(k.fileOf(host))
	if err != nil {
		return from, to, again, err
	}
	return k.o.Issuer.Window(ctx, leaf)
}

// take notes how something went.
func (k *Keeper) take(r result) {
	k.running--
	n, now := k.state.names[r.host], time.Now() // nothing that is busy is forgotten
	switch {
	case r.do == actWindow:
		n.windowed(r.from, r.to, r.again, r.err, now)
	case r.do == actRevoke:
		n.busy = ""
		if r.err == nil {
			k.log.Info("certificate revoked", "name", r.host)
			_ = os.Remove(k.fileOf(r.host)) // it is out of use either way
			n.has, n.trouble = nil, trouble{reported: n.trouble.reported}
			k.changed()
			k.save()
		}
		r.answer <- r.err
	case r.err != nil:
		k.meters.orders.With(string(r.do), "failed").Inc()
		k.ofDemand(n, r.demanded, now)
		k.fail(n, r.do, r.err, now)
		k.save()
		k.demands.settle(r.host)
	default:
		result := "obtained"
		if !r.ordered {
			result = "shared"
		}
		k.meters.orders.With(string(r.do), result).Inc()
		k.log.Info("certificate "+result, "name", r.host, "issuer", r.has.issuer, "until", r.has.notAfter.UTC().Format(time.RFC3339))
		was, down := n.trouble, k.state.issuer
		n.demanded = r.demanded
		k.state.obtained(n, r.has)
		k.worksAgain(n, was, down)
		k.changed()
		k.unsaved = true
		if r.do == actIssue && k.state.ownReported {
			k.state.ownReported = false
			k.report(Event{Name: OwnAuthority, Text: OwnAuthority + " issues again"})
		}
		if r.do == actObtain {
			k.save()
		}
		k.show() // before those look who wait for it
		k.demands.settle(r.host)
	}
}

// fail notes a failure, and reports it once.
func (k *Keeper) fail(n *name, do action, err error, now time.Time) {
	f := &ca.Failure{}
	if !errors.As(err, &f) {
		f = &ca.Failure{Kind: ca.Unavailable, Text: err.Error()}
	}
	reported, down := n.trouble.reported, k.state.issuer
	k.state.failed(n, f, now)
	n.trouble.reported = reported
	k.log.Warn("no certificate", "name", n.host, "reason", f.Text, "kind", f.Kind, "attempt", n.trouble.failures, "next", n.trouble.next.UTC().Format(time.RFC3339))
	switch {
	case do == actIssue:
		if !k.state.ownReported {
			k.state.ownReported = true
			k.report(Event{Name: OwnAuthority, Failed: true, Text: OwnAuthority + " issues nothing for " + n.host + ": " + f.Text})
		}
	case f.Kind == ca.Unavailable:
		if issuer := &k.state.issuer; issuer.failures > 0 {
			if issuer.reported = down.reported; !issuer.reported {
				issuer.reported = true
				k.report(Event{Failed: true, Text: "the certificate authority cannot be used: " + f.Text})
			}
		}
	default:
		k.worksAgain(nil, trouble{}, down)
		if !n.trouble.reported && n.want != nil {
			n.trouble.reported = true
			k.report(Event{Name: n.host, Failed: true, Text: fmt.Sprintf("there is no new certificate for %s: %s", n.host, f.Text)})
		}
	}
}

// worksAgain reports what works again, of a name (nil for none) and the authority, by how they were.
func (k *Keeper) worksAgain(n *name, was, down trouble) {
	if down.reported && !k.state.issuer.reported {
		k.report(Event{Text: "the certificate authority works again"})
	}
	if n != nil && was.reported {
		k.report(Event{Name: n.host, Text: "there is a new certificate for " + n.host})
	}
}

func (k *Keeper) report(e Event) {
	if k.o.Report != nil {
		k.o.Report(e)
	}
}

// ask begins what an operator wants.
func (k *Keeper) ask(ctx context.Context, o order) {
	n := k.state.names[o.host]
	switch {
	case o.do == actDemand:
		err := k.demand(o.host, time.Now())
		if err == nil {
			k.demands.admitted(o.host)
		}
		o.answer <- err
	case n == nil || n.want == nil && o.do == actObtain || n.has == nil && o.do == actRevoke:
		o.answer <- ErrUnknown
	case o.do == actObtain && n.want.Refused != "":
		o.answer <- errors.New(n.want.Refused)
	case o.do == actObtain && (n.want.Internal && k.o.Authority == nil || !n.want.Internal && k.o.Issuer == nil):
		o.answer <- errors.New("nothing is ordered for " + o.host + ": no authority that would issue for it is configured")
	case n.busy != "":
		o.answer <- errors.New("an order for " + o.host + " is under way")
	case o.do == actObtain:
		n.forced = true
		o.answer <- nil
	case n.has.source == sourceInternal || n.has.source == "" && n.want != nil && n.want.Internal || k.o.Issuer == nil:
		o.answer <- errors.New(o.host + " has a certificate of Fairway's own authority, which revokes none: it ends soon by itself")
	case n.has.source != "" && n.has.source != k.o.Directory:
		o.answer <- errors.New("the certificate for " + o.host + " is of another authority, which alone can revoke it: " + n.has.source)
	default:
		n.busy = actRevoke
		k.running++
		go func() {
			ctx, cancel := context.WithTimeout(ctx, orderTime)
			defer cancel()
			_, leaf, err := readBundle(k.fileOf(o.host))
			if err == nil {
				err = k.o.Issuer.Revoke(ctx, o.host, leaf, o.reason)
			}
			k.results <- result{host: o.host, do: actRevoke, err: err, answer: o.answer}
		}()
	}
}

// Renew has the certificate of a host ordered again, as soon as the limits allow. It returns
// before that has happened.
func (k *Keeper) Renew(ctx context.Context, host string) error {
	return k.give(ctx, order{host: host, do: actObtain})
}

// Revoke has the certificate of a host revoked, with a reason of RFC 5280, and another one
// ordered if the host is still served. It returns once the authority has confirmed it.
func (k *Keeper) Revoke(ctx context.Context, host string, reason int) error {
	return k.give(ctx, order{host: host, do: actRevoke, reason: reason})
}

func (k *Keeper) give(ctx context.Context, o order) error {
	o.answer = make(chan error, 1)
	select {
	case k.orders <- o:
	case <-k.ended:
		return errors.New("this Fairway is ending")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
