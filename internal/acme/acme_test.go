package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/acme/ca"
	"fairway/internal/feed"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is an authority that does what it is set to.
type issuer struct {
	life time.Duration

	mu     sync.Mutex
	fault  func(name string) error // nil: it issues
	orders map[string][]time.Time
	all    []time.Time
	delay  time.Duration
	from   time.Duration // of the window, before the end; zero: it has none
	key    *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{life: 90 * 24 * time.Hour, orders: map[string][]time.Time{}, key: key}
}

func (i *issuer) set(fault func(string) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = fault
}

func (i *issuer) Obtain(ctx context.Context, name string, _ *x509.Certificate, _ int) (*ca.Bundle, error) {
	i.mu.Lock()
	i.orders[name] = append(i.orders[name], time.Now())
	i.all = append(i.all, time.Now())
	fault, delay := i.fault, i.delay
	i.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, &ca.Failure{Kind: ca.Unavailable, Text: "it took too long"}
	}
	if fault != nil {
		if err := fault(name); err != nil {
			return nil, err
		}
	}
	return i.bundle(name), nil
}

func (i *issuer) bundle(name string) *ca.Bundle {
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: time.Now(), NotAfter: time.Now().Add(i.life)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.key.Public(), i.key)
	if err != nil {
		panic(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		panic(err)
	}
	return &ca.Bundle{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), Ordered: true,
	}
}

func (i *issuer) Window(_ context.Context, leaf *x509.Certificate) (from, to, again time.Time, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.from == 0 {
		return from, to, again, errors.New("none")
	}
	return leaf.NotAfter.Add(-i.from), leaf.NotAfter.Add(-i.from / 2), time.Time{}, nil
}

func (i *issuer) Revoke(context.Context, string, *x509.Certificate, int) error { return nil }

// count is how many orders there were, and most how many of them within a span at most.
func (i *issuer) count(span time.Duration) (n, within int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.all), most(i.all, span)
}

// slow has each order take its time.
func (i *issuer) slow(delay time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.delay = delay
}

// ordered are the orders for a name.
func (i *issuer) ordered(name string) []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.orders[name])
}

// most is how many of these moments are within a span at most.
func most(moments []time.Time, span time.Duration) (n int) {
	for i := range moments {
		j := i
		for j < len(moments) && moments[j].Sub(moments[i]) < span {
			j++
		}
		n = max(n, j-i)
	}
	return n
}

// table has a route for each host, on listeners with and without TLS.
func table(t testing.TB, hosts ...string) *route.Table {
	t.Helper()
	var routes []*route.Route
	for _, h := range hosts {
		host, err := route.ParseHost(h)
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &route.Route{
			ID: h, Service: h, Matches: []route.Match{{Host: host, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
			Filters: []route.Filter{{Redirect: &route.Redirect{Status: 301}}},
		})
	}
	made, err := route.New(1, []route.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":443", TLS: true}}, routes, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// memoryDir is a directory for thousands of files that need not outlive anything.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fairway")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// world is a keeper that runs in a bubble.
type world struct {
	*Keeper
	tables  feed.Feed[route.Table]
	metrics metrics.Set
	events  []string // of the loop; read them while it waits
	stop    func()
}

func start(t *testing.T, dir string, i Issuer, change ...func(*Options)) *world {
	t.Helper()
	w := &world{}
	o := Options{Dir: dir, Issuer: i, Metrics: &w.metrics, Report: func(e Event) {
		w.events = append(w.events, strings.TrimSpace(fmt.Sprint(e.Name, " ", map[bool]string{true: "fails", false: "works"}[e.Failed])))
	}}
	for _, c := range change {
		c(&o)
	}
	var err error
	if w.Keeper, err = New(o); err != nil {
		t.Fatal(err)
	}
	w.every = time.Hour // a month of minutes takes its time
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, &w.tables) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// names are what is published, without the placeholder.
func (w *world) names() string {
	var list []string
	for _, c := range w.Certificates()[1:] {
		list = append(list, c.Name)
	}
	return strings.Join(list, " ")
}

// TestObtainAndRenew: a certificate comes at once, is renewed after two thirds of its life, or
// when the authority wants it, and not any more when its host has left; then it is removed at its end.
func TestObtainAndRenew(t *testing.T) {
	for name, from := range map[string]time.Duration{"by its life": 0, "by the window": 50 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(t)
				i.from = from
				w := start(t, memoryDir(t), i)
				defer w.stop()
				w.tables.Publish(table(t, "a.example.com"))
				time.Sleep(time.Second)
				if w.names() != "a.example.com" || w.View().Names[0].State != StateValid {
					t.Fatalf("%s, %+v", w.names(), w.View())
				}
				file := w.View().Names[0].File
				before, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(70 * 24 * time.Hour)
				orders := i.ordered("a.example.com")
				if len(orders) != 2 {
					t.Fatalf("orders at %v", orders)
				}
				least, last := 60*24*time.Hour, 63*24*time.Hour
				if from != 0 {
					least, last = 40*24*time.Hour, 65*24*time.Hour
				}
				if d := orders[1].Sub(orders[0]); d < least || d > last {
					t.Errorf("renewed after %v", d)
				}
				if after, err := os.ReadFile(file); err != nil || bytes.Equal(before, after) {
					t.Errorf("the file has not changed: %v", err)
				}
				w.tables.Publish(table(t, "b.example.com"))
				time.Sleep(24 * time.Hour)
				if got := w.names(); got != "a.example.com b.example.com" || w.View().Names[0].State != StateKept {
					t.Errorf("%s, %+v", got, w.View().Names[0])
				}
				time.Sleep(90 * 24 * time.Hour)
				if got := w.names(); got != "b.example.com" || len(i.ordered("a.example.com")) != 2 {
					t.Errorf("%s, orders %v", got, i.ordered("a.example.com"))
				}
				if _, err := os.Stat(file); err == nil {
					t.Error("a certificate that has ended is still there")
				}
			})
		})
	}
}

// TestAuthorityAway: an authority that is away, makes no sense, limits, is slow or says no for
// thirty days gets five orders an hour for each host at most; it is reported once; what
// there is serves on; and all recovers by itself.
func TestAuthorityAway(t *testing.T) {
	down := &ca.Failure{Kind: ca.Unavailable, Text: "connection refused"}
	for name, c := range map[string]struct {
		fault  func(string) error
		delay  time.Duration
		events []string
		least  int // orders in thirty days
	}{
		"away":     {func(string) error { return down }, 0, []string{"fails", "works"}, 100},
		"slow":     {func(string) error { return down }, time.Hour, []string{"fails", "works"}, 100},
		"nonsense": {func(string) error { return errors.New("x509: trailing data") }, 0, []string{"fails", "works"}, 100},
		"says no": {func(string) error { return &ca.Failure{Kind: ca.Refused, Text: "caa: no"} }, 0, []string{
			"a.example.com fails", "a.example.com works", "b.example.com fails", "b.example.com works",
		}, 200},
		"no record": {func(string) error { return &ca.Failure{Kind: ca.Unproved, Text: "dns: REFUSED"} }, 0, []string{
			"a.example.com fails", "a.example.com works", "b.example.com fails", "b.example.com works",
		}, 200},
		"limits": {func(string) error {
			return &ca.Failure{Kind: ca.Limited, Text: "rateLimited: too many", RetryAfter: time.Now().Add(12 * time.Hour)}
		}, 0, []string{"a.example.com fails", "a.example.com works", "b.example.com fails", "b.example.com works"}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, dir := newIssuer(t), memoryDir(t)
				w := start(t, dir, i)
				w.tables.Publish(table(t, "there.example.com"))
				time.Sleep(time.Second)
				i.set(c.fault)
				i.slow(c.delay)
				w.tables.Publish(table(t, "there.example.com", "a.example.com", "b.example.com"))
				time.Sleep(30 * 24 * time.Hour)
				var states []string
				for _, n := range w.View().Names {
					states = append(states, n.Name+" "+n.State+" "+n.Error)
				}
				if got := w.names(); got != "there.example.com" || !strings.HasSuffix(states[2], "valid ") {
					t.Errorf("%s; %q", got, states)
				}
				i.set(nil)
				i.slow(0)
				time.Sleep(13 * time.Hour)
				if got := w.names(); got != "a.example.com b.example.com there.example.com" {
					t.Errorf("after it is back: %s, %+v", got, w.View())
				}
				w.stop()
				slices.Sort(w.events)
				if !slices.Equal(w.events, c.events) {
					t.Errorf("reported %q", w.events)
				}
				for _, host := range []string{"a.example.com", "b.example.com"} {
					if n := most(i.ordered(host), time.Hour); n > maxOrders {
						t.Errorf("%s: %d orders in an hour", host, n)
					}
				}
				if n, _ := i.count(0); n < c.least || n > 400 {
					t.Errorf("%d orders in thirty days", n)
				}
				if got := testkit.Metrics(t, &w.metrics)["acme_authority_up"]; got != 1 {
					t.Errorf("authority up: %v", got)
				}
			})
		})
	}
}

// TestLimitsOutliveTheProcess: a Fairway that is started again and again, and labels that come
// and go, place no more orders than one that runs.
func TestLimitsOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := newIssuer(t), memoryDir(t)
		i.set(func(string) error { return &ca.Failure{Kind: ca.Refused, Text: "unauthorized: 404"} })
		for range 200 {
			w := start(t, dir, i)
			w.tables.Publish(table(t, "a.example.com"))
			time.Sleep(10 * time.Second)
			w.tables.Publish(table(t))
			time.Sleep(5 * time.Second)
			w.tables.Publish(table(t, "a.example.com"))
			time.Sleep(5 * time.Second)
			w.stop()
		}
		if n := most(i.ordered("a.example.com"), time.Hour); n > maxOrders {
			t.Errorf("%d orders in an hour: %v", n, i.ordered("a.example.com"))
		}
	})
}

// TestPace: of hundreds of hosts that appear at once, in the soak a thousand, ten are ordered at once, and then one each
// two seconds; a host without a certificate goes before those that are renewed.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		i.delay = 3 * time.Second
		all := 200
		if testkit.Soaking() {
			all = 1000
		}
		w := start(t, memoryDir(t), i)
		defer w.stop()
		var hosts []string
		for n := range all {
			hosts = append(hosts, fmt.Sprintf("host%03d.example.com", n))
		}
		w.tables.Publish(table(t, hosts...))
		time.Sleep(time.Minute)
		if n, atOnce := i.count(time.Second); n < 35 || n > 41 || atOnce > burst {
			t.Errorf("%d orders in the first minute, %d in a second", n, atOnce)
		}
		time.Sleep(40 * time.Minute)
		orders, _ := i.count(0)
		if n := len(w.Certificates()) - 1; n != all || orders != all {
			t.Errorf("%d certificates by %d orders", n, orders)
		}
	})
}

// TestOneBadNameHoldsUpNoOther: the authority fails for one name as if it were down, and works
// for all others.
func TestOneBadNameHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		i.set(func(name string) error {
			if name == "bad.example.com" {
				return &ca.Failure{Kind: ca.Unavailable, Text: "serverInternal: oops"}
			}
			return nil
		})
		w := start(t, memoryDir(t), i)
		defer w.stop()
		hosts := []string{"bad.example.com"}
		for n := range 50 {
			hosts = append(hosts, fmt.Sprintf("host%03d.example.com", n))
		}
		w.tables.Publish(table(t, hosts...))
		time.Sleep(10 * time.Minute)
		if n := len(w.Certificates()) - 1; n != 50 {
			t.Errorf("%d certificates", n)
		}
		if n := most(i.ordered("bad.example.com"), time.Hour); n > maxOrders {
			t.Errorf("%d orders in an hour", n)
		}
	})
}

// TestNonsense: what an authority sends that is no certificate for the name is not used.
func TestNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		other := wrong{i}
		w := start(t, memoryDir(t), other)
		defer w.stop()
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(time.Second)
		if v := w.View(); w.names() != "" || v.Names[0].State != StateFailed || !strings.Contains(v.Error, "cannot be used") {
			t.Errorf("%q, %+v", w.names(), v)
		}
	})
}

// wrong issues for another name.
type wrong struct{ *issuer }

func (w wrong) Obtain(ctx context.Context, name string, leaf *x509.Certificate, attempt int) (*ca.Bundle, error) {
	if _, err := w.issuer.Obtain(ctx, name, leaf, attempt); err != nil {
		return nil, err
	}
	return w.bundle("other.example.com"), nil
}

// TestOperators: renew and revoke.
func TestOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		w := start(t, memoryDir(t), i)
		defer w.stop()
		w.tables.Publish(table(t, "a.example.com"))
		time.Sleep(time.Second)
		for range 9 {
			if err := w.Renew(t.Context(), "a.example.com"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if n := len(i.ordered("a.example.com")); n != maxOrders {
			t.Errorf("%d orders", n)
		}
		time.Sleep(2 * time.Hour)
		before := len(i.ordered("a.example.com"))
		if err := w.Revoke(t.Context(), "a.example.com", ca.ReasonKeyCompromise); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(i.ordered("a.example.com")); n != before+1 || w.names() != "a.example.com" {
			t.Errorf("%d orders, names %s", n, w.names())
		}
		for _, err := range []error{w.Renew(t.Context(), "x.example.com"), w.Revoke(t.Context(), "x.example.com", 0)} {
			if !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		}
	})
}

// TestStartsWithWhatThereIs: a start has the certificates of the run before, orders nothing,
// and keeps out of the way of files that are damaged.
func TestStartsWithWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, dir := newIssuer(t), memoryDir(t)
		w := start(t, dir, i, func(o *Options) { o.Wildcards = true })
		w.tables.Publish(table(t, "a.example.com", "*.example.org"))
		time.Sleep(time.Second)
		w.stop()
		if err := os.WriteFile(filepath.Join(dir, "live", "b.example.com.pem"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		w = start(t, dir, i)
		defer w.stop()
		if got := w.names(); got != "*.example.org a.example.com" {
			t.Errorf("names %s", got)
		}
		w.tables.Publish(table(t, "a.example.com", "b.example.com", "c.example.org"))
		time.Sleep(time.Second)
		orders, _ := i.count(0)
		if got := w.names(); got != "*.example.org a.example.com b.example.com" || orders != 3 {
			t.Errorf("names %s, %d orders", got, orders)
		}
	})
}
