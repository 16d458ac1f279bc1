package dockerflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/metrics"
)

// ListenerOptions are what NewListener needs. Catalogue is required; a zero
// duration means the default that is named with it.
type ListenerOptions struct {
	Catalogue  Catalogue
	Announcing Announcing
	// The receivers of services and nodes that are new or have changed, or are gone.
	CreateService, RemoveService []Receiver
	CreateNode, RemoveNode       []Receiver
	// Retries is how often a call is tried again; zero means 50, a negative number not at
	// all. RetryInterval is the pause before (5 s).
	Retries       int
	RetryInterval time.Duration
	// Deadline bounds each call (10 s).
	Deadline time.Duration
	// ShownLabel returns the value of a com.df.* label without what is secret; nil shows none.
	// Callers that are no receivers get the labels that it shows in full.
	ShownLabel func(key, value string) string
	// Lookup resolves a name; the default asks the system.
	Lookup func(ctx context.Context, host string) ([]string, error)
	Logger *slog.Logger
}

// Listener is the API of Docker Flow Swarm Listener, an http.Handler.
type Listener struct {
	o         ListenerOptions
	mux       *http.ServeMux
	client    *http.Client
	count     *metrics.Gauge
	failures  *metrics.Vec[metrics.Counter] // by operation
	known     *peers                        // the receivers
	receivers map[string][]Receiver         // by operation
	warned    sync.Once                     // see withheld

	running sync.WaitGroup // deliveries

	mu       sync.Mutex
	ctx      context.Context          // of Run; nil before
	last     *catalog.Snapshot        // what has been announced
	newestOf map[string]*delivery     // by object
	gates    map[string]chan struct{} // by URL of the receiver
}

// metricsService is the label service of all metrics, as the original has it.
const metricsService = "swarm_listener"

// NewListener returns the API.
func NewListener(o ListenerOptions) (*Listener, error) {
	if o.Catalogue == nil {
		return nil, errors.New("dockerflow: the listener's API needs the catalogue")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.ShownLabel == nil {
		o.ShownLabel = hideLabel
	}
	o.Retries = max(0, cmp.Or(o.Retries, 50))
	o.RetryInterval = cmp.Or(o.RetryInterval, 5*time.Second)
	o.Deadline = cmp.Or(o.Deadline, 10*time.Second)
	set := &metrics.Set{}
	l := &Listener{
		o: o, mux: http.NewServeMux(), client: newClient(),
		count:    set.GaugeVec("docker_flow_service_count", "Services that are announced.", "service").With(metricsService),
		failures: set.CounterVec("docker_flow_error", "Notifications that failed, by operation.", "operation", "service"),
		known:    &peers{names: o.known(), lookup: bounded(o.Lookup), deadline: o.Deadline},
		receivers: map[string][]Receiver{
			"service_create": o.CreateService, "service_remove": o.RemoveService, "node_create": o.CreateNode, "node_remove": o.RemoveNode,
		},
		newestOf: map[string]*delivery{},
		gates:    map[string]chan struct{}{},
	}
	l.client.CheckRedirect = nil // the original follows, too: a slash too many at a URL does no harm
	handle(l.mux, listenerPath+"ping", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, reply{Status: statusOK})
	})
	handle(l.mux, listenerPath+"notify-services", func(w http.ResponseWriter, _ *http.Request) {
		l.again()
		answer(w, http.StatusOK, reply{Status: statusOK})
	})
	handle(l.mux, listenerPath+"get-services", func(w http.ResponseWriter, r *http.Request) {
		list, complete := o.Announcing.running(l.newest(), l.shownTo(r))
		l.withheld(r, complete)
		answer(w, http.StatusOK, list)
	})
	handle(l.mux, listenerPath+"get-nodes", func(w http.ResponseWriter, r *http.Request) {
		list, complete := o.Announcing.nodes(l.newest(), l.shownTo(r))
		l.withheld(r, complete)
		answer(w, http.StatusOK, list)
	})
	handle(l.mux, "/metrics", set.ServeHTTP)
	return l, nil
}

func (l *Listener) newest() *catalog.Snapshot {
	return cmp.Or(l.o.Catalogue.Newest(), &catalog.Snapshot{})
}

// known are the hosts of the receivers' URLs, each as a service of Swarm as well.
func (o *ListenerOptions) known() (names []string) {
	for _, receiver := range slices.Concat(o.CreateService, o.RemoveService, o.CreateNode, o.RemoveNode) {
		if u, err := url.Parse(receiver.URL); err == nil && u.Hostname() != "" {
			names = append(names, u.Hostname(), "tasks."+u.Hostname())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// shownTo returns how labels are shown to a caller: to a receiver as they are.
func (l *Listener) shownTo(r *http.Request) func(key, value string) string {
	if l.known.has(r) {
		return asWritten
	}
	return l.o.ShownLabel
}

// withheld logs, once, that a caller did not get everything.
func (l *Listener) withheld(r *http.Request, complete bool) {
	if !complete {
		l.warned.Do(func() {
			l.o.Logger.Warn("a caller that is no receiver gets no secret parameters, and no services that need theirs; "+
				"to be one, its name must be in a URL of DF_NOTIFY_CREATE_SERVICE_URL", "caller", r.RemoteAddr, "path", r.URL.Path)
		})
	}
}

func asWritten(_, value string) string { return value }

// ServeHTTP answers a call.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) { serve(l.mux, w, r) }

// Run notifies the receivers of everything, and of what changes, until ctx ends; then it gives
// up what is still to be delivered and returns nil. It may be called once.
func (l *Listener) Run(ctx context.Context) error {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.last = nil // nothing more is sent
		l.mu.Unlock()
		l.running.Wait()
	}()
	var s *catalog.Snapshot
	for {
		var err error
		if s, err = l.o.Catalogue.Next(ctx, s); err != nil {
			return nil // ctx has ended: that is how this ends
		}
		l.announce(s)
	}
}

func (l *Listener) announce(s *catalog.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.o.Announcing.events(l.last, s) {
		l.send(l.ctx, e, l.receivers[e.operation()])
	}
	l.last = s
	l.count.Set(float64(len(l.o.Announcing.servicesOf(s))))
}

// again sends all services that have been announced once more.
func (l *Listener) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		return
	}
	for _, e := range difference(nil, l.o.Announcing.servicesOf(l.last), false) {
		l.send(l.ctx, e, l.receivers[e.operation()])
	}
}

// Receiver gets calls to URL, with the parameters behind its own, by Method (GET when empty).
type Receiver struct {
	URL    string
	Method string
}

// maxAtOnce bounds how many calls one receiver gets at the same time.
const maxAtOnce = 8

// delivery is that of one event to all its receivers.
type delivery struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// send begins the delivery of an event; mu is held. Of two about one object the older is
// given up first, so that no receiver gets them in the wrong order.
func (l *Listener) send(ctx context.Context, e event, receivers []Receiver) {
	ctx, cancel := context.WithCancel(ctx)
	this, before := &delivery{cancel, make(chan struct{})}, l.newestOf[e.object]
	l.newestOf[e.object] = this
	if before != nil {
		before.cancel()
	}
	l.running.Go(func() {
		defer cancel()
		if before != nil {
			<-before.done
		}
		var calls sync.WaitGroup
		for _, r := range receivers {
			calls.Go(func() { l.deliver(ctx, e, r) })
		}
		calls.Wait()
		close(this.done)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.newestOf[e.object] == this {
			delete(l.newestOf, e.object)
		}
	})
}

// deliver tries until the receiver has taken the event.
func (l *Listener) deliver(ctx context.Context, e event, r Receiver) {
	log := l.o.Logger.With("object", e.object, "receiver", shown(r.URL))
	for try := 0; ; try++ {
		err := l.try(ctx, e, r)
		if err == nil || ctx.Err() != nil {
			return
		}
		l.failures.With(e.operation(), metricsService).Inc()
		if try >= l.o.Retries {
			log.Error("notification given up", "tries", try+1, "error", err)
			return
		}
		log.Debug("notification failed, trying again", "error", err)
		if clock.Sleep(ctx, l.o.RetryInterval) != nil {
			return
		}
	}
}

// try makes one call. 409 to news of something that is there says that it is not wanted.
func (l *Listener) try(ctx context.Context, e event, r Receiver) error {
	gate := l.gate(r.URL)
	select {
	case gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-gate }()
	ctx, cancel := context.WithTimeout(ctx, l.o.Deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodGet), withQuery(r.URL, e.query), nil)
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("User-Agent", "fairway")
	res, err := l.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusConflict && !e.remove {
		return nil
	}
	return fmt.Errorf("answered %s", res.Status)
}

// gate lets maxAtOnce calls through to one receiver.
func (l *Listener) gate(url string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gates[url] == nil {
		l.gates[url] = make(chan struct{}, maxAtOnce)
	}
	return l.gates[url]
}

// withQuery puts parameters behind those that a URL has already.
func withQuery(url, query string) string {
	switch {
	case strings.HasSuffix(url, "?"), strings.HasSuffix(url, "&"):
		return url + query
	case strings.Contains(url, "?"):
		return url + "&" + query
	}
	return url + "?" + query
}

// withoutURL is an error of a call as it may be logged: the parameters in its URL, and in one
// that an answer leads to, hold passwords and headers of services.
func withoutURL(err error) error {
	call, ok := errors.AsType[*url.Error](err)
	switch {
	case !ok:
		return err
	case call.Timeout():
		return errors.New("no answer in time")
	case strings.Contains(call.Err.Error(), "Location"):
		return errors.New("the answer leads to what is no URL")
	}
	return call.Err
}

var userOfURL = regexp.MustCompile(`://[^/]*@`)

// shown is a URL as it may be logged: without its parameters and its user.
func shown(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return userOfURL.ReplaceAllString(url, "://")
}

// operation names an event in the metrics.
func (e event) operation() string {
	object, change := "service", "create"
	if e.node {
		object = "node"
	}
	if e.remove {
		change = "remove"
	}
	return object + "_" + change
}
