package consul

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/consul/consulfake"
	"fairway/internal/consul/consultest"
	"fairway/internal/testkit"
)

// entry is an instance of a service on a node that is well.
func entry(s consul.Service, checks ...consul.Check) consul.Entry {
	return consul.Entry{
		Node: consul.Node{Node: "mylaptop2", Address: "192.168.1.88"}, Service: s,
		Checks: append([]consul.Check{{CheckID: "serfHealth", Status: consul.Passing}}, checks...),
	}
}

// Cases 88 to 90 and 92 of what an instance becomes.
func TestInstances(t *testing.T) {
	files := consul.Service{ID: "files", Name: "files", Port: 8000}
	with := func(change func(s *consul.Service)) consul.Service {
		s := files
		change(&s)
		return s
	}
	check := func(status string) consul.Check {
		return consul.Check{CheckID: "c", Name: "web up", ServiceID: "files", Status: status}
	}
	for _, x := range []struct {
		name string
		t    translator
		e    consul.Entry
		want string
	}{
		{"88 address of the node", translator{}, entry(files), "mylaptop2:files 192.168.1.88:8000 ready"},
		{"88 address of its own", translator{}, entry(with(func(s *consul.Service) { s.Address = "10.0.0.9" })), "mylaptop2:files 10.0.0.9:8000 ready"},
		{"88 host name", translator{}, entry(with(func(s *consul.Service) { s.Address = "db.example" })), "mylaptop2:files db.example:8000 ready"},
		{"88 no address", translator{}, entry(with(func(s *consul.Service) { s.Address = "a b" })), "mylaptop2:files unhealthy (its address in Consul is neither an IP address nor a host name)"},
		{"88 no port", translator{}, entry(with(func(s *consul.Service) { s.Port = 0 })), "mylaptop2:files 192.168.1.88:0 ready"},
		{"89 critical", translator{}, entry(files, check(consul.Critical)), "mylaptop2:files 192.168.1.88:8000 unhealthy (critical: web up)"},
		{"89 warning", translator{}, entry(files, check(consul.Warning)), "mylaptop2:files 192.168.1.88:8000 ready (warning: web up)"},
		{"89 warning is unready", translator{unready: true}, entry(files, check(consul.Warning)), "mylaptop2:files 192.168.1.88:8000 unhealthy (warning: web up)"},
		{"89 node is gone", translator{}, entry(files, consul.Check{CheckID: "serfHealth", Name: "Serf Health Status", Status: consul.Critical}), "mylaptop2:files 192.168.1.88:8000 unhealthy (node: serfHealth)"},
		{"89 maintenance of the node", translator{}, entry(files, consul.Check{CheckID: consul.NodeMaintenance, Status: consul.Critical, Notes: "disk"}), "mylaptop2:files 192.168.1.88:8000 paused (disk)"},
		{"89 maintenance of the service", translator{}, entry(files, check(consul.Critical), consul.Check{CheckID: consul.ServiceMaintenance + "files", ServiceID: "files", Status: consul.Critical}), "mylaptop2:files 192.168.1.88:8000 paused (maintenance)"},
		{"90 tags", translator{}, entry(with(func(s *consul.Service) { s.Tags = []string{"fairway.host=a.example", "v1", "blue"} })), "mylaptop2:files 192.168.1.88:8000 ready map[fairway.host:a.example fairway.tags:v1,blue]"},
		{"90 the first tag holds", translator{}, entry(with(func(s *consul.Service) {
			s.Tags, s.Meta = []string{"fairway.host=a.example", "fairway.host=b.example", "com.df.notify=true"}, map[string]string{"fairway-host": "c.example"}
		})), "mylaptop2:files 192.168.1.88:8000 ready map[com.df.notify:true fairway.host:a.example]"},
		{"weight", translator{}, entry(with(func(s *consul.Service) { s.Weights = consul.Weights{Passing: 900, Warning: 3} })), "mylaptop2:files 192.168.1.88:8000 ready weight 256"},
		{"weight of a warning", translator{}, entry(with(func(s *consul.Service) { s.Weights = consul.Weights{Passing: 9, Warning: 3} }), check(consul.Warning)), "mylaptop2:files 192.168.1.88:8000 ready (warning: web up) weight 3"},
		{"strange ID", translator{}, entry(with(func(s *consul.Service) { s.ID = "a b\n" })), "mylaptop2:a-b-~34a4ab9d 192.168.1.88:8000 ready"},
		{"long ID", translator{}, entry(with(func(s *consul.Service) { s.ID = strings.Repeat("x", 500) })), "mylaptop2:" + strings.Repeat("x", maxID-10) + "~9dc2e715 192.168.1.88:8000 ready"},
		{"wide area", translator{datacenter: "dc2"}, consul.Entry{
			Node: consul.Node{Node: "n", Address: "10.0.0.1", TaggedAddresses: map[string]string{"wan": "198.51.100.1"}}, Service: files,
		}, "n:files 198.51.100.1:8000 ready"},
		{"wide area of the service", translator{datacenter: "dc2"}, entry(with(func(s *consul.Service) {
			s.Address, s.TaggedAddresses = "10.0.0.9", map[string]consul.ServiceAddress{"wan": {Address: "198.51.100.2", Port: 80}}
		})), "mylaptop2:files 198.51.100.2:80 ready"},
		{"92 own entry", translator{own: "ab12"}, entry(with(func(s *consul.Service) { s.Meta = map[string]string{consul.MetaOwner: "ab12"} })), ""},
		{"92 entry of another Fairway", translator{own: "ab12"}, entry(with(func(s *consul.Service) { s.Meta = map[string]string{consul.MetaOwner: "cd34"} })), "mylaptop2:files 192.168.1.88:8000 ready"},
		{"92 proxy of a mesh", translator{}, entry(with(func(s *consul.Service) { s.Kind = "connect-proxy" })), ""},
	} {
		x.t.source = "consul"
		s, _ := x.t.service("files", []consul.Entry{x.e})
		if s.ID != "files@consul" || s.Name != "files" {
			t.Errorf("%s: service %s", x.name, s.ID)
		}
		if got := instances(s); got != x.want {
			t.Errorf("%s:\n got %s\nwant %s", x.name, got, x.want)
		}
	}
}

// instances writes those of a service.
func instances(s *catalog.Service) string {
	var list []string
	for _, in := range s.Instances {
		text := in.ID
		for _, a := range in.Addresses {
			text += fmt.Sprintf(" %s:%d", a.Host, a.Port)
		}
		text += " " + string(in.State)
		if in.StateReason != "" {
			text += " (" + in.StateReason + ")"
		}
		if in.Weight != 0 {
			text += fmt.Sprintf(" weight %d", in.Weight)
		}
		if len(in.Labels) > 0 {
			text += fmt.Sprint(" ", in.Labels)
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func TestWants(t *testing.T) {
	for _, x := range []struct {
		all  bool
		name string
		tags []string
		want bool
	}{
		{false, "web", []string{"v1"}, false},
		{false, "web", []string{"v1", "fairway.host=a"}, true},
		{false, "web", []string{"com.df.notify=true"}, true},
		{true, "web", nil, true},
		{true, "consul", nil, false},
		{true, "a b", nil, false},
		{true, "a@b", nil, false},
	} {
		if got := (translator{all: x.all}).wants(x.name, x.tags); got != x.want {
			t.Errorf("%+v: %t", x, got)
		}
	}
}

// follow runs a source, and returns its answers in words.
func follow(t *testing.T, c Reader, change func(o *Options)) (*Source, <-chan catalog.Answer) {
	t.Helper()
	o := Options{Name: "consul", Reader: c}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(chan catalog.Answer), make(chan struct{})
	go func() { defer close(ended); s.Run(ctx, out) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s, out
}

// next waits for an answer with something in it that was not there before; the time is how
// long it took.
func next(t *testing.T, out <-chan catalog.Answer, want string) time.Duration {
	t.Helper()
	began, last := time.Now(), ""
	for limit := time.After(2 * time.Minute); ; {
		select {
		case a := <-out:
			if last = words(a); strings.HasPrefix(last, want) {
				return time.Since(began)
			}
		case <-limit:
			t.Fatalf("no answer %q, the last was %q", want, last)
		}
	}
}

func words(a catalog.Answer) string {
	if a.Err != nil {
		return "error: " + a.Err.Error()
	}
	var list []string
	for _, s := range a.Services {
		list = append(list, s.Name+" "+instances(s))
	}
	slices.Sort(list)
	return strings.Join(list, " | ")
}

func register(t *testing.T, c interface {
	Register(context.Context, consul.Registration) error
}, id, name string, port int,
) {
	t.Helper()
	if err := c.Register(t.Context(), consul.Registration{ID: id, Name: name, Port: port, Tags: []string{"fairway.host=" + name + ".example"}}); err != nil {
		t.Fatal(err)
	}
}

const oneWeb = "web m:w1 10.0.0.1:80 ready map[fairway.host:web.example]"

func TestFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consulfake.New("m", "10.0.0.1")
		register(t, c, "w1", "web", 80)
		_, out := follow(t, c, nil)
		next(t, out, oneWeb)
		c.SetCheck(consul.Check{CheckID: "x", Name: "up", ServiceID: "w1", Status: consul.Critical})
		if took := next(t, out, "web m:w1 10.0.0.1:80 unhealthy (critical: up)"); took > 100*time.Millisecond {
			t.Errorf("a check was seen after %s", took)
		}
		c.SetCheck(consul.Check{CheckID: "x", Name: "up", ServiceID: "w1", Status: consul.Passing})
		next(t, out, oneWeb)
		register(t, c, "a1", "api", 81)
		if took := next(t, out, "api m:a1 10.0.0.1:81 ready map[fairway.host:api.example] | "+oneWeb); took > 2*time.Second {
			t.Errorf("a service was seen after %s", took)
		}
		_ = c.Deregister(t.Context(), "a1")
		next(t, out, oneWeb)
		// What is gone is confirmed within six seconds, and everything is said every half minute.
		if took := next(t, out, oneWeb); took > 6*time.Second {
			t.Errorf("confirmed after %s", took)
		}
		if took := next(t, out, oneWeb); took > 35*time.Second {
			t.Errorf("said again after %s", took)
		}
	})
}

// Case 93: an index that goes back, and one that rises for nothing.
func TestIndexes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consulfake.New("m", "10.0.0.1")
		register(t, c, "w1", "web", 80)
		_, out := follow(t, c, nil)
		next(t, out, oneWeb)
		c.Rewind()
		c.Touch("web")
		var first *catalog.Service
		for range 3 { // said each half minute
			a := <-out
			if words(a) != oneWeb {
				t.Fatalf("after the index went back: %s", words(a))
			}
			if first == nil {
				first = a.Services[0]
			}
			if a.Services[0] != first {
				t.Error("an equal service is another pointer")
			}
		}
		register(t, c, "w1", "web", 81)
		if took := next(t, out, "web m:w1 10.0.0.1:81"); took > time.Second {
			t.Errorf("a change after that was seen after %s", took)
		}
		// A Consul that returns at once for unrelated writes is asked twice a second at most.
		before := c.Calls("Health")
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			c.Touch("web")
		}
		if n := c.Calls("Health") - before; n > 30 {
			t.Errorf("%d queries in 10 s", n)
		}
	})
}

// Case 94: what may be wrong freezes the source, with its reason.
func TestDoubts(t *testing.T) {
	for name, x := range map[string]struct {
		broken func(c *consulfake.Consul)
		want   string
	}{
		"no leader": {func(c *consulfake.Consul) {
			c.Break(func(string) error { return &consul.Error{Status: 500, Text: "No cluster leader"} })
		}, "consul: 500: No cluster leader"},
		"known leader": {func(c *consulfake.Consul) { c.Leaderless(true); c.Touch("web") }, "consul knows no leader"},
		"nothing": {func(c *consulfake.Consul) {
			c.Hide(func(string) bool { return true }, false)
		}, "consul suddenly has no service at all"},
		"no servers": {func(c *consulfake.Consul) {
			c.Hide(func(name string) bool { return name == "consul" }, false)
		}, "consul suddenly does not know its own servers"},
		"filtered": {func(c *consulfake.Consul) {
			c.Hide(func(name string) bool { return name == "web" }, true)
		}, "the token sees less than before"},
		"forbidden": {func(c *consulfake.Consul) {
			c.Break(func(string) error { return &consul.Error{Status: 403, Text: "Permission denied"} })
		}, "consul: the token may not do that (403): Permission denied; it needs service:read and node:read"},
		"one service": {func(c *consulfake.Consul) {
			c.Break(func(call string) error {
				if call == "Health web" {
					return errors.New("it hangs")
				}
				return nil
			})
		}, "it hangs"},
		"hanging": {func(c *consulfake.Consul) {
			c.Break(func(string) error { return context.DeadlineExceeded })
		}, context.DeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := consulfake.New("m", "10.0.0.1")
				register(t, c, "w1", "web", 80)
				_, out := follow(t, c, nil)
				next(t, out, oneWeb)
				x.broken(c)
				// Until the error nothing is said that lacks the service.
				for began := time.Now(); ; {
					a := <-out
					if a.Err != nil {
						if !strings.Contains(a.Err.Error(), x.want) {
							t.Errorf("error %q, want %q", a.Err, x.want)
						}
						if took := time.Since(began); took > 20*time.Second {
							t.Errorf("stale after %s", took)
						}
						break
					}
					if words(a) != oneWeb {
						t.Fatalf("answer %q", words(a))
					}
				}
				c.Break(nil)
				c.Leaderless(false)
				c.Hide(nil, false)
				if took := next(t, out, oneWeb); took > 5*time.Second {
					t.Errorf("back after %s", took)
				}
			})
		})
	}
}

// Case 95: a minute without a leader. Held queries say nothing of that.
func TestElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consulfake.New("m", "10.0.0.1")
		register(t, c, "w1", "web", 80)
		_, out := follow(t, c, nil)
		next(t, out, oneWeb)
		c.Leaderless(true)
		if took := next(t, out, "error: consul knows no leader"); took > 15*time.Second {
			t.Errorf("stale after %s", took)
		}
		select {
		case a := <-out:
			t.Errorf("answer without a leader: %s", words(a))
		case <-time.After(time.Minute):
		}
		register(t, c, "a1", "api", 81)
		c.Leaderless(false)
		if took := next(t, out, "api m:a1"); took > 5*time.Second {
			t.Errorf("current after %s", took)
		}
		// 429 is as long away as Consul asks for.
		before := time.Now()
		c.Break(func(string) error { return &consul.Error{Status: 429, Text: "slow down", After: 40 * time.Second} })
		next(t, out, "error: consul: 429")
		n := c.Calls("Leader")
		c.Break(nil)
		next(t, out, "api m:a1")
		if took := time.Since(before); took < 35*time.Second || c.Calls("Leader") > n+2 {
			t.Errorf("asked again after %s", took)
		}
	})
}

// Case 96: more services than queries may be held.
func TestManyServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consulfake.New("m", "10.0.0.1")
		for i := range 300 {
			register(t, c, fmt.Sprintf("i%d", i), fmt.Sprintf("s%03d", i), 80)
		}
		_, out := follow(t, c, nil)
		a := <-out
		if len(a.Services) != 300 {
			t.Fatalf("%d services at first", len(a.Services))
		}
		time.Sleep(time.Minute)
		if n := c.MostHeld(); n > 120 {
			t.Errorf("%d queries at once", n)
		}
		// In peace nothing but the held queries and the names is asked.
		<-out
		before := c.Calls("Health")
		<-out
		if n := c.Calls("Health") - before; n > 150 {
			t.Errorf("%d reads of services in half a minute of peace", n)
		}
		var slowest time.Duration
		for i := 0; i < 300; i += 60 {
			register(t, c, fmt.Sprintf("i%d", i), fmt.Sprintf("s%03d", i), 8000+i)
			began := time.Now()
			for {
				a := <-out
				if a.Services[i].Instances[0].Addresses[0].Port == uint16(8000+i) {
					break
				}
			}
			slowest = max(slowest, time.Since(began))
		}
		if slowest > 12*time.Second {
			t.Errorf("a change was seen after %s", slowest)
		}
		// One that changed is watched from now on.
		for range 2 {
			register(t, c, "i60", "s060", 1)
			time.Sleep(12 * time.Second)
			register(t, c, "i60", "s060", 2)
			began := time.Now()
			for a := range out {
				if a.Services[60].Instances[0].Addresses[0].Port == 2 {
					break
				}
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("the change of one that changed lately was seen after %s", took)
			}
		}
	})
}

// slowly is a Consul that answers a read of a service late.
type slowly struct {
	*consulfake.Consul
	name chan string // of the service that is read
	late chan struct{}
}

func (s *slowly) Health(ctx context.Context, name string, q consul.Query) ([]consul.Entry, consul.Meta, error) {
	if q.Index == 0 && s.name != nil {
		select {
		case s.name <- name:
			<-s.late
		default:
		}
	}
	return s.Consul.Health(ctx, name, q)
}

// A service is gone while it is read.
func TestGoneWhileRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &slowly{Consul: consulfake.New("m", "10.0.0.1"), late: make(chan struct{})}
		register(t, c, "a", "a", 80)
		register(t, c, "b", "b", 81)
		_, out := follow(t, c, func(o *Options) { o.Watches = 1 })
		next(t, out, "a m:a 10.0.0.1:80 ready map[fairway.host:a.example] | b m:b 10.0.0.1:81")
		c.name = make(chan string)
		c.Touch("")
		reading := ""
		for reading == "" {
			select {
			case reading = <-c.name:
			case <-out:
			}
		}
		_ = c.Deregister(t.Context(), reading)
		left := map[string]string{"a": "b m:b 10.0.0.1:81", "b": "a m:a 10.0.0.1:80"}[reading]
		next(t, out, left)
		close(c.late)
		next(t, out, left)
	})
}

// The real thing: case 88 by the address of its node, and what follows from checks.
func TestRealConsul(t *testing.T) {
	a := consultest.Start(t)
	c, err := consul.New(consul.Config{Addresses: []string{a.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Register(t.Context(), consul.Registration{
		ID: "files", Name: "files", Port: 8000, Tags: []string{"fairway.host=files.example"},
		Checks: []consul.Definition{{CheckID: "up", Name: "up", TTL: "1h", Status: consul.Passing}},
	}); err != nil {
		t.Fatal(err)
	}
	_, out := follow(t, c, nil)
	const files = "files dev:files 127.0.0.1:8000 "
	next(t, out, files+"ready map[fairway.host:files.example]")
	for _, status := range []string{consul.Critical, consul.Passing} {
		if err := c.UpdateCheck(t.Context(), "up", status, "said so"); err != nil {
			t.Fatal(err)
		}
		want := files + "ready"
		if status == consul.Critical {
			want = files + "unhealthy (critical: up)"
		}
		testkit.Figure(t, "a check of Consul, seen", "%s", next(t, out, want))
	}
	a.Kill()
	next(t, out, "error: consul at "+a.Address)
}
