package setup_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/acme/setup"
	"fairway/internal/app"
	"fairway/internal/testkit"
)

// TestOnDemand: a client that asks for a name waits for its certificate, and gets it, where the
// operator's service says yes; where it says no there is none.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	p := startPebble(t)
	var mu sync.Mutex
	asked := map[string]int{}
	service200 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		name := r.URL.Query().Get("domain")
		asked[name]++
		if r.URL.Query().Get("key") != "k" || strings.HasPrefix(name, "no.") {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(service200.Close)
	f := startFairway(t, p, "services:\n"+service("s", "**.shops.test", backend(t))+service("own", "own.test", backend(t)), func(c *app.Config) {
		c.ACME.Challenges = []string{"http-01"}
		c.ACME.OnDemand = setup.OnDemand{Ask: service200.URL + "/allowed?key=k", Hosts: []string{"**.shops.test"}, Names: 10, PerHour: 10}
	})
	f.await(t, "own.test")
	began := time.Now()
	leaf := f.await(t, "new.shops.test") // usually at once; a handshake has ten seconds
	testkit.Figure(t, "certificate on demand", "%v until the first request is answered", time.Since(began).Round(10*time.Millisecond))
	if again := f.await(t, "new.shops.test"); again.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		t.Error("another one was obtained")
	}
	for range 3 {
		if _, err := f.leaf(t, "no.shops.test"); err == nil {
			t.Error("a name without a yes has a certificate")
		}
	}
	if _, err := f.leaf(t, "other.test"); err == nil {
		t.Error("a name that may not be asked for has a certificate")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 2 || asked["new.shops.test"] == 0 || asked["no.shops.test"] == 0 {
		t.Errorf("asked for %v", asked)
	}
}

// TestOnDemandKeys: what is wrong with the keys is said of the key that has it.
func TestOnDemandKeys(t *testing.T) {
	for want, c := range map[string]struct {
		keys    setup.OnDemand
		haproxy bool
	}{
		"": {setup.OnDemand{Ask: "http://127.0.0.1:9000/allowed", Hosts: []string{"*", "**.shops.example"}}, false},
		"acme.on-demand.ask: acme.on-demand.hosts needs it: without a service that says yes nothing is ordered; write acme.on-demand.ask: http://127.0.0.1:9000/allowed": {setup.OnDemand{Hosts: []string{"*"}}, false},
		"acme.on-demand.hosts: acme.on-demand.ask needs it: write which names may be asked for, as **.shops.example, or * for all":                                       {setup.OnDemand{Ask: "http://a/"}, false},
		"acme.on-demand.ask: write http:// or https://, without credentials, as http://127.0.0.1:9000/allowed":                                                           {setup.OnDemand{Ask: "a", Hosts: []string{"*"}}, false},
		"acme.on-demand.ask: HAProxy ends TLS by itself and cannot wait for a certificate: write engine: embedded, or take acme.on-demand out":                           {setup.OnDemand{Ask: "http://a/", Hosts: []string{"*"}}, true},
	} {
		cfg := setup.Config{Agree: true, CA: "https://ca.example/", Challenges: []string{"http-01"}, OnDemand: c.keys}
		var said []string
		cfg.Check(c.haproxy, true, true, func(key, _, reason string) { said = append(said, key+": "+reason) })
		if got := strings.Join(said, "; "); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.keys, got, want)
		}
	}
}
