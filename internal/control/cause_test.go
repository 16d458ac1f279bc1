package control

import (
	"maps"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/route"
)

// asContainers moves the labels of services to their instances, as with Docker.
func asContainers(s *catalog.Snapshot) *catalog.Snapshot {
	for _, svc := range s.Services {
		for i, in := range svc.Instances {
			in.Labels, in.Created = svc.Labels, time.Unix(int64(s.Revision)*1000+int64(i), 0)
		}
		svc.Labels = nil
	}
	return s
}

func TestCause(t *testing.T) {
	unhealthy := servicesOf(2, "a x.test 1")
	unhealthy.Services[0].Instances[0].State = catalog.StateUnhealthy
	unhealthy.Services[0].Instances[0].StateReason = "exit code 1"
	moved := servicesOf(2, "a x.test 1")
	moved.Services[0].Instances[0].Addresses = []catalog.Address{{Host: "10.0.0.9", Port: 80}}
	secret := servicesOf(2, "a x.test 1")
	secret.Services[0].Labels["fairway.basic-auth"] = "ann:secret"
	stale := servicesOf(2, "a x.test 1")
	stale.Sources[0].Stale = true
	certificates := servicesOf(2, "a x.test 1")
	certificates.Certificates = []catalog.Certificate{{File: "a.pem", Source: "test"}}
	for name, c := range map[string]struct {
		seen, sees *catalog.Snapshot
		audit      []auditEntry
		want       string
		kinds      string
	}{
		"first":             {nil, servicesOf(1, "a x.test"), nil, "the first table", ""},
		"label":             {servicesOf(1, "a x.test 1"), servicesOf(2, "a y.test 1"), nil, "service a: label fairway.host changed from x.test to y.test", "label"},
		"label of anew":     {asContainers(servicesOf(1, "a x.test 1")), asContainers(servicesOf(2, "a y.test 2")), nil, "instance a-2 of service a: label fairway.host changed from x.test to y.test, and 2 more", "label instance-added instance-removed"},
		"service came":      {servicesOf(1, "a x.test 1"), servicesOf(2, "a x.test 1", "b y.test 1 2"), nil, "service b came", "service-added"},
		"service went":      {servicesOf(1, "a x.test 1", "b y.test"), servicesOf(2, "b y.test"), nil, "service a went", "service-removed"},
		"scaled":            {servicesOf(1, "a x.test 1"), servicesOf(2, "a x.test 1 2 3"), nil, "instance a-2 of service a came, and 1 more", "instance-added instance-added"},
		"state":             {servicesOf(1, "a x.test 1"), unhealthy, nil, "instance a-1 of service a is unhealthy (exit code 1), was ready", "instance-state"},
		"address":           {servicesOf(1, "a x.test 1"), moved, nil, "instance a-1 of service a has other addresses, ports or another weight", "instance-address"},
		"secret":            {servicesOf(1, "a x.test 1"), secret, nil, "service a got the label fairway.basic-auth=***", "label"},
		"label off":         {secret, servicesOf(3, "a x.test 1"), nil, "service a lost the label fairway.basic-auth=***", "label"},
		"foreign label":     {servicesOf(1, "a x.test 1"), servicesOf(2, "a x.test 1"), nil, "Fairway reads the same labels in another way", ""},
		"source":            {servicesOf(1, "a x.test 1"), stale, nil, "source test is stale, was synced", "source"},
		"certificates":      {servicesOf(1, "a x.test 1"), certificates, nil, "other certificates", "other"},
		"others are silent": {servicesOf(1, "a x.test 1", "b y.test 1"), servicesOf(2, "a x.test 1 2", "b y.test 1"), nil, "instance a-2 of service a came", "instance-added"},
		"operator": {
			servicesOf(1, "a x.test 1"), servicesOf(2, "a y.test 1"),
			[]auditEntry{{operator: "ann", command: "service a drained", message: "leak", change: history.Change{Kind: history.CommandChanged, To: "service a drained"}}},
			"service a drained by ann: leak", "command label",
		},
		"by itself": {
			servicesOf(1, "a x.test 1"), servicesOf(1, "a x.test 1"),
			[]auditEntry{{change: history.Change{Kind: history.CommandChanged, From: "pause service a", To: "ended by itself:"}}},
			"ended by itself: pause service a", "command",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := step{after: labelCompiler{}.Compile(c.sees, nil), seen: c.seen, sees: c.sees, audit: c.audit, shown: func(k, v string) string {
				if strings.Contains(k, "auth") {
					return "***"
				}
				return v
			}}
			if c.seen != nil {
				s.before = labelCompiler{}.Compile(c.seen, nil)
			}
			got := cause(s)
			var kinds []string
			for _, x := range got.Changes {
				kinds = append(kinds, string(x.Kind))
			}
			if got.Text != c.want || strings.Join(kinds, " ") != c.kinds {
				t.Errorf("%q %q, want %q %q", got.Text, kinds, c.want, c.kinds)
			}
		})
	}
}

// A cause stays small, whatever changes at once.
// Another default of the configuration says so, once for all routes that have it.
func TestCauseOfDefaults(t *testing.T) {
	table := func(defaults map[string]string) *route.Table {
		var routes []*route.Route
		for _, id := range []string{"a", "b"} {
			routes = append(routes, &route.Route{
				ID: id, Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: id + ".test"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
				Origin: route.Origin{Defaults: defaults},
			})
		}
		made, err := route.New(1, nil, routes, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	none, one, other := map[string]string(nil), map[string]string{"fairway.max-body": "1MB"}, map[string]string{"fairway.max-body": "2MB"}
	for want, c := range map[string][2]map[string]string{
		"the configuration has the default fairway.max-body=1MB":                    {none, one},
		"the configuration has no default fairway.max-body=1MB any more":            {one, none},
		"the default fairway.max-body of the configuration changed from 1MB to 2MB": {one, other},
		"Fairway reads the same labels in another way":                              {one, one},
	} {
		w := step{before: table(c[0]), after: table(c[1]), shown: func(_, value string) string { return value }}
		got := cause(w)
		// At the start after such a change the sources have not answered yet.
		w.seen, w.sees = servicesOf(1), servicesOf(1)
		w.sees.Sources[0].Synced = false
		if maps.Equal(c[0], c[1]) {
			w.sees = w.seen
		}
		if text := cause(w).Text; !strings.HasPrefix(text, want) {
			t.Errorf("beside a source: %q, want %q", text, want)
		}
		if got.Text != want || len(got.Changes) > 1 {
			t.Errorf("%q, want %q (%v)", got.Text, want, got.Changes)
		}
	}
}

func TestCauseIsCut(t *testing.T) {
	many := "a x.test"
	for i := range 200 {
		many += " 10." + strings.Repeat("1", i%50+1) + string(rune('a'+i%26))
	}
	seen, sees := servicesOf(1, "a x.test"), servicesOf(2, many)
	sees.Services[0].Labels["fairway.note"] = strings.Repeat("é", 10000)
	got := cause(step{before: labelCompiler{}.Compile(seen, nil), after: labelCompiler{}.Compile(seen, nil), seen: seen, sees: sees, shown: func(_, v string) string { return v }})
	if len(got.Changes) != maxChanges || got.Omitted == 0 || len(got.Changes[0].To) > 400 {
		t.Errorf("%d changes, %d omitted, the first %d bytes", len(got.Changes), got.Omitted, len(got.Changes[0].To))
	}
}

// A pause that goes on after a restart lasts no longer than planned, even
// when the wall clock was set back.
func TestPauseEndsDespiteClockJumps(t *testing.T) {
	now := time.Now()
	for until, want := range map[time.Duration]time.Duration{
		10 * time.Second: 10 * time.Second, -time.Second: -time.Second,
		87600 * time.Hour: 30 * time.Second, // the clock was set back
	} {
		c := Command{Kind: CommandPause, Wait: 30 * time.Second, Until: now.Add(until)}
		if c.setEnd(now); c.end.Sub(now) != want {
			t.Errorf("a pause until in %s ends in %s, want %s", until, c.end.Sub(now), want)
		}
	}
}
