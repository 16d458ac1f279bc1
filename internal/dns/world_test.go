package dns

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/catalog"

	"github.com/miekg/dns"
)

// world is what the cases of this package run on: a machine m1 (10.0.0.5) with the networks
// bridge, shop_front and shop_back, and another one, edge2.
type world struct {
	snapshot *catalog.Snapshot
	settings Settings
	before   *Zone
}

var start = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)

// askers by their letters.
var askers = map[string]Asker{
	"F": {netip.MustParseAddr("172.18.0.30"), netip.MustParseAddr("172.18.0.1")},
	"W": {netip.MustParseAddr("172.18.0.11"), netip.MustParseAddr("172.18.0.1")},
	"D": {netip.MustParseAddr("172.19.0.20"), netip.MustParseAddr("172.19.0.1")},
	"B": {netip.MustParseAddr("172.17.0.9"), netip.MustParseAddr("172.17.0.1")},
	"M": {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1")},
	"O": {netip.MustParseAddr("10.0.0.77"), netip.MustParseAddr("10.0.0.5")},
}

var local = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.0.0.5/24"),
	netip.MustParsePrefix("172.17.0.1/16"), netip.MustParsePrefix("172.18.0.1/16"), netip.MustParsePrefix("172.19.0.1/16"), netip.MustParsePrefix("fd00:18::1/64"),
}

func newWorld() *world {
	w := &world{snapshot: &catalog.Snapshot{Revision: 1, Sources: []catalog.SourceStatus{{Name: "docker", Synced: true}, {Name: "docker:edge2", Synced: true}}}}
	w.settings.SingleLabel = true
	w.snapshot.Nodes = []*catalog.Node{
		{ID: "docker", Name: "m1", Source: "docker", Address: "127.0.0.1"},
		{ID: "docker:edge2", Name: "edge2", Source: "docker:edge2", Address: "10.0.0.6"},
	}
	w.run("res", "bridge=172.17.0.2", "53/udp").Hostname = "resolvable"
	for i := range 3 {
		in := w.compose("shop", "web", i+1, fmt.Sprintf("shop_front=172.18.0.1%d", i+1), "8000/tcp")
		if i == 0 {
			in.Ports[0].Published, in.Ports[0].Bound = "127.0.0.1:32768", "0.0.0.0:32768"
		}
	}
	w.compose("shop", "db", 1, "shop_back=172.19.0.20", "5432/tcp").Hostname = "db1"
	w.compose("shop", "api", 1, "shop_back=172.19.0.30 shop_front=172.18.0.30", "80/tcp 443/tcp")
	w.run("edge", "host=127.0.0.1", "80/tcp")
	w.run("My_App.v2", "bridge=172.17.0.9", "")
	w.run("six", "shop_front=172.18.0.40 shop_front=fd00:18::40", "")
	cache := w.run("cache", "bridge=172.17.0.2", "6379/tcp")
	cache.Source, cache.Node, cache.Addresses[0].Reach = "docker:edge2", "docker:edge2", catalog.ReachNone
	cache.Ports[0].Published = "10.0.0.6:16379"
	w.service("cache").Source, w.service("cache").ID = "docker:edge2", "cache@docker:edge2"
	return w
}

// run adds a lone container.
func (w *world) run(name, addresses, ports string) *catalog.Instance {
	in := &catalog.Instance{
		ID: fmt.Sprintf("%012x%052d", hash(name), 0), Name: name, Source: "docker", Node: "docker", State: catalog.StateReady, Labels: map[string]string{},
		Created: start.Add(time.Duration(len(w.snapshot.Services)) * time.Minute),
	}
	for _, text := range strings.Fields(addresses) {
		network, host, _ := strings.Cut(text, "=")
		in.Addresses = append(in.Addresses, catalog.Address{Host: host, Network: network, Reach: catalog.ReachBridge})
	}
	for _, text := range strings.Fields(ports) {
		var p catalog.Port
		_, _ = fmt.Sscanf(strings.Replace(text, "/", " ", 1), "%d %s", &p.Number, &p.Protocol)
		in.Ports = append(in.Ports, p)
	}
	w.snapshot.Services = append(w.snapshot.Services, &catalog.Service{ID: name + "@docker", Name: name, Source: "docker", Created: in.Created, Instances: []*catalog.Instance{in}})
	return in
}

// compose adds a container of a service of a project.
func (w *world) compose(project, service string, n int, addresses, ports string) *catalog.Instance {
	in := w.run(fmt.Sprintf("%s-%s-%d", project, service, n), addresses, ports)
	in.Labels["com.docker.compose.project"], in.Labels["com.docker.compose.service"] = project, service
	last := len(w.snapshot.Services) - 1
	made := w.snapshot.Services[last]
	name := project + "-" + service
	if svc := w.service(name); svc != nil {
		svc.Instances = append(svc.Instances, in)
		w.snapshot.Services = w.snapshot.Services[:last]
		return in
	}
	made.ID, made.Name = name+"@docker", name
	return in
}

func (w *world) service(name string) *catalog.Service {
	for _, svc := range w.snapshot.Services {
		if svc.Name == name {
			return svc
		}
	}
	return nil
}

func (w *world) instance(name string) *catalog.Instance {
	for _, svc := range w.snapshot.Services {
		for _, in := range svc.Instances {
			if in.Name == name {
				return in
			}
		}
	}
	return nil
}

// remove takes an instance out, and its service with the last one.
func (w *world) remove(name string) {
	for _, svc := range w.snapshot.Services {
		svc.Instances = slices.DeleteFunc(svc.Instances, func(in *catalog.Instance) bool { return in.Name == name })
	}
	w.snapshot.Services = slices.DeleteFunc(w.snapshot.Services, func(svc *catalog.Service) bool { return len(svc.Instances) == 0 })
}

func (w *world) zone() *Zone {
	s := w.snapshot
	if s != nil { // one that is changed by no test
		s = new(*s)
		s.Services = nil
		for _, svc := range w.snapshot.Services {
			svc = new(*svc)
			for i, in := range svc.Instances {
				if i == 0 {
					svc.Instances = slices.Clone(svc.Instances)
				}
				svc.Instances[i] = new(*in)
				svc.Instances[i].Labels = maps.Clone(in.Labels)
			}
			s.Services = append(s.Services, svc)
		}
		slices.SortFunc(s.Services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	}
	w.before = Build(w.before, s, w.settings, local, start.Add(time.Hour))
	return w.before
}

// ask asks "F: shop-web.docker A" and puts the answer into words: the records in order of
// their text, or the rcode, with the extended error.
func (w *world) ask(t *testing.T, question string) string {
	t.Helper()
	return said(w.answer(t, question))
}

func (w *world) answer(t *testing.T, question string) Answer {
	t.Helper()
	letter, rest, _ := strings.Cut(question, ": ")
	name, qtype, _ := strings.Cut(rest, " ")
	asker, ok := askers[letter]
	if !ok {
		t.Fatalf("no asker %q", letter)
	}
	return w.zone().Answer(dns.Fqdn(name), dns.StringToType[qtype], asker, nil)
}

func said(a Answer) string {
	if a.Foreign {
		return "foreign"
	}
	var parts []string
	for _, rr := range a.Records {
		parts = append(parts, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(parts)
	switch {
	case len(parts) > 0:
	case a.Rcode == dns.RcodeSuccess && a.SOA != nil:
		parts = append(parts, "NODATA")
	default:
		parts = append(parts, RcodeText(a.Rcode))
	}
	if a.Code > 0 {
		parts = append(parts, fmt.Sprintf("EDE %d", a.Code))
	}
	return strings.Join(parts, ", ")
}

const web = "172.18.0.11, 172.18.0.12, 172.18.0.13"

// cases are those of the specification, by number. Those that need more than a name have
// tests of their own.
var cases = []struct {
	number    int
	change    func(*world)
	questions string // one a line, with what is said
}{
	{1, nil, "B: res.docker A → 172.17.0.2"},
	{2, nil, "B: resolvable.docker A → 172.17.0.2\nB: resolvable A → 172.17.0.2\nO: resolvable A → NXDOMAIN\nB: localhost A → NXDOMAIN\nB: nope A → NXDOMAIN"},
	{2, func(w *world) { w.settings.SingleLabel = false }, "B: resolvable.docker A → 172.17.0.2\nB: resolvable A → NXDOMAIN"},
	{3, nil, "B: ReS.DoCkEr A → 172.17.0.2\nB: " + fmt.Sprintf("%012x", hash("res")) + ".docker A → 172.17.0.2"},
	{4, func(w *world) { w.instance("res").Hostname = "db.example.com" }, "B: db.example.com.docker A → 172.17.0.2\nB: db.example.com A → foreign"},
	{6, nil, "F: web.shop.docker A → " + web + "\nF: web.docker A → " + web + "\nF: shop-web.service.docker A → " + web},
	{7, func(w *world) { w.zone(); w.compose("blog", "web", 1, "shop_front=172.18.0.50", "80/tcp") }, "F: web.docker A → " + web + "\nF: web.blog.docker A → 172.18.0.50"},
	{8, nil, "F: shop-web-2.docker A → 172.18.0.12\nF: shop-web-2.instance.docker A → 172.18.0.12\nF: shop-web-2.instance.docker.docker A → 172.18.0.12"},
	{9, func(w *world) { w.instance("shop-web-2").State = catalog.StateUnhealthy }, "F: shop-web.docker A → 172.18.0.11, 172.18.0.13\nF: shop-web-2.docker A → 172.18.0.12\nF: all.shop-web.docker A → " + web + "\nF: tasks.shop-web.docker A → 172.18.0.11, 172.18.0.13"},
	{10, func(w *world) {
		for _, in := range w.service("shop-web").Instances {
			in.State = catalog.StateUnhealthy
		}
	}, "F: shop-web.docker A → NODATA"},
	{10, func(w *world) { w.instance("shop-web-2").State = catalog.StatePaused }, "F: shop-web.docker A → 172.18.0.11, 172.18.0.13"},
	{11, func(w *world) { w.instance("shop-web-2").State = catalog.StateLeaving }, "F: shop-web.docker A → 172.18.0.11, 172.18.0.13"},
	{12, func(w *world) { w.remove("shop-web-2") }, "F: shop-web-2.docker A → NXDOMAIN\nF: shop-web.docker A → 172.18.0.11, 172.18.0.13"},
	{13, nil, "F: shop-web.docker AAAA → NODATA\nF: shop-web.docker MX → NODATA\nF: shop-web.docker TXT → NODATA"},
	{14, nil, "F: six.docker AAAA → fd00:18::40\nF: six.docker A → 172.18.0.40"},
	{15, nil, "F: nope.docker A → NXDOMAIN\nF: a.b.c.d.docker A → NXDOMAIN"},
	{16, nil, "F: service.docker A → NODATA\nF: _tcp.shop-web.docker A → NODATA\nF: shop.docker A → NODATA\nF: v2.docker A → NODATA\nF: _tcp.docker SRV → NODATA"},
	{17, nil, "F: docker SOA → ns.docker. hostmaster.docker. 1772542800 3600 600 86400 1\nF: docker NS → ns.docker.\nF: ns.docker A → 172.18.0.1\nF: docker A → NODATA"},
	{18, nil, "W: shop-db.docker A → NODATA\nF: shop-db.docker A → 172.19.0.20"},
	{19, nil, "W: shop-api.docker A → 172.18.0.30\nD: shop-api.docker A → 172.19.0.30\nM: shop-api.docker A → 172.19.0.30"},
	{20, nil, "B: shop-web.docker A → 172.17.0.1\nB: _shop-web._tcp.docker SRV → 1 1 32768 m1.node.docker."},
	{21, nil, "O: shop-web.docker A → 10.0.0.5\nO: _shop-web._tcp.docker SRV → 1 1 32768 m1.node.docker.\nO: m1.node.docker A → 10.0.0.5"},
	{22, nil, "O: shop-db.docker A → NODATA"},
	{22, func(w *world) { w.settings.Mode = ModeProxy }, "O: shop-db.docker A → 10.0.0.5"},
	{22, func(w *world) {
		w.settings.Mode, w.settings.Views = ModeProxy, []View{{netip.MustParsePrefix("10.0.0.0/8"), ModeInstance}}
	}, "O: shop-db.docker A → 172.19.0.20"},
	{23, nil, "B: cache.docker A → 10.0.0.6\nB: _cache._tcp.docker SRV → 1 1 16379 edge2.node.docker.\nM: cache.docker A → 10.0.0.6"},
	{24, func(w *world) { w.instance("shop-web-1").Ports[0].Bound = "127.0.0.1:32768" }, "B: shop-web.docker A → NODATA\nO: shop-web.docker A → NODATA"},
	{25, nil, "F: _shop-web._tcp.docker SRV → 1 1 8000 shop-web-1.instance.docker., 1 1 8000 shop-web-2.instance.docker., 1 1 8000 shop-web-3.instance.docker."},
	{26, nil, "F: _8000._tcp.shop-web.docker SRV → 1 1 8000 shop-web-1.instance.docker., 1 1 8000 shop-web-2.instance.docker., 1 1 8000 shop-web-3.instance.docker.\nF: _shop-web._tcp.service.docker SRV → 1 1 8000 shop-web-1.instance.docker., 1 1 8000 shop-web-2.instance.docker., 1 1 8000 shop-web-3.instance.docker."},
	{27, nil, "F: _shop-api._tcp.docker SRV → 1 1 80 shop-api-1.instance.docker.\nF: _443._tcp.shop-api.docker SRV → 1 1 443 shop-api-1.instance.docker.\nF: _444._tcp.shop-api.docker SRV → NXDOMAIN"},
	{28, nil, "F: _shop-web._udp.docker SRV → NXDOMAIN\nB: _res._udp.docker SRV → 1 1 53 res.instance.docker."},
	{29, weigh, "F: _shop-web._tcp.docker SRV → 1 1 8000 shop-web-3.instance.docker., 1 50 8000 shop-web-1.instance.docker."},
	{30, func(w *world) { w.instance("shop-web-1").Labels["SERVICE_TAGS"] = "v1" }, "F: v1.shop-web.service.docker A → 172.18.0.11\nF: _shop-web._v1.service.docker SRV → 1 1 8000 shop-web-1.instance.docker.\nF: v2.shop-web.service.docker A → NXDOMAIN"},
	{31, nil, "F: edge.docker A → 172.18.0.1\nM: edge.docker A → 127.0.0.1\nO: edge.docker A → 10.0.0.5\nF: host.docker A → 172.18.0.1\nM: host.docker A → 127.0.0.1\nO: host.docker A → 10.0.0.5"},
	{32, nil, "F: m1.node.docker A → 172.18.0.1\nF: edge2.node.docker A → 10.0.0.6\nF: ac12000c.addr.docker A → 172.18.0.12\nF: zz.addr.docker A → NXDOMAIN"},
	{33, nil, "F: 12.0.18.172.in-addr.arpa PTR → shop-web-2.docker.\nF: 99.0.18.172.in-addr.arpa PTR → NXDOMAIN\nF: 8.8.8.8.in-addr.arpa PTR → foreign\nB: 2.0.17.172.in-addr.arpa PTR → res.docker.\nF: 0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.1.0.0.0.0.d.f.ip6.arpa PTR → six.docker."},
	{34, nil, "B: my_app.v2.docker A → 172.17.0.9\nB: my-app-v2.docker A → 172.17.0.9"},
	{35, func(w *world) { w.run(strings.Repeat("x", 80), "bridge=172.17.0.80", "80/tcp") }, "B: " + strings.Repeat("x", 54) + fmt.Sprintf("-%08x", hash(strings.Repeat("x", 80))) + ".docker A → 172.17.0.80"},
	{36, func(w *world) { w.instance("shop-db-1").Labels[labelName] = "db.shop.internal" }, "F: db.shop.internal A → foreign"},
	{36, func(w *world) {
		w.instance("shop-db-1").Labels[labelName], w.settings.Zones = "db.shop.internal", []string{"docker", "shop.internal"}
	}, "F: db.shop.internal A → 172.19.0.20\nF: shop-db.shop.internal A → 172.19.0.20"},
	{37, func(w *world) { w.instance("shop-api-1").Labels[labelName] = "*.app.docker" }, "W: a.b.app.docker A → 172.18.0.30\nW: x.app.docker A → 172.18.0.30\nW: app.docker A → NODATA"},
	{37, func(w *world) {
		w.instance("shop-api-1").Labels[labelName] = "*.app.docker"
		w.run("b.app", "shop_front=172.18.0.60", "80/tcp")
	}, "W: a.b.app.docker A → NXDOMAIN\nW: x.b.app.docker A → NXDOMAIN\nW: b.app.docker A → 172.18.0.60\nW: c.app.docker A → 172.18.0.30"},
	{39, func(w *world) { w.run("service", "shop_front=172.18.0.61", "80/tcp") }, "F: service.docker A → NODATA\nF: service.instance.docker A → 172.18.0.61"},
	{40, swarm, "F: api.docker A → 10.0.9.2\nF: tasks.api.docker A → 10.0.9.3, 10.0.9.4"},
	{42, nil, "F: six.docker ANY → 172.18.0.40"},
	{53, stale, "B: cache.docker A → 10.0.0.6, EDE 3\nB: nope.docker A → SERVFAIL, EDE 23\nB: x.service.docker A → SERVFAIL, EDE 23\nB: www.google.com.docker A → NXDOMAIN\nB: res.docker A → 172.17.0.2"},
	{53, func(w *world) { stale(w); w.settings.Deny = true }, "B: nope.docker A → NXDOMAIN"},
	{54, func(w *world) {
		w.snapshot.Restored = true
		for i := range w.snapshot.Sources {
			w.snapshot.Sources[i].Synced = false
		}
	}, "B: res.docker A → 172.17.0.2\nB: nope.docker A → SERVFAIL, EDE 23"},
	{54, func(w *world) { w.snapshot = nil }, "B: res.docker A → SERVFAIL, EDE 14\nB: nope.docker A → SERVFAIL, EDE 14"},
	{54, func(w *world) { w.snapshot = nil }, "B: nope A → SERVFAIL, EDE 14\nB: localhost A → NXDOMAIN\nF: 99.0.18.172.in-addr.arpa PTR → SERVFAIL, EDE 14\nF: 8.8.8.8.in-addr.arpa PTR → foreign"},
	{53, stale, "B: nope A → SERVFAIL, EDE 23\nF: 99.0.18.172.in-addr.arpa PTR → SERVFAIL, EDE 23\nB: localhost A → NXDOMAIN"},
	{53, func(w *world) { stale(w); w.settings.Deny = true }, "B: nope A → NXDOMAIN\nF: 99.0.18.172.in-addr.arpa PTR → NXDOMAIN"},
	{2, func(w *world) { w.settings.Forwarded = []string{"corp", "lan.example"} }, "B: corp A → foreign\nB: com DS → foreign\nB: com NS → foreign\nB: com A → NXDOMAIN"},
	{37, func(w *world) { w.instance("shop-api-1").Labels[labelName] = "*.a.b.docker" }, "W: b.docker A → NODATA\nW: a.b.docker A → NODATA\nW: x.a.b.docker A → 172.18.0.30"},
	// One that is hidden asks by its networks, and has no names.
	{18, func(w *world) { w.instance("shop-db-1").Labels[labelEnable] = "false" }, "D: shop-api.docker A → 172.19.0.30\nF: shop-db-1.docker A → NXDOMAIN\nF: 20.0.19.172.in-addr.arpa PTR → NXDOMAIN"},
	{54, func(w *world) { w.snapshot.Sources[1].Synced = false }, "B: res.docker A → 172.17.0.2\nB: nope.docker A → SERVFAIL, EDE 14"},
}

func weigh(w *world) {
	w.instance("shop-web-1").Labels[labelWeight], w.instance("shop-web-2").Labels[labelWeight] = "50", "0"
}

func stale(w *world) {
	w.snapshot.Sources[1].Stale, w.snapshot.Sources[1].LastSuccess = true, start.Add(-23*time.Hour)
}

// swarm has a service with a virtual address on an overlay that Fairway is on.
func swarm(w *world) {
	for i := range 2 {
		in := w.run(fmt.Sprintf("api.%d", i+1), fmt.Sprintf("ov=10.0.9.%d", i+3), "80/tcp")
		in.Addresses[0].Reach = catalog.ReachShared
	}
	n := len(w.snapshot.Services)
	svc := w.snapshot.Services[n-2]
	svc.Instances = append(svc.Instances, w.snapshot.Services[n-1].Instances...)
	svc.Name, svc.ID, svc.Virtual = "api", "api@swarm", []catalog.Address{{Host: "10.0.9.2", Network: "ov", Reach: catalog.ReachShared}}
	w.snapshot.Services = w.snapshot.Services[:n-1]
	api := w.instance("shop-api-1")
	api.Addresses = append(api.Addresses, catalog.Address{Host: "10.0.9.9", Network: "ov", Reach: catalog.ReachShared})
	w.instance("shop-api-1").Labels["com.docker.compose.service"] = "front"
}

func TestCases(t *testing.T) {
	for _, c := range cases {
		w := newWorld()
		if c.change != nil {
			c.change(w)
		}
		for _, line := range strings.Split(c.questions, "\n") {
			question, want, _ := strings.Cut(line, " → ")
			if got := w.ask(t, question); got != want {
				t.Errorf("case %d: %s → %s, want %s", c.number, question, got, want)
			}
		}
	}
}

// The smallest network that has an address counts, not one around it.
func TestNestedNetworks(t *testing.T) {
	w := newWorld()
	w.run("in", "net=10.1.0.9", "80/tcp")
	wide := []netip.Prefix{netip.MustParsePrefix("10.0.0.5/8"), netip.MustParsePrefix("10.1.0.1/16"), netip.MustParsePrefix("172.18.0.1/16")}
	z := Build(nil, w.snapshot, w.settings, wide, start)
	if got := fmt.Sprint(z.Bridges()); got != "[10.1.0.0/16 172.18.0.0/16]" {
		t.Errorf("networks of containers: %s", got)
	}
	if lan := netip.MustParseAddr("10.9.9.9"); z.mayRecurse(lan) || !z.Answer("9.9.9.10.in-addr.arpa.", dns.TypePTR, askers["M"], nil).Foreign {
		t.Error("the network of this machine is taken for one of containers")
	}
	inside := netip.MustParseAddr("10.1.0.9")
	if got := said(z.Answer("host.docker.", dns.TypeA, Asker{inside, inside}, nil)); got != "10.1.0.1" || z.asked(inside) != netip.MustParseAddr("10.1.0.1") {
		t.Errorf("this machine is %s, asked by %s", got, z.asked(inside))
	}
}

// The age of a silent source is that at the time of the answer.
func TestAgeGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.snapshot.Sources[1].Stale, w.snapshot.Sources[1].LastSuccess = true, time.Now()
		z := Build(nil, w.snapshot, w.settings, local, time.Now())
		time.Sleep(time.Minute)
		if a := z.Answer("nope.docker.", dns.TypeA, askers["B"], nil); !strings.HasSuffix(a.Text, ", for 1m0s") {
			t.Errorf("after a minute: %s", a.Text)
		}
	})
}

// Each instance is first as often as the others (case 5), and by its weight (case 29).
func TestOrder(t *testing.T) {
	first := func(w *world, n int) map[string]int {
		counts := map[string]int{}
		z := w.zone()
		for range n {
			a := z.Answer("shop-web.docker.", dns.TypeA, askers["F"], nil)
			counts[a.Records[0].(*dns.A).A.String()]++
		}
		return counts
	}
	counts := first(newWorld(), 3000)
	for address, n := range counts {
		if n < 840 || n > 1170 {
			t.Errorf("%s is first %d times of 3000", address, n)
		}
	}
	w := newWorld()
	weigh(w)
	if counts := first(w, 1000); counts["172.18.0.11"] < 950 || counts["172.18.0.12"] > 0 {
		t.Errorf("by weight: %v", counts)
	}
}

// The addresses of what SRV names are beside it (cases 21, 23, 25).
func TestAdditional(t *testing.T) {
	w := newWorld()
	for question, want := range map[string]string{
		"F: _shop-web._tcp.docker SRV": "172.18.0.11 172.18.0.12 172.18.0.13", "O: _shop-web._tcp.docker SRV": "10.0.0.5", "B: _cache._tcp.docker SRV": "10.0.0.6",
	} {
		a := w.answer(t, question)
		var got []string
		for _, rr := range a.Extra {
			got = append(got, rr.(*dns.A).A.String())
			if !slices.ContainsFunc(a.Records, func(srv dns.RR) bool { return srv.(*dns.SRV).Target == rr.Header().Name }) {
				t.Errorf("%s: %s is the address of nothing in the answer", question, rr)
			}
			if again := w.ask(t, question[:3]+rr.Header().Name+" A"); again != rr.(*dns.A).A.String() {
				t.Errorf("%s: asked for %s it is %s", question, rr, again)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", question, got)
		}
	}
}

// Who has a name keeps it, and the next one has it when he is gone (cases 7 and 38).
func TestTaken(t *testing.T) {
	w := newWorld()
	w.instance("shop-db-1").Labels[labelName] = "x.docker, *.y.docker"
	w.zone()
	older := w.compose("blog", "db", 1, "shop_back=172.19.0.50", "80/tcp")
	older.Labels[labelName] = "x.docker, *.y.docker"
	w.service("blog-db").Created = start.Add(-time.Hour)
	if got := w.ask(t, "D: x.docker A") + " " + w.ask(t, "D: db.docker A"); got != "172.19.0.20 172.19.0.20" {
		t.Errorf("beside an older newcomer it is %s", got)
	}
	if got := fmt.Sprint(w.before.Taken()); got != "[{*.y shop-db@docker blog-db@docker true} {db shop-db@docker blog-db@docker false} {x shop-db@docker blog-db@docker true}]" {
		t.Errorf("taken: %s", got)
	}
	w.remove("shop-db-1")
	if got := w.ask(t, "F: x.docker A"); got != "172.19.0.50" {
		t.Errorf("after the holder it is %s", got)
	}
	if got := w.before.Taken(); len(got) > 0 {
		t.Errorf("taken: %v", got)
	}
}

// A name in no zone is not given.
func TestForeignLabel(t *testing.T) {
	w := newWorld()
	w.instance("shop-web-1").Labels[labelName], w.instance("shop-web-2").Labels[labelName] = "db.corp.example, web2.docker", "db.corp.example, web2.docker"
	w.zone()
	if got := fmt.Sprint(w.before.Taken()); got != "[{db.corp.example  shop-web@docker true}]" {
		t.Errorf("not given: %s", got)
	}
	if got := w.before.State().Taken; len(got) != 1 || got[0].Name != "db.corp.example" {
		t.Errorf("shown: %+v", got)
	}
}

// A container on macvlan asks as itself, and may have names of others looked up; its neighbours
// in the network may not.
func TestMacvlan(t *testing.T) {
	w := newWorld()
	for i, name := range []string{"cam", "nas"} {
		in := w.run(name, fmt.Sprintf("lan=10.0.0.%d", 200+i), "80/tcp")
		in.Addresses[0].Reach, in.Addresses[0].Link = catalog.ReachNone, true
	}
	z := w.zone()
	cam := Asker{netip.MustParseAddr("10.0.0.200"), netip.MustParseAddr("10.0.0.5")}
	if got := said(z.Answer("nas.docker.", dns.TypeA, cam, nil)); got != "10.0.0.201" || z.InstanceAt(cam.Addr) != "cam" {
		t.Errorf("to its neighbour: %s", got)
	}
	if got := said(z.Answer("nas.docker.", dns.TypeA, askers["M"], nil)); got != "NODATA" {
		t.Errorf("to this machine, which does not reach it: %s", got)
	}
	if got := said(z.Answer("201.0.0.10.in-addr.arpa.", dns.TypePTR, cam, nil)); got != "nas.docker." {
		t.Errorf("its name: %s", got)
	}
	if !z.mayRecurse(cam.Addr) || z.mayRecurse(askers["O"].Addr) || slices.Contains(z.Bridges(), netip.MustParsePrefix("10.0.0.0/24")) {
		t.Error("who may have names of others looked up")
	}
}

// An explanation says why each instance is there or not (case 57).
func TestExplain(t *testing.T) {
	w := newWorld()
	w.instance("shop-web-2").State, w.instance("shop-web-2").StateReason = catalog.StateUnhealthy, "health check: unhealthy"
	for question, want := range map[string]string{
		"W: shop-db.docker A":  `[docker service instance shop-web-1 on shop_front none the name is there, and has no record of this type for this asker [{shop-db shop-db-1  shop_back: not shared, and no port is published for it}]]`,
		"B: shop-web.docker A": `[docker service instance My_App.v2 on bridge published port  [{shop-web shop-web-1 172.17.0.1 port tcp published by its machine} {shop-web shop-web-2  it is unhealthy (health check: unhealthy)} {shop-web shop-web-3  shop_front: not shared, and no port is published for it}]]`,
		"F: nope.docker A":     `[docker  instance shop-api-1 on shop_front, shop_back  there is no such name []]`,
		"O: shop-db.docker A":  `[docker service another machine, by auto none the name is there, and has no record of this type for this asker [{shop-db shop-db-1  on shop_back, and no port is published for it}]]`,
	} {
		letter, rest, _ := strings.Cut(question, ": ")
		name, _, _ := strings.Cut(rest, " ")
		var why names.NameExplanation
		w.zone().Answer(dns.Fqdn(name), dns.TypeA, askers[letter], &why)
		slices.SortFunc(why.Members, func(a, b names.NameMember) int { return strings.Compare(a.Instance, b.Instance) })
		if got := fmt.Sprint([]any{why.Zone, why.Form, why.View, why.Rung, why.Text, why.Members}); got != want {
			t.Errorf("%s:\n got %s\nwant %s", question, got, want)
		}
	}
}
