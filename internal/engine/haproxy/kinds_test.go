package haproxy

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestEveryKindOfServer adds a server to a running backend of each kind: HAProxy takes
// fewer options from its socket than from its file.
func TestEveryKindOfServer(t *testing.T) {
	t.Parallel()
	health := &route.Health{Path: "/health", Interval: 20 * time.Millisecond, Timeout: time.Second}
	kinds := map[string]func(*route.Backend){
		"plain":      func(*route.Backend) {},
		"h2c":        func(b *route.Backend) { b.Scheme = route.SchemeH2C },
		"https":      func(b *route.Backend) { b.Scheme = route.SchemeHTTPS },
		"https-name": func(b *route.Backend) { b.Scheme, b.TLS = route.SchemeHTTPS, &route.TLS{ServerName: "in.example"} },
		"https-any":  func(b *route.Backend) { b.Scheme, b.TLS = route.SchemeHTTPS, &route.TLS{SkipVerify: true} },
		"https-health": func(b *route.Backend) {
			b.Scheme, b.TLS, b.Health = route.SchemeHTTPS, &route.TLS{SkipVerify: true}, health
		},
		"health":     func(b *route.Backend) { b.Health = health },
		"fails":      func(b *route.Backend) { b.MaxFails = 3 },
		"both":       func(b *route.Backend) { b.MaxFails, b.Health = 3, health },
		"slow-start": func(b *route.Backend) { b.SlowStart = time.Minute },
		"sticky":     func(b *route.Backend) { b.Sticky = "s" },
		"least-conn": func(b *route.Backend) { b.Balance.Policy = route.BalanceLeastConn },
		"random2":    func(b *route.Backend) { b.Balance.Policy = route.BalanceRandom2 },
		"hash":       func(b *route.Backend) { b.Balance = route.Balance{Policy: route.BalanceHash, On: route.HashPath} },
		"tcp":        func(b *route.Backend) { b.Scheme = route.SchemeTCP },
		"tcp-health": func(b *route.Backend) {
			b.Scheme, b.Health = route.SchemeTCP, &route.Health{Interval: 20 * time.Millisecond}
		},
		"tcp-fails": func(b *route.Backend) { b.Scheme, b.MaxFails = route.SchemeTCP, 3 },
		"proxy-1":   func(b *route.Backend) { b.Scheme, b.SendProxy = route.SchemeTCP, 1 },
		"proxy-2":   func(b *route.Backend) { b.Scheme, b.SendProxy = route.SchemeTCP, 2 },
	}
	s := newSite(t, Options{Logger: quiet(t)})
	alive := startEndpoint(t, "alive")
	s.listeners = append(s.listeners, route.Listener{Name: "tcp", Address: "127.0.0.1:0", TCP: true})
	give := func(name string, addresses ...string) {
		s.serve(name+".example", addresses...)
		b := s.backends[name+".example"]
		kinds[name](b)
		if b.Scheme == route.SchemeTCP {
			s.routes[name+".example"].Matches[0].Conditions = []route.Condition{{Kind: route.ConditionListener, Values: []string{"tcp"}}}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		give(name, alive)
	}
	s.apply()
	s.exact()
	before := s.reloads()
	for i, name := range slices.Sorted(maps.Keys(kinds)) {
		give(name, alive, fmt.Sprintf("127.3.0.%d:80", i+1))
		if err := s.engine.Apply(t.Context(), s.table()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.reloads(); n != before {
			t.Errorf("%s: a server more needs a reload", name)
			before = n
		}
	}
	s.exact()
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		b := *s.backends[name+".example"]
		b.Endpoints = []route.Endpoint{b.Endpoints[0]}
		b.Endpoints[0].Weight = 77
		s.backends[name+".example"] = &b
	}
	s.apply()
	s.exact()
	if n := s.reloads(); n != before {
		t.Errorf("other weights and fewer servers need %d reloads", n-before)
	}
	testkit.Eventually(t, "deletion of servers", func() bool { return s.count("fairway_haproxy_leaving_servers") == 0 })
	if n := s.count("fairway_haproxy_verification_failures_total") + s.count("fairway_haproxy_runtime_failures_total"); n != 0 {
		t.Errorf("%v failures of commands", n)
	}
}
