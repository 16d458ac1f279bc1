package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
	"fairway/internal/route"
	"fairway/internal/route/match"
)

// neighbour is a service whose labels nobody else may have any influence on.
func neighbour(created int) *catalog.Service {
	return &catalog.Service{
		ID: "good@docker", Name: "good", Source: "docker", Created: seconds(created),
		Instances: []*catalog.Instance{instanceWith("good-1", map[string]string{
			"fairway.host":             "good.example, *.good.example",
			"fairway.admin.host":       "good.example",
			"fairway.admin.path":       "/admin",
			"fairway.admin.basic-auth": "file:/run/secrets/users",
			"fairway.rules.rule":       "Host(`good.example`) && Method(`PUT`)",
			"com.df.notify":            "true",
			"com.df.port.1":            "8080",
			"com.df.servicePath.1":     "/good",
			"com.df.users":             "admin:secret",
			"com.df.port.2":            "6379",
			"com.df.srcPort.2":         "6379",
			"com.df.reqMode.2":         "tcp",
		})},
	}
}

// both are settings that have labels of both dialects read.
func both() Settings {
	return Settings{
		Listeners:  []route.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":443", TLS: true}},
		TCPPorts:   []draft.PortRange{{First: 6000, Last: 6999}},
		DockerFlow: &dockerflow.Options{},
	}
}

func instanceWith(name string, labels map[string]string) *catalog.Instance {
	return &catalog.Instance{
		ID: name, Name: name, Source: "docker", State: catalog.StateReady, Created: seconds(5), Labels: labels,
		Addresses: []catalog.Address{{Host: "172.17.0.9", Network: "bridge", Reach: catalog.ReachBridge}},
		Ports:     []catalog.Port{{Number: 80, Protocol: "tcp"}},
	}
}

func snapshotOf(services ...*catalog.Service) *catalog.Snapshot {
	slices.SortFunc(services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return &catalog.Snapshot{Revision: 1, Services: services}
}

// partOf is everything in a table that belongs to a service.
func partOf(t *route.Table, service string) string {
	var b strings.Builder
	for _, r := range t.Routes {
		if r.Service == service {
			b.WriteString(r.Text())
		}
	}
	for _, be := range t.Backends {
		if be.Service == service {
			b.WriteString(be.Text())
		}
	}
	for _, p := range t.Problems {
		if p.Service == service {
			b.WriteString(p.String() + "\n")
		}
	}
	return b.String()
}

// hostileLabels draws label sets that are right, nearly right and wrong, and that
// often ask for what the neighbour has.
func hostileLabels() *rapid.Generator[map[string]string] {
	return rapid.Custom(func(t *rapid.T) map[string]string {
		labels := hostileFlow().Draw(t, "labels of Docker Flow")
		for range rapid.IntRange(0, 8).Draw(t, "labels") {
			name := rapid.SampledFrom([]string{"", "", "admin.", "rules.", "x.", "health.", "..", "Ä."}).Draw(t, "name")
			var key string
			if rapid.IntRange(0, 9).Draw(t, "known") > 0 {
				k := rapid.SampledFrom(native.Keys()).Draw(t, "key")
				key = k.Name
				if strings.HasSuffix(key, ".") {
					key += rapid.SampledFrom([]string{"X-A", "Host", "", "X-Forwarded-For"}).Draw(t, "header")
				}
			} else {
				key = rapid.StringN(0, 20, 40).Draw(t, "foreign")
			}
			value := rapid.OneOf(
				rapid.SampledFrom([]string{
					"good.example", "*.good.example", "good.example, *.good.example", "/admin", "/", "*", "true", "false", "0", "1", "80",
					"Host(`good.example`) && Method(`PUT`)", "Host(`good.example`)", "Host(`good.example`) || Host(`b.example`)", "!Host(`x`)",
					"file:/run/secrets/users", "admin:secret", "\xff\xfe", "a\x00b", "\r\nSet-Cookie: x", strings.Repeat("a", 64<<10), strings.Repeat("(", 9000),
				}),
				rapid.Custom(func(t *rapid.T) string { return rapid.SampledFrom(native.Keys()).Draw(t, "example").Example }),
				rapid.String(),
			).Draw(t, "value")
			labels[rapid.SampledFrom([]string{"fairway.", "fairway.", "FAIRWAY."}).Draw(t, "prefix")+name+key] = value
		}
		return labels
	})
}

// hostileFlow draws labels of Docker Flow, most of them sensible enough to be
// served.
func hostileFlow() *rapid.Generator[map[string]string] {
	value := rapid.OneOf(
		rapid.SampledFrom([]string{
			"/good", "/good,/admin", "/", "good.example", "*.good.example", "*", "true", "false", "80", "443", "6379", "8080", "0", "http", "tcp", "sni",
			"path_reg -i", "path", "req_ssl_sni -i -m beg", "hdr_dom(host)", "admin:secret", "admin", "a,b:c", "^/x(.*),/\\1", "X-A \"b c\"", "X-A %[src]",
			"X-A:b", "00", "sticky-server", "gzip", "good@docker", "\xff", "a\x00b", strings.Repeat("(", 2000), strings.Repeat("a,", 5000),
		}),
		rapid.String(),
	)
	return rapid.Custom(func(t *rapid.T) map[string]string {
		labels := map[string]string{}
		if rapid.Bool().Draw(t, "none") {
			return labels
		}
		labels["com.df.notify"], labels["com.df.port"], labels["com.df.servicePath"] = "true", "80", "/good"
		for range rapid.IntRange(0, 8).Draw(t, "labels") {
			k := rapid.SampledFrom(dockerflow.Parameters()).Draw(t, "key").Name + rapid.SampledFrom([]string{"", "", ".1", ".2", ".11", ".x", "."}).Draw(t, "index")
			labels[catalog.FlowLabelPrefix+k] = value.Draw(t, "value")
		}
		return labels
	})
}

// TestOwnersCannotChangeEachOther is the promise of the bulkhead: whatever
// labels a neighbour has, everything a service serves is the same, byte by byte,
// as if it were alone; whether it was there first or is only older.
func TestOwnersCannotChangeEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := neighbour(1)
		alone := New(both()).Compile(snapshotOf(good), nil)
		want := partOf(alone, good.ID)

		bad := &catalog.Service{
			ID:     rapid.SampledFrom([]string{"bad@docker", "a@docker", "good@docker/admin", "good@docker/", "zzz", "\xff", ""}).Draw(t, "id"),
			Source: "docker", Created: seconds(rapid.IntRange(0, 3).Draw(t, "created")),
		}
		if rapid.Bool().Draw(t, "labels of the service") {
			bad.Labels = hostileLabels().Draw(t, "service labels")
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "instances") {
			bad.Instances = append(bad.Instances, instanceWith(fmt.Sprintf("bad-%d", i), hostileLabels().Draw(t, "instance labels")))
		}

		c := New(both())
		later := c.Compile(snapshotOf(good, bad), alone)
		if diff := cmp.Diff(want, partOf(later, good.ID)); diff != "" {
			t.Fatalf("a newcomer changed the incumbent:\n%s", diff)
		}
		for _, r := range alone.Routes {
			if later.Route(r.ID) != r {
				t.Fatalf("route %s is another pointer", r.ID)
			}
		}
		again := c.Compile(snapshotOf(good, bad), later)
		if diff := cmp.Diff(later.Text(), again.Text()); diff != "" {
			t.Fatalf("compiling again changed the table:\n%s", diff)
		}
		if bad.Created.After(good.Created) || bad.Created.IsZero() {
			together := New(both()).Compile(snapshotOf(good, bad), nil)
			if diff := cmp.Diff(want, partOf(together, good.ID)); diff != "" {
				t.Fatalf("a younger service changed the older:\n%s", diff)
			}
		}
	})
}

// TestStepsEndInTheSame compiles random histories: a compiler with memory and
// one without never differ, claims of what stays are kept, and no two routes of
// a table have the same claim.
func TestStepsEndInTheSame(t *testing.T) {
	host := rapid.SampledFrom([]string{"a.example", "b.example", "a.example, b.example", "c.example", "b.example, c.example", "bad host", ""})
	rapid.Check(t, func(t *rapid.T) {
		warm := New(both())
		var previous *route.Table
		services := map[string]*catalog.Service{}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "service")
			services[id] = &catalog.Service{
				ID: id, Name: id, Source: "docker", Created: seconds(rapid.IntRange(0, 2).Draw(t, "created")),
				Instances: []*catalog.Instance{instanceWith(id+"-1", map[string]string{
					"fairway.host":   host.Draw(t, "host"),
					"fairway.x.host": host.Draw(t, "other host"),
					"fairway.x.path": rapid.SampledFrom([]string{"/", "/x", "x"}).Draw(t, "path"),
					"com.df.notify":  "true", "com.df.port": "80",
					"com.df.servicePath": rapid.SampledFrom([]string{"/x", "/y", "/x,/y", "/y,/z", "y", ""}).Draw(t, "path of Docker Flow"),
					"com.df.aclName":     rapid.SampledFrom([]string{"", "01", "02", "03"}).Draw(t, "aclName"),
				})},
			}
			var list []*catalog.Service
			for _, s := range services {
				list = append(list, s)
			}
			s := snapshotOf(list...)
			table := warm.Compile(s, previous)
			if diff := cmp.Diff(New(both()).Compile(s, previous).Text(), table.Text()); diff != "" {
				t.Fatalf("memory changes the table (-fresh +warm):\n%s", diff)
			}
			checkClaims(t, previous, table)
			checkNames(t, services, previous, table)
			previous = table
		}
	})
}

// checkNames: a route without an aclName that asks for the same as before loses to
// nobody who asks for it now, whatever aclName that one has.
func checkNames(t *rapid.T, services map[string]*catalog.Service, previous, table *route.Table) {
	if previous == nil {
		return
	}
	for _, p := range table.Problems {
		before := previous.Route(p.Route)
		if p.Code != route.CodeConflict || before == nil || table.Route(p.Route) != nil || !strings.HasPrefix(flowPart(p.Route), "com.df") {
			continue
		}
		labels := services[p.Service].Instances[0].Labels
		if labels["com.df.aclName"] != "" || labels["com.df.servicePath"] != before.Origin.Labels["com.df.servicePath"] {
			continue
		}
		for _, r := range table.Routes {
			if was := previous.Route(r.ID); was != nil && slices.Equal(claimsOf(was), claimsOf(r)) {
				continue
			}
			if r.Service != p.Service && slices.Equal(claimsOf(before), claimsOf(r)) {
				t.Fatalf("%s was there with the same claims, and lost them to %s", p.Route, r.ID)
			}
		}
	}
}

// flowPart is the name of a route, behind the ID of its service.
func flowPart(id string) string {
	_, name, _ := strings.Cut(id, "/")
	return name
}

func checkClaims(t *rapid.T, previous, table *route.Table) {
	numbers, held := map[uint64]string{}, map[claim]string{}
	for _, r := range table.Routes {
		if other, twice := numbers[r.Claim]; twice {
			t.Fatalf("%s and %s have the same number", r.ID, other)
		}
		numbers[r.Claim] = r.ID
		for _, c := range claimsOf(r) {
			if other, twice := held[c]; twice {
				t.Fatalf("%s and %s have the same claim %v", r.ID, other, c)
			}
			held[c] = r.ID
		}
		if previous == nil {
			continue
		}
		if before := previous.Route(r.ID); before != nil && slices.Equal(claimsOf(before), claimsOf(r)) && before.Claim != r.Claim {
			t.Fatalf("%s did not keep its number", r.ID)
		}
	}
}

// TestOneProblemForEachBadLabel counts: of any number of labels that do not
// exist, each is told once.
func TestOneProblemForEachBadLabel(t *testing.T) {
	labels := map[string]string{"fairway.host": "a.example"}
	for i := range 50 {
		labels[fmt.Sprintf("fairway.unknown-%d", i)] = "x"
	}
	s := snapshotOf(&catalog.Service{ID: "a", Source: "docker", Labels: labels, Instances: []*catalog.Instance{instanceWith("a-1", nil)}})
	table := New(both()).Compile(s, nil)
	if len(table.Problems) != 50 {
		t.Errorf("%d problems, want 50", len(table.Problems))
	}
	if r := table.Route("a"); r == nil || r.Refused == "" {
		t.Error("the route is not refused")
	}
}

// TestNastyLabels compiles what is meant to hurt: it must end, soon, with few
// problems and the neighbour untouched.
func TestNastyLabels(t *testing.T) {
	many, routes := map[string]string{}, map[string]string{}
	labels := 50_000
	if testing.Short() {
		labels = 10_000
	}
	for i := range labels {
		many[fmt.Sprintf("fairway.hoost%d", i)] = "x"
		routes[fmt.Sprintf("fairway.r%d.host", i/2)] = fmt.Sprintf("h%d.example", i/2)
	}
	var alternatives, values []string
	for i := range 200 {
		values = append(values, fmt.Sprintf(", `x%d`", i))
	}
	for i := range 60 {
		alternatives = append(alternatives, fmt.Sprintf("(Query(`a%d`)||Query(`b%d`))", i, i))
	}
	cases := map[string]map[string]string{
		"unknown labels":      many,
		"many routes":         routes,
		"64 KiB key":          {"fairway." + strings.Repeat("h", 64<<10): "x"},
		"64 KiB header name":  {"fairway.host": "a.example", "fairway.headers.request.set." + strings.Repeat("h", 64<<10): "x"},
		"64 KiB value":        {"fairway.host": strings.Repeat("a,", 32<<10)},
		"64 KiB rule":         {"fairway.rule": "Host(`" + strings.Repeat("a", 64<<10) + "`)"},
		"deep parentheses":    {"fairway.rule": strings.Repeat("(", 4000) + "Host(`a`)" + strings.Repeat(")", 4000)},
		"deep negation":       {"fairway.rule": strings.Repeat("!", 8000) + "Host(`a`)"},
		"exponential rule":    {"fairway.rule": strings.Join(alternatives, "&&")},
		"many expressions":    {"fairway.rule": strings.Repeat("(Query(`a`)||Query(`b`)) && ", 6) + strings.Repeat("HeaderRegexp(`A`, `(a{1,30}){1,30}`) && ", 3) + "HeaderRegexp(`B`, `x`)"},
		"many values":         {"fairway.rule": "HeaderRegexp(`A`" + strings.Join(values, "") + ")"},
		"long chain":          {"fairway.rule": strings.Repeat("Method(`A`)||", 600) + "Method(`A`)"},
		"regular expression":  {"fairway.path-regexp": "((a{1,100}){1,100}){1,100}"},
		"invalid UTF-8 key":   {"fairway.\xff\xfe": "x", "fairway.host": "a.example"},
		"invalid UTF-8 value": {"fairway.host": "\xff.example", "fairway.headers.request.set.X-A": "\xff"},
		"control characters":  {"fairway.host": "a\x00.example", "fairway.headers.response.set.X-A": "b\r\nSet-Cookie: c"},
		"case variants":       {"fairway.host": "a.example", "Fairway.host": "b.example", "FAIRWAY.HOST": "c.example"},
		"unicode confusables": {"fairway.hоst": "a.example", "ſfairway.host": "x", "fairwayK.host": "x"},
		"port out of range":   {"fairway.host": "a.example", "fairway.port": "65536"},
		"negative port":       {"fairway.host": "a.example", "fairway.port": "-1"},
		"IPv6 with zone":      {"fairway.host": "fe80::1%eth0", "fairway.ip-allow": "fe80::1%eth0"},
	}
	good := neighbour(1)
	alone := New(both()).Compile(snapshotOf(good), nil)
	for name, labels := range cases {
		t.Run(name, func(t *testing.T) {
			bad := &catalog.Service{ID: "bad@docker", Source: "docker", Created: time.Unix(2, 0), Instances: []*catalog.Instance{instanceWith("bad-1", labels)}}
			table := New(both()).Compile(snapshotOf(good, bad), alone)
			if diff := cmp.Diff(partOf(alone, good.ID), partOf(table, good.ID)); diff != "" {
				t.Errorf("the neighbour changed:\n%s", diff)
			}
			if name != "many routes" && len(table.Problems) == 0 {
				t.Error("nothing is told about it")
			}
			if len(table.Problems) > maxProblems+1 {
				t.Errorf("%d problems", len(table.Problems))
			}
			for _, p := range table.Problems {
				if chars.HasControl(p.Text+p.Label+p.Hint) || len(p.Text)+len(p.Label)+len(p.Hint) > 2000 {
					t.Errorf("not fit for a line: %.300q", p.String())
				}
			}
		})
	}
}

// TestSecretsAreNotRepeated: no problem and no refused route repeats what stands
// in labels where people put credentials.
func TestSecretsAreNotRepeated(t *testing.T) {
	const canary = "hunter2"
	for _, labels := range []map[string]string{
		{"fairway.basic-auth": "admin:" + canary},
		{"fairway.basic-auth": canary},
		{"fairway.headers.request.set.Authorization": canary + "\x01"},
		{"fairway.headers.request.set.Bad Name": canary},
		{"fairway.headers.request.sett.Authorization": canary},
		{"fairway.redirect": "https://user:" + canary + "@a.example"},
		{"fairway.rule": "Header(`X-Token`, `" + canary + "`) & Host(`a`)"},
		{"fairway.rule": "Header(`X-Token`, `" + canary},
		{"fairway.rule": "Header(`X-Token`, \"" + canary + "\x01\")"},
		{"fairway.rule": "HeaderRegexp(`X-Token`, `" + canary + "(`)"},
		{"fairway.rule": "QueryRegexp(`token`, `" + canary + "[`)"},
		{"fairway.redirect": "https://user:" + canary + "@a.example:port"},
		{"fairway.redirect": "https://a.example/?token=" + canary},
		{"fairway.health.path": "up?token=" + canary},
		{"fairway.health.path": "/up", "fairway.health.headers.X-A": canary + "\x01"},
		{"fairway.health.path": "/up", "fairway.health.headers.Host": canary},
		{"com.df.addReqHeader": "X-Key:" + canary + " x"},
		{"com.df.setHeader": canary},
		{"com.df.users": "ann:" + canary, "com.df.usersPassEncrypted": "true"},
		{"com.df.serviceHeader": canary},
		{"com.df.backendExtra": "http-request set-header X-Key " + canary},
	} {
		if !catalog.HaveLabels(labels, catalog.LabelPrefix) {
			labels["com.df.notify"], labels["com.df.port"], labels["com.df.serviceDomain"] = "true", "80", "a.example"
		} else if labels["fairway.rule"] == "" {
			labels["fairway.host"] = "a.example"
		}
		s := snapshotOf(&catalog.Service{ID: "a", Source: "docker", Instances: []*catalog.Instance{instanceWith("a-1", labels)}})
		table := New(both()).Compile(s, nil)
		if len(table.Problems) == 0 {
			t.Errorf("%v is not refused", labels)
		}
		if strings.Contains(table.Text(), canary) {
			t.Errorf("%v: the secret is in\n%s", labels, table.Text())
		}
		for _, r := range table.Routes {
			if strings.Contains(fmt.Sprint(r.Origin.Labels), canary) {
				t.Errorf("%v: the secret is in the origin of the route", labels)
			}
		}
	}
}

// TestConflictsDoNotRepeatSecrets: who loses a contest is told for what, but not
// what a credential must be.
func TestConflictsDoNotRepeatSecrets(t *testing.T) {
	const canary = "hunter2"
	var services []*catalog.Service
	for i, name := range []string{"a", "b"} {
		services = append(services, &catalog.Service{
			ID: name, Source: "docker", Created: time.Unix(int64(i+1), 0),
			Instances: []*catalog.Instance{instanceWith(name+"-1", map[string]string{"fairway.rule": "Host(`a.example`) && Header(`X-Token`, `" + canary + "`)"})},
		})
	}
	s := snapshotOf(services...)
	c := New(both())
	table := c.Compile(s, nil)
	if len(table.Problems) != 1 || !strings.Contains(table.Problems[0].Text, "header X-Token is ***") || strings.Contains(table.Problems[0].String(), canary) {
		t.Errorf("the conflict is told as %v", table.Problems)
	}
	for _, d := range c.Diagnose(s, table, "a") {
		for _, check := range d.Checks {
			if strings.Contains(check.Text+check.Hint, canary) {
				t.Errorf("the diagnosis tells %s", check.Text)
			}
		}
	}
}

// TestWhoRunsHasTheClaim: of services that want the same, one of which nothing runs
// never keeps out one of which something does, and one that runs keeps what it has.
func TestWhoRunsHasTheClaim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(Settings{})
		var table *route.Table
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			var services []*catalog.Service
			for id := range 4 {
				if !rapid.Bool().Draw(t, "exists") {
					continue
				}
				in := instanceWith("in", map[string]string{"fairway.host": rapid.SampledFrom([]string{"a.example", "b.example"}).Draw(t, "host")})
				in.State = rapid.SampledFrom([]catalog.State{catalog.StateReady, catalog.StateStarting, catalog.StateLeaving, catalog.StateStopped, catalog.StateStopped}).Draw(t, "state")
				services = append(services, &catalog.Service{
					ID: fmt.Sprint(id, "@docker"), Source: "docker", Created: seconds(rapid.IntRange(0, 3).Draw(t, "created")),
					RanLately: in.State == catalog.StateStopped && rapid.Bool().Draw(t, "lately"), Instances: []*catalog.Instance{in},
				})
			}
			before := table
			table = c.Compile(snapshotOf(services...), before)
			for _, s := range services {
				r := table.Route(s.ID)
				if r != nil || isIdle(s) {
					continue
				}
				host := s.Instances[0].Labels["fairway.host"]
				for _, other := range services {
					if has := table.Route(other.ID); has != nil && has.Matches[0].Host.Value == host && isIdle(other) {
						t.Fatalf("%s runs and yields to %s, which does not", s.ID, other.ID)
					}
				}
				if before != nil && before.Route(s.ID) != nil && before.Route(s.ID).Matches[0].Host.Value == host {
					t.Fatalf("%s runs and has lost what it had", s.ID)
				}
			}
		}
	})
}

// TestWhatCannotBeReadIsClosed: a request that a route with users would take if its
// labels could be read is never served without users by another route of the service.
func TestWhatCannotBeReadIsClosed(t *testing.T) {
	hosts := []string{"a.example", "b.a.example", "*.a.example", "**.example", "*"}
	paths := []string{"/", "/admin", "/admin/x", "/adm"}
	rapid.Check(t, func(t *rapid.T) {
		labels := map[string]string{"fairway.admin.basic-auth": "file:/run/secrets/users"}
		for i := range rapid.IntRange(1, 3).Draw(t, "routes") {
			front := fmt.Sprintf("fairway.%c.", 'x'+i)
			labels[front+"host"] = strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom(hosts), 1, 2, rapid.ID).Draw(t, "hosts"), ",")
			labels[front+rapid.SampledFrom([]string{"path", "path-exact"}).Draw(t, "kind")] = rapid.SampledFrom(paths).Draw(t, "path")
			if rapid.Bool().Draw(t, "expression") {
				labels[front+"path-regexp"] = "/ad.*"
			}
			if rapid.Bool().Draw(t, "first") {
				labels[front+"priority"] = "1"
			}
		}
		with := func(more ...string) *catalog.Service {
			all := maps.Clone(labels)
			for i := 0; i < len(more); i += 2 {
				all["fairway.admin."+more[i]] = more[i+1]
			}
			return &catalog.Service{ID: "s@docker", Source: "docker", Instances: []*catalog.Instance{instanceWith("s-1", all)}}
		}
		host, path := rapid.SampledFrom(hosts).Draw(t, "host"), rapid.SampledFrom(paths).Draw(t, "path")
		rule := fmt.Sprintf("Host(`%s`) && PathPrefix(`%s`)", host, path)
		readable := with("host", host, "path", path)
		unreadable := rapid.SampledFrom([]*catalog.Service{
			with("host", host+" x", "path", path), with("host", host, "path", "x"), with("host", host+" x", "path", "x"),
			with("host", host, "path-regexp", "("), with("rule", rule+")"), with("rule", rule, "host", host+" x"), with("host", host+" x"),
		}).Draw(t, "unreadable")
		want, got := New(Settings{}).Compile(snapshotOf(readable), nil), New(Settings{}).Compile(snapshotOf(unreadable), nil)
		asked, err := match.New(want.Routes)
		if err != nil {
			t.Fatal(err)
		}
		served, err := match.New(got.Routes)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"a.example", "b.a.example", "c.b.a.example", "example", "other"} {
			for _, path := range []string{"/", "/admin", "/admin/x", "/admin/x/y", "/adm", "/administrator", "/other"} {
				r := &route.Request{Method: "GET", Host: host, Path: path}
				if meant := asked.Find(r); meant == nil || meant.ID != "s@docker/admin" {
					continue
				}
				if now := served.Find(r); now != nil && now.Refused == "" && (len(now.Filters) == 0 || now.Filters[0].BasicAuth == nil) {
					t.Fatalf("%s%s is open, by\n%s", host, path, got.Text())
				}
			}
		}
	})
}
