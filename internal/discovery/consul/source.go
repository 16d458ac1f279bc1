// Package consul is the source that reads the services of one datacenter of Consul.
//
// Names and tags are read by a query that Consul holds until something changes, and so is
// each of the services that changed last; the others are read again once Consul says that
// any service or check has changed. Checks say whether an instance is ready; tags in
// the form of labels are its labels.
//
// Consul is not always right about what it no longer shows: during an election, behind a
// server that lost the others, or with a token that may see less. Each of these is an error,
// and what was there before stays.
package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/consul"
	"fairway/internal/discovery/poll"
	"fairway/internal/metrics"
)

const (
	holdFor      = 55 * time.Second // how long Consul may hold an answer
	probeEvery   = 5 * time.Second  // the question for the leader
	probeAgain   = 2 * time.Second  // after one that failed
	recheckEvery = 30 * time.Second // the names, without holding
	confirmAfter = 5200 * time.Millisecond
	roundEvery   = 10 * time.Second // services that are not watched, if anything changed
	roundAtLeast = 5 * time.Minute  // and if nothing did
	doubtFor     = 15 * time.Second // one service cannot be read
	behindMost   = 30 * time.Second // a server has not heard of its leader
	settleFor    = 20 * time.Millisecond
	readAtOnce   = 8
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 3 * time.Second
)

// Reader reads the catalogue; *consul.Client is one.
type Reader interface {
	Services(ctx context.Context, q consul.Query) (map[string][]string, consul.Meta, error)
	Health(ctx context.Context, name string, q consul.Query) ([]consul.Entry, consul.Meta, error)
	Checks(ctx context.Context, q consul.Query) (consul.Meta, error)
	Leader(ctx context.Context, datacenter string) (string, error)
}

// Options are what New needs. Name and Reader are required.
type Options struct {
	// Name is that of the source.
	Name string
	// Reader reads Consul.
	Reader Reader
	// Datacenter is another one than that of the agent; empty for that.
	Datacenter string
	// All reads every service; otherwise those with a tag that is a label of Fairway.
	All bool
	// Watches is for how many services a query is held at most; zero is 100.
	Watches int
	// WarningUnready makes an instance with a warning unhealthy.
	WarningUnready bool
	// Own is the owner of the entries that this Fairway writes, which are not read; empty for none.
	Own     string
	Logger  *slog.Logger
	Metrics *Metrics
}

// Metrics are those of all sources of this kind. Nil measures nothing.
type Metrics struct {
	queries       *metrics.Vec[metrics.Counter]
	resets        *metrics.Vec[metrics.Counter]
	watches       *metrics.Vec[metrics.Gauge]
	filtered, age *metrics.Vec[metrics.Gauge]
}

// NewMetrics registers them.
func NewMetrics(set *metrics.Set) *Metrics {
	return &Metrics{
		queries:  set.CounterVec("fairway_consul_queries_total", "Queries to Consul that were answered, by result (ok or error).", "result", "source"),
		resets:   set.CounterVec("fairway_consul_index_resets_total", "Times that an index of Consul went back.", "source"),
		watches:  set.GaugeVec("fairway_consul_watches", "Services for which a query is held.", "source"),
		filtered: set.GaugeVec("fairway_consul_filtered", "1 while the token may not read everything.", "source"),
		age:      set.GaugeVec("fairway_consul_behind_seconds", "Time since the server that answered last had heard of the leader.", "source"),
	}
}

// Source reads one datacenter.
type Source struct {
	o Options
	t translator

	// What follows belongs to the goroutine of Run, and outlives a session.
	last     map[string]*known
	names    int             // how many names the last list had
	servers  bool            // it had the service of the servers
	listed   bool            // there was a list
	filtered bool            // it was filtered
	said     map[string]bool // services of the last answer
}

// known is a service as it was last read.
type known struct {
	service *catalog.Service
	nodes   []*catalog.Node
	index   uint64
	changed time.Time
}

// New returns a source that does nothing until Run.
func New(o Options) (*Source, error) {
	if o.Name == "" || o.Reader == nil {
		return nil, errors.New("consul source: name and reader are required")
	}
	o.Watches = cmp.Or(max(o.Watches, 0), 100)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler)).With("source", o.Name)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(&metrics.Set{})
	}
	return &Source{o: o, last: map[string]*known{}, t: translator{
		source: o.Name, datacenter: o.Datacenter, all: o.All, unready: o.WarningUnready, own: o.Own,
	}}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return s.o.Name }

// Run follows the datacenter until ctx ends. While it cannot be read, each new reason is a
// failed answer.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	backoff, reported := backoffFirst, ""
	for ctx.Err() == nil {
		answered, err := s.session(ctx, out)
		if ctx.Err() != nil {
			return
		}
		if answered {
			backoff, reported = backoffFirst, ""
		}
		err = s.explain(err)
		if err.Error() != reported {
			reported = err.Error()
			poll.Send(ctx, out, catalog.Answer{Err: err})
		}
		_ = clock.Sleep(ctx, max(poll.Jitter(backoff), asked(err)))
		backoff = min(2*backoff, backoffMost)
	}
}

// asked is how long Consul asks to be left alone.
func asked(err error) time.Duration {
	var said *consul.Error
	if errors.As(err, &said) {
		return said.After
	}
	return 0
}

// explain says what a token lacks, and where.
func (s *Source) explain(err error) error {
	var said *consul.Error
	if errors.As(err, &said) && said.Status == http.StatusForbidden {
		return fmt.Errorf("%w; it needs service:read and node:read", err)
	}
	return err
}
