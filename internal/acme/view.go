package acme

import (
	"maps"
	"slices"
	"time"

	"fairway/internal/metrics"
)

// The conditions of a name.
const (
	StateValid    = "valid"    // there is a certificate, and nothing failed
	StateWaiting  = "waiting"  // the first order is to come
	StateOrdering = "ordering" // an order is under way
	StateFailed   = "failed"   // the last order failed, or none can be placed; there may be a certificate
	StateKept     = "kept"     // no route has the host any more: it is not renewed
	StateNoCA     = "no-authority"
)

// View is what there is to see at one moment. It is immutable.
type View struct {
	// Names are sorted.
	Names []NameView
	// Error is why the authority as a whole cannot be used, in its own words; empty when it
	// can. Since is when that began, Next when it is asked again.
	Error       string
	Since, Next time.Time
}

// NameView is one host.
type NameView struct {
	Name string
	// Route and Service want it; empty when nothing does any more.
	Route, Service string
	// State is one of the State constants.
	State string
	// Error is why the last order failed, in the words of the authority; Since is when that
	// began, Failures how often it was.
	Error    string
	Since    time.Time
	Failures int
	// Next is when the next order begins at the earliest; zero for never.
	Next time.Time
	// File is the certificate's, and NotAfter when it ends; empty without one.
	File     string
	NotAfter time.Time
	// Demanded says that a client asked for it.
	Demanded bool
	// Internal says that it is of Fairway's own authority.
	Internal bool
}

// View is what there is to see now.
func (k *Keeper) View() *View { return k.view.Load() }

// show publishes the view.
func (k *Keeper) show() {
	s := k.state
	v := &View{Error: s.issuer.text, Since: s.issuer.since, Next: s.issuer.next, Names: make([]NameView, 0, len(s.names))}
	if s.issuer.failures == 0 {
		v.Error = ""
	}
	open := s.opens()
	for _, host := range slices.Sorted(maps.Keys(s.names)) {
		n := s.names[host]
		if n.want == nil && n.has == nil {
			continue // only its orders are counted on
		}
		one := NameView{Name: host, State: StateValid, Error: n.trouble.text, Since: n.trouble.since, Failures: n.trouble.failures}
		if n.want != nil {
			one.Route, one.Service, one.Internal, one.Demanded = n.want.Route, n.want.Service, n.want.Internal, n.want.Demanded
			if one.Next = n.due(); !one.Internal && open.After(one.Next) {
				one.Next = open
			}
		}
		if n.has != nil {
			one.File, one.NotAfter = n.has.file, n.has.notAfter
		}
		switch {
		case n.busy == actObtain || n.busy == actIssue:
			one.State = StateOrdering
		case n.want == nil:
			one.State = StateKept
		case n.want.Refused != "":
			one.State, one.Error, one.Next = StateFailed, n.want.Refused, time.Time{}
		case n.trouble.failures > 0:
			one.State = StateFailed
		case one.Internal && k.o.Authority == nil || !one.Internal && k.o.Issuer == nil:
			one.State, one.Next = StateNoCA, time.Time{}
		case n.has == nil:
			one.State = StateWaiting
		}
		v.Names = append(v.Names, one)
	}
	k.view.Store(v)
}

type meters struct {
	orders *metrics.Vec[metrics.Counter]
}

// measure declares the metrics.
func (k *Keeper) measure(set *metrics.Set) {
	k.meters.orders = set.CounterVec("fairway_acme_orders_total", "Attempts to get a certificate, by who was asked (obtain: the certificate authority, issue: Fairway's own) and result (obtained, shared: another replica had it, failed).", "action", "result")
	states := set.Family(metrics.KindGauge, "fairway_acme_names", "Hosts that Fairway gets certificates for, by state.", "state")
	next := set.Family(metrics.KindGauge, "fairway_acme_next_order_timestamp_seconds", "When the next order may begin, in seconds since 1970; missing for never.")
	down := set.Family(metrics.KindGauge, "fairway_acme_authority_up", "1 unless the certificate authority could not be used when it was last asked.")
	set.Collect(func(s *metrics.Scrape) {
		v := k.View()
		counts := map[string]int{StateValid: 0, StateWaiting: 0, StateOrdering: 0, StateFailed: 0, StateKept: 0, StateNoCA: 0}
		var first time.Time
		for _, n := range v.Names {
			counts[n.State]++
			if !n.Next.IsZero() && (first.IsZero() || n.Next.Before(first)) {
				first = n.Next
			}
		}
		for _, state := range slices.Sorted(maps.Keys(counts)) {
			s.Put(states, float64(counts[state]), state)
		}
		if !first.IsZero() {
			s.Put(next, float64(first.Unix()))
		}
		up := 1.0
		if v.Error != "" {
			up = 0
		}
		s.Put(down, up)
	})
}
