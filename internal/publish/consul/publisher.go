// Package consul writes what is to be published into an agent of Consul, and keeps it so.
//
// One loop compares what the catalogue wants with what the agent has, and writes the
// differences: at each snapshot, and every few seconds anew, so that nothing depends on
// anything remembered. What is Fairway's own is known by its metadata; nothing else is ever
// touched. Each entry has a check with a lease, so that entries end by themselves where
// Fairway does not come back. An entry goes only where it is known that its instance is gone.
package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fairway/internal/api/published"
	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/metrics"
	"fairway/internal/publish"
)

const (
	readOften    = 5 * time.Second // what the agent has, up to fewEntries; more entries every
	readSeldom   = 30 * time.Second
	fewEntries   = 1000
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
	stopTimeout  = 4 * time.Second
	writeAtOnce  = 8
	againAfter   = 30 * time.Second // a write of one entry that failed
	yieldAfter   = 5 * time.Second  // that another writes as this owner is seen for so long
)

// Reader reads an agent.
type Reader interface {
	AgentServices(ctx context.Context) (map[string]consul.AgentService, error)
	AgentChecks(ctx context.Context) (map[string]consul.Check, error)
	AgentAddress(ctx context.Context) (string, error)
	Leader(ctx context.Context, datacenter string) (string, error)
}

// Writer writes into an agent.
type Writer interface {
	Register(ctx context.Context, r consul.Registration) error
	Deregister(ctx context.Context, id string) error
	DeregisterCheck(ctx context.Context, id string) error
	UpdateCheck(ctx context.Context, id, status, output string) error
}

// The values of Options.OnStop.
const (
	Keep       = "keep"
	MakeFailed = "critical"
	Remove     = "remove"
)

// Options are what New needs. Feed, Reader, Writer and Settings.Owner are required.
type Options struct {
	Feed   *catalog.Feed
	Reader Reader
	Writer Writer
	// Settings say what is published.
	Settings publish.Settings
	// Lease is how long an entry stays passing without a Fairway, Forget how long it stays
	// critical before Consul removes it; zero is 1 h and 72 h.
	Lease, Forget time.Duration
	// OnStop is Keep, MakeFailed or Remove; empty is Keep.
	OnStop  string
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Publisher writes into one agent. Its methods may be called by any goroutine.
type Publisher struct {
	o    Options
	s    settings
	kick chan struct{}

	writes  *metrics.Vec[metrics.Counter]
	entries *metrics.Vec[metrics.Gauge]
	lag     *metrics.Gauge

	// What follows belongs to the goroutine of Run.
	have     have
	read     time.Time            // when that was
	written  *catalog.Snapshot    // the newest that was
	due      map[string]time.Time // when the lease of a check is renewed
	removal  removal
	rival    time.Time // since when another writes as this owner
	backoff  time.Duration
	writeErr map[string]failure // by entry

	mu        sync.Mutex
	force     bool // removals that are held may go
	withdrawn bool
	status    published.Published
}

// failure is why an entry could not be written, since when.
type failure struct {
	err         error
	op          string
	since, last time.Time
}

// New makes a publisher that does nothing until Run.
func New(o Options) (*Publisher, error) {
	if o.Feed == nil || o.Reader == nil || o.Writer == nil || o.Settings.Owner == "" {
		return nil, errors.New("publishing: a feed, an agent and an owner are required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	set := cmp.Or(o.Metrics, &metrics.Set{})
	p := &Publisher{
		o: o, kick: make(chan struct{}, 1), due: map[string]time.Time{}, writeErr: map[string]failure{}, backoff: backoffFirst,
		s: settings{
			owner: o.Settings.Owner, run: fmt.Sprintf("%016x", time.Now().UnixNano()), adopt: o.Settings.Dialect == publish.Registrator,
			lease: cmp.Or(o.Lease, time.Hour), forget: cmp.Or(o.Forget, 72*time.Hour),
		},
		writes:  set.CounterVec("fairway_publish_writes_total", "Writes into the registry, by operation and result (ok or error).", "op", "result"),
		entries: set.GaugeVec("fairway_publish_entries", "Entries that are wanted or there, by state.", "state"),
		lag:     set.Gauge("fairway_publish_lag_seconds", "Time from the newest snapshot to the end of the writes for it."),
	}
	p.status = published.Published{Registry: "agent of Consul", Owner: o.Settings.Owner, State: stateWaiting, Reason: "the sources have not answered yet", Entries: []published.PublishedEntry{}, Problems: []published.PublishedProblem{}}
	return p, nil
}

// The states of publishing.
const (
	stateWaiting = "waiting"
	stateCurrent = "current"
	stateBehind  = "behind"
	stateAway    = "away"
	stateStopped = "stopped"
)

// State says how publishing is doing.
func (p *Publisher) State() published.Published {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Entries, s.Problems = slices.Clone(s.Entries), slices.Clone(s.Problems)
	return s
}

// Apply has everything written now; with removals those that are held, too.
func (p *Publisher) Apply(removals bool) {
	p.mu.Lock()
	p.force, p.withdrawn = p.force || removals, false
	p.mu.Unlock()
	p.wake()
}

// Withdraw has all entries of this Fairway removed, and nothing written until Apply.
func (p *Publisher) Withdraw() {
	p.mu.Lock()
	p.withdrawn = true
	p.mu.Unlock()
	p.wake()
}

func (p *Publisher) wake() {
	select {
	case p.kick <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run publishes until ctx ends, and then does what OnStop says.
func (p *Publisher) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := p.o.Feed.Changed()
		timer.Reset(p.turn(ctx))
		select {
		case <-ctx.Done():
			p.stop(context.WithoutCancel(ctx))
			return nil
		case <-changed:
			if p.backoff > backoffFirst { // Consul is away: the timer says when to ask
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
		case <-p.kick:
			p.read = time.Time{}
			for id, f := range p.writeErr {
				f.op = "" // it is tried again
				p.writeErr[id] = f
			}
		case <-timer.C:
		}
	}
}

// turn reads what is needed, writes what differs, and returns until when nothing is due.
func (p *Publisher) turn(ctx context.Context) time.Duration {
	p.mu.Lock()
	force, withdrawn := p.force, p.withdrawn
	p.force = false // an operator's word holds for what is seen now
	p.mu.Unlock()
	snapshot := p.o.Feed.Newest()
	if snapshot == nil || snapshot.Restored {
		return readSeldom
	}
	err := p.reconcile(ctx, snapshot, force, withdrawn)
	var said *consul.Error
	switch {
	case err == nil:
		p.backoff = backoffFirst
		if len(p.have.services) > fewEntries {
			return readSeldom
		}
		return readOften
	case ctx.Err() != nil:
		return readSeldom
	}
	p.read = time.Time{}
	wait := p.backoff/2 + rand.N(p.backoff)
	p.backoff = min(2*p.backoff, backoffMost)
	if errors.As(err, &said) {
		wait = max(wait, said.After)
	}
	p.away(err)
	return min(wait, backoffMost)
}

// reconcile writes the differences. An error is one of Consul as a whole.
func (p *Publisher) reconcile(ctx context.Context, snapshot *catalog.Snapshot, force, withdrawn bool) error {
	now := time.Now()
	if every := readEvery(len(p.have.services)); now.Sub(p.read) >= every-every/5 {
		if err := p.look(ctx); err != nil {
			return err
		}
		p.read = time.Now()
	}
	want, problems := publish.Want(snapshot, p.o.Settings)
	mine := p.mine()
	p.removal.look(snapshot, mine)
	if p.yields(mine, now) {
		p.show(nil, nil, map[string]string{}, problems, stateStopped, "another Fairway with the same owner writes here: give each a state-dir of its own, and restart this one")
		return nil
	}
	var gone []string
	held := map[string]string{}
	if withdrawn || p.o.Settings.None {
		want, gone = nil, p.have.mine(p.s.owner)
	} else {
		wanted := make(map[string]bool, len(want))
		for _, e := range want {
			wanted[e.ID] = true
		}
		gone, held = p.removal.decide(snapshot, mine, func(id string) bool { return wanted[id] }, force, now)
	}
	steps, _ := plan(want, p.have, p.s, func(check string) bool { return !now.Before(p.due[check]) })
	steps = append(steps, p.leases(held, now)...)
	maps.DeleteFunc(p.writeErr, func(id string, _ failure) bool { // what is no longer to be written fails no more
		return !slices.Contains(gone, id) && !slices.ContainsFunc(steps, func(s step) bool { return s.entry == id })
	})
	steps = slices.DeleteFunc(steps, func(s step) bool { return p.isRivals(s.entry) || p.failedLately(s.entry, s.op, now) })
	gone = slices.DeleteFunc(gone, func(id string) bool { return p.isRivals(id) || p.failedLately(id, opDeregister, now) })
	err := p.write(ctx, steps)
	if err == nil {
		err = p.remove(ctx, gone)
	}
	if err != nil {
		return err
	}
	if snapshot != p.written {
		p.written = snapshot
		p.lag.Set(time.Since(snapshot.Taken).Seconds())
	}
	_, verdicts := plan(want, p.have, p.s, func(string) bool { return false })
	switch {
	case withdrawn:
		p.show(want, verdicts, held, problems, stateStopped, "withdrawn by an operator: fairway publish apply goes on")
	case p.o.Settings.None:
		p.show(want, verdicts, held, problems, stateStopped, "consul.publish.services is none")
	default:
		p.show(want, verdicts, held, problems, "", "")
	}
	return nil
}

// failedLately reports whether a write failed so lately that it is not tried again.
func (p *Publisher) failedLately(entry, op string, now time.Time) bool {
	f, failed := p.writeErr[entry]
	return failed && f.op == op && now.Sub(f.last) < againAfter
}

func readEvery(entries int) time.Duration {
	if entries > fewEntries {
		return readSeldom
	}
	return readOften
}

// look reads what the agent has.
func (p *Publisher) look(ctx context.Context) error {
	services, err := p.o.Reader.AgentServices(ctx)
	if err != nil {
		return err
	}
	checks, err := p.o.Reader.AgentChecks(ctx)
	if err != nil {
		return err
	}
	first := p.have.services == nil
	p.have = have{services, checks}
	if first {
		p.s.run = later(p.s.run, p.mine())
	}
	if p.o.Settings.IP == "" {
		// The agent's address is that of this machine where it is one of its addresses.
		if at, err := p.o.Reader.AgentAddress(ctx); err == nil && isMine(at) {
			p.o.Settings.IP = at
		}
	}
	for check := range p.due {
		if _, there := p.have.checks[check]; !there {
			delete(p.due, check)
		}
	}
	now := time.Now()
	for _, id := range p.have.mine(p.s.owner) {
		if check := stateID(id); p.due[check].IsZero() {
			p.due[check] = now.Add(rand.N(p.s.lease / 4)) // how old it is, is not known
		}
	}
	return nil
}

func (p *Publisher) mine() (list []consul.Service) {
	for _, id := range p.have.mine(p.s.owner) {
		list = append(list, p.have.services[id])
	}
	return list
}

// later is a run after those of entries that are there, also where the clock was set back.
func later(run string, mine []consul.Service) string {
	for _, s := range mine {
		if n, err := strconv.ParseUint(s.Meta[metaRun], 16, 64); err == nil && s.Meta[metaRun] >= run {
			run = fmt.Sprintf("%016x", n+1)
		}
	}
	return run
}

// yields reports whether a Fairway that was started later writes as the same owner.
func (p *Publisher) yields(mine []consul.Service, now time.Time) bool {
	if !slices.ContainsFunc(mine, func(s consul.Service) bool { return p.isRivals(s.ID) }) {
		p.rival = time.Time{}
		return false
	}
	if p.rival.IsZero() {
		p.rival = now
	}
	return now.Sub(p.rival) >= yieldAfter
}

// isRivals reports whether an entry was written by a Fairway that started later: it is left
// alone, or two that look at the same moments would write over each other for ever.
func (p *Publisher) isRivals(id string) bool { return p.have.services[id].Meta[metaRun] > p.s.run }

// leases are the renewals for entries whose removal is in doubt.
func (p *Publisher) leases(held map[string]string, now time.Time) (steps []step) {
	for id, why := range held {
		if c, there := p.have.checks[stateID(id)]; there && !now.Before(p.due[c.CheckID]) && !endsByItself(why) {
			steps = append(steps, step{op: opCheck, entry: id, check: c.CheckID, status: c.Status, output: why, why: "lease", refreshed: true})
		}
	}
	return steps
}

// write does steps in their order, several of a kind at once. An error of one entry is kept
// with it; one of Consul as a whole ends it.
func (p *Publisher) write(ctx context.Context, steps []step) error {
	for _, op := range []string{opCheck, opRegister, opUncheck} {
		errs := make([]error, len(steps))
		group, running := errgroup.WithContext(ctx)
		group.SetLimit(writeAtOnce)
		for i := range steps {
			if s := &steps[i]; s.op == op {
				group.Go(func() error {
					errs[i] = p.do(running, s)
					return whole(errs[i])
				})
			}
		}
		err := group.Wait()
		for i, s := range steps {
			if s.op == op && (errs[i] == nil || whole(errs[i]) == nil) {
				p.done(s, errs[i])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) do(ctx context.Context, s *step) error {
	switch s.op {
	case opUncheck:
		return p.o.Writer.DeregisterCheck(ctx, s.check)
	case opCheck:
		return p.o.Writer.UpdateCheck(ctx, s.check, s.status, s.output)
	}
	if err := p.o.Writer.Register(ctx, s.registration); err != nil || s.alreadyStated {
		return err
	}
	return p.o.Writer.UpdateCheck(ctx, s.check, s.status, s.output)
}

// whole is an error that is not of one entry alone; nil for others.
func whole(err error) error {
	var said *consul.Error
	if errors.As(err, &said) && said.Status < 500 && said.Status != 429 {
		return nil
	}
	return err
}

// done takes over what was written.
func (p *Publisher) done(s step, err error) {
	p.count(s.op, err)
	if err != nil {
		p.failed(s.entry, s.op, err)
		p.read = time.Time{} // an entry may have gone meanwhile
		return
	}
	if s.op == opRegister || s.op == p.writeErr[s.entry].op {
		delete(p.writeErr, s.entry)
	}
	if !s.refreshed {
		p.o.Logger.Info("published", "op", s.op, "entry", s.entry, "why", s.why)
	}
	if s.op == opUncheck {
		delete(p.have.checks, s.check)
		return
	}
	if s.op == opRegister {
		r := s.registration
		p.have.services[r.ID] = consul.Service{
			ID: r.ID, Name: r.Name, Tags: r.Tags, Address: r.Address, Port: r.Port, Meta: r.Meta, Weights: *r.Weights, EnableTagOverride: r.EnableTagOverride,
		}
		for _, d := range r.Checks {
			if _, there := p.have.checks[d.CheckID]; !there {
				p.have.checks[d.CheckID] = consul.Check{CheckID: d.CheckID, Name: d.Name, ServiceID: r.ID, Status: cmp.Or(d.Status, consul.Critical)}
			}
		}
	}
	c := p.have.checks[s.check]
	c.CheckID, c.ServiceID, c.Status, c.Output = s.check, s.entry, s.status, s.output
	p.have.checks[s.check] = c
	p.due[s.check] = time.Now().Add(p.s.lease/4 + rand.N(p.s.lease/12))
}

func (p *Publisher) count(op string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	p.writes.With(op, result).Inc()
}

func (p *Publisher) failed(entry, op string, err error) {
	f, before := p.writeErr[entry]
	if !before {
		f.since = time.Now()
		p.o.Logger.Warn("an entry cannot be written", "entry", entry, "error", err)
	}
	f.err, f.op, f.last = err, op, time.Now()
	p.writeErr[entry] = f
}

// remove removes entries, while Consul has a leader: an agent cut off from its servers is in
// no state to lose anything.
func (p *Publisher) remove(ctx context.Context, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	leader, err := p.o.Reader.Leader(ctx, "")
	if err != nil {
		return err
	}
	if leader == "" {
		return errors.New("consul knows no leader")
	}
	for _, id := range gone {
		err := p.o.Writer.Deregister(ctx, id)
		if whole(err) != nil {
			return err
		}
		p.count(opDeregister, err)
		if err != nil {
			p.failed(id, opDeregister, err)
			continue
		}
		p.o.Logger.Info("published", "op", opDeregister, "entry", id, "why", "its instance is gone")
		delete(p.have.services, id)
		delete(p.writeErr, id)
		for check, c := range p.have.checks {
			if c.ServiceID == id {
				delete(p.have.checks, check)
			}
		}
	}
	return nil
}

// stop does what is to be done with the entries at the end.
func (p *Publisher) stop(ctx context.Context) {
	if p.o.OnStop == "" || p.o.OnStop == Keep || p.have.services == nil || !p.rival.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var steps []step
	for _, id := range p.have.mine(p.s.owner) {
		steps = append(steps, step{op: opCheck, entry: id, check: stateID(id), status: consul.Critical, output: "Fairway has ended", why: "the end"})
	}
	err := p.write(ctx, steps)
	if err == nil && p.o.OnStop == Remove {
		err = p.remove(ctx, p.have.mine(p.s.owner))
	}
	if err != nil {
		p.o.Logger.Warn("entries are left as they are", "error", err)
	}
}
