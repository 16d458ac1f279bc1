package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/api"
	"fairway/internal/clock"
)

// patience bounds how long the tour waits for a change to be served.
const patience = 20 * time.Second

// tour leads through the demo.
type tour struct {
	*printer
	stage   stage
	address string // where Fairway takes requests
	admin   string // where its admin API listens
	command string // how the reader starts this program
	load    *load
}

var (
	shopLabels = map[string]string{"fairway.host": "shop.localhost"}
	blogLabels = map[string]string{"fairway.host": "shop.localhost", "fairway.path": "/blog", "fairway.strip-prefix": "true"}
	newsLabels = map[string]string{"fairway.host": "news.localhost"}
)

// show is the tour itself.
func (t *tour) show(ctx context.Context) error {
	for _, part := range []func(context.Context) error{t.first, t.add, t.scale, t.stop} {
		if err := part(ctx); err != nil {
			return t.explain(ctx, err)
		}
	}
	t.load.stop()
	total, failed, reasons := t.load.sum()
	t.line("All along, requests were made and counted: %d in all, %d failed.", total, failed)
	for _, r := range reasons {
		t.line("  %s", r)
	}
	return nil
}

func (t *tour) first(ctx context.Context) error {
	t.line("1. Three %s, each with a label or three\n", t.stage.Words().several)
	t.line("     shop-1   %s", labelText(shopLabels))
	t.line("     shop-2   %s", labelText(shopLabels))
	t.line("     blog-1   %s\n", labelText(blogLabels))
	for _, i := range []instance{{"shop", 1, shopLabels}, {"shop", 2, shopLabels}, {"blog", 1, blogLabels}} {
		if err := t.stage.Start(ctx, i); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, want := range []struct{ host, path, name string }{
		{"shop.localhost", "/", "shop-1"}, {"shop.localhost", "/", "shop-2"}, {"shop.localhost", "/blog/", "blog-1"},
	} {
		if err := t.await(ctx, want.host, want.path, want.name); err != nil {
			return err
		}
	}
	t.line("   All three answer, %s after the last one ran. In another terminal:\n", since(began))
	_, port, err := net.SplitHostPort(t.address)
	if err != nil {
		return err
	}
	t.line("     curl http://shop.localhost:%s/", port)
	t.line("     curl http://shop.localhost:%s/blog/hello", port)
	t.line("     curl -H 'Host: shop.localhost' http://%s/      where *.localhost does not resolve", t.address)
	t.line("     %s routes --admin http://%s", t.command, t.admin)
	t.line("     %s explain GET http://shop.localhost/blog/hello --admin http://%s\n", t.command, t.admin)
	t.line("   From now on, 100 requests a second go to the shop and the blog, and each one is counted.\n")
	t.load.start("shop.localhost", "/", "/blog/")
	return t.count(ctx, 20, 2)
}

func (t *tour) add(ctx context.Context) error {
	t.line("2. A new service: one more %s, %s\n", t.stage.Words().one, labelText(newsLabels))
	status, _, err := t.load.ask(ctx, "news.localhost", "/")
	if err != nil {
		return err
	}
	t.line("     before   GET http://news.localhost/   %d", status)
	if err := t.stage.Start(ctx, instance{"news", 1, newsLabels}); err != nil {
		return err
	}
	began := time.Now()
	if err := t.await(ctx, "news.localhost", "/", "news-1"); err != nil {
		return err
	}
	t.line("     after    GET http://news.localhost/   200 from news-1, %s after it ran\n", since(began))
	return nil
}

func (t *tour) scale(ctx context.Context) error {
	t.line("3. The shop grows from two %s to four\n", t.stage.Words().several)
	for n := 3; n <= 4; n++ {
		i := instance{"shop", n, shopLabels}
		if err := t.stage.Start(ctx, i); err != nil {
			return err
		}
		began := time.Now()
		if err := t.await(ctx, "shop.localhost", "/", i.name()); err != nil {
			return err
		}
		t.line("     %s answers, %s after it ran", i.name(), since(began))
	}
	return t.count(ctx, 40, 4)
}

func (t *tour) stop(ctx context.Context) error {
	t.line("4. The %s shop-1 gets a stop signal while it is busy\n", t.stage.Words().one)
	total, failed, _ := t.load.sum()
	if err := t.stage.Stop(ctx, "shop-1"); err != nil {
		return err
	}
	if err := clock.Sleep(ctx, time.Second); err != nil {
		return err
	}
	after, failedAfter, _ := t.load.sum()
	t.line("     shop-1 is gone; %d requests were made meanwhile, %d failed", after-total, failedAfter-failed)
	return t.count(ctx, 30, 3)
}

// count waits until the load has had n answers of the shop, and one of each instance,
// and prints who answered. The load alone is counted: requests of its own, made at the
// load's pace, could meet the same instance each time.
func (t *tour) count(ctx context.Context, n, instances int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := t.load.answers()
	for {
		made, counts := 0, map[string]int{}
		for name, total := range t.load.answers() {
			if since := total - before[name]; since > 0 {
				counts[name] = since
				made += since
			}
		}
		if made >= n && len(counts) >= instances {
			var parts []string
			for _, name := range slices.Sorted(maps.Keys(counts)) {
				parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
			}
			t.line("     %d requests answered by: %s\n", made, strings.Join(parts, ", "))
			return nil
		}
		if clock.Sleep(ctx, loadEvery) != nil {
			return fmt.Errorf("after %s only these instances have answered: %v", patience, counts)
		}
	}
}

// await makes requests until one is answered with 200 by the named instance.
func (t *tour) await(ctx context.Context, host, path, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := ""
	for {
		status, who, err := t.load.ask(ctx, host, path)
		switch {
		case err != nil:
			last = err.Error()
		case status == http.StatusOK && who == name:
			return nil
		default:
			last = fmt.Sprintf("status %d from %q", status, who)
		}
		if clock.Sleep(ctx, 5*time.Millisecond) != nil {
			return fmt.Errorf("http://%s%s was not answered by %s within %s; last: %s", host, path, name, patience, last)
		}
	}
}

// explain adds to err the problems that Fairway reports.
func (t *tour) explain(ctx context.Context, err error) error {
	client, e := api.NewClient(api.ClientOptions{URL: "http://" + t.admin})
	if e != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	problems, e := client.Problems(ctx, api.Query{})
	if e != nil {
		return err
	}
	for _, p := range problems.Items {
		err = errors.Join(err, fmt.Errorf("problem of %s: %s %s", p.Service, p.Text, p.Hint))
	}
	return err
}

// invite prints what to try while it serves on.
func (t *tour) invite() {
	t.line("\nFairway serves on. See its pages at http://%s/, and try it yourself:\n", t.admin)
	t.line("  %s", t.stage.Words().start)
	t.line("  %s services --admin http://%s", t.command, t.admin)
	t.line("\nCtrl-C ends the demo and removes everything it has started.")
}

// verdict is the error that --once ends with when a request failed.
func (t *tour) verdict() error {
	if total, failed, reasons := t.load.sum(); failed > 0 || total == 0 {
		return fmt.Errorf("%d of %d requests failed: %s", failed, total, strings.Join(reasons, "; "))
	}
	return nil
}

func since(began time.Time) string {
	return time.Since(began).Round(time.Millisecond).String()
}

// load makes requests through Fairway and counts every one of them.
type load struct {
	address string
	client  *http.Client
	cancel  context.CancelFunc // nil until start
	running sync.WaitGroup

	mu            sync.Mutex
	total, failed int
	answered      map[string]int // with 200, by who answered
	reasons       []string       // the first few failures
}

const (
	// loadEvery is the time between two requests, answered or not.
	loadEvery = 10 * time.Millisecond
	// loadTimeout is when a request has failed for taking too long.
	loadTimeout = 10 * time.Second
	// maxReasons bounds how many failures are printed one by one.
	maxReasons = 5
)

func newLoad(address string) *load {
	return &load{
		address: address, answered: map[string]int{},
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 16},
			Timeout:   loadTimeout,
			// A redirect is an answer.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// ask makes one request, which is not counted, and returns the status and who answered.
func (l *load) ask(ctx context.Context, host, path string) (status int, name string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	res, err := l.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, "", err
	}
	return res.StatusCode, res.Header.Get("Whoami"), nil
}

// start makes a request for each path in turn, at a fixed rate, until stop.
func (l *load) start(host string, paths ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.running.Go(func() {
		tick := time.NewTicker(loadEvery)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			path := paths[i%len(paths)]
			// One that is under way when the load ends still counts.
			l.running.Go(func() {
				status, name, err := l.ask(context.Background(), host, path)
				l.count(path, status, name, err)
			})
		}
	})
}

func (l *load) count(path string, status int, name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if err == nil && status == http.StatusOK {
		l.answered[name]++
		return
	}
	l.failed++
	if len(l.reasons) < maxReasons {
		reason := fmt.Sprintf("%s: status %d from %q", path, status, name)
		if err != nil {
			reason = fmt.Sprintf("%s: %v", path, err)
		}
		l.reasons = append(l.reasons, reason)
	}
}

// answers returns how many requests each instance of the shop has answered.
func (l *load) answers() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	answered := maps.Clone(l.answered)
	delete(answered, "blog-1")
	return answered
}

// sum returns how many requests were made, how many failed, and why the first few did.
func (l *load) sum() (total, failed int, reasons []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.failed, l.reasons
}

// stop ends the load and waits for the requests that are under way.
func (l *load) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.running.Wait()
	l.client.CloseIdleConnections()
}
