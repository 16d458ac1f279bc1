package publish

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
)

// container is one with ports as "80=8000", "80=127.0.0.1:8000", "80" (not published), "53/udp=53".
func container(name, image string, labels map[string]string, ports ...string) *catalog.Instance {
	in := &catalog.Instance{
		ID: strings.Repeat("0123456789ab", 6)[:64], Name: name, Source: "docker", Node: "docker", Image: image, Labels: labels, State: catalog.StateReady,
		Addresses: []catalog.Address{{Host: "172.17.0.9", Network: "bridge"}},
	}
	for _, text := range ports {
		number, host, _ := strings.Cut(text, "=")
		number, protocol, _ := strings.Cut(number, "/")
		p := catalog.Port{Protocol: "tcp"}
		if protocol != "" {
			p.Protocol = protocol
		}
		fmt.Sscan(number, &p.Number)
		switch {
		case strings.Contains(host, ":"):
			p.Published = host
		case host != "":
			p.Published, p.Bound = "127.0.0.1:"+host, "0.0.0.0:"+host
		}
		in.Ports = append(in.Ports, p)
	}
	return in
}

func env(pairs ...string) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		m[key] = value
	}
	return m
}

func world(instances ...*catalog.Instance) *catalog.Snapshot {
	s := &catalog.Snapshot{Sources: []catalog.SourceStatus{{Name: "docker", Synced: true}}, Nodes: []*catalog.Node{{ID: "docker", Name: "m", Address: "127.0.0.1"}}}
	for _, in := range instances {
		s.Services = append(s.Services, &catalog.Service{ID: in.Name + "@docker", Name: in.Name, Source: "docker", Instances: []*catalog.Instance{in}})
	}
	return s
}

func words(e Entry) string {
	text := fmt.Sprintf("%s %s %s:%d", e.ID, e.Name, e.Address, e.Port)
	if len(e.Tags) > 0 {
		text += " " + strings.Join(e.Tags, "·")
	}
	for _, key := range slices.Sorted(maps.Keys(e.Meta)) {
		text += " " + key + "=" + e.Meta[key]
	}
	for _, c := range e.Checks {
		text += fmt.Sprintf(" [%s %s", c.Kind, c.Target)
		for _, d := range []time.Duration{c.Interval, c.Timeout, c.TTL, c.Forget} {
			if d > 0 {
				text += " " + d.String()
			}
		}
		text += strings.TrimRight(" "+c.Method+c.Initial, " ") + "]"
	}
	if !e.Ready {
		text += " critical (" + e.Output + ")"
	}
	return text
}

const host = "mylaptop2-reg:"

// Cases 58 to 69 of what becomes of a container.
func TestEntries(t *testing.T) {
	r := Settings{Owner: "ab12cd34ffff", Dialect: Registrator, Host: "mylaptop2-reg", IP: "192.168.1.88"}
	with := func(o Settings, change func(o *Settings)) Settings {
		change(&o)
		return o
	}
	all := with(r, func(o *Settings) { o.All = true })
	f := Settings{Owner: "ab12cd34ffff", IP: "192.168.1.88"}
	for _, x := range []struct {
		name string
		o    Settings
		in   *catalog.Instance
		want []string // entries, then problems behind "!"
	}{
		{"58", r, container("evil_hopper", "python", env("SERVICE_NAME=files"), "80=8000"), []string{host + "evil_hopper:80 files 192.168.1.88:8000"}},
		{"59", f, container("evil_hopper", "python", env("SERVICE_NAME=files"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 files 192.168.1.88:8000"}},
		{"60", all, container("x", "reg.example:5000/gliderlabs/postgres:9.4", nil, "5432=5432"), []string{host + "x:5432 postgres 192.168.1.88:5432"}},
		{"61", all, container("x", "app", nil, "8000=8000", "9000=9000"), []string{host + "x:8000 app-8000 192.168.1.88:8000", host + "x:9000 app-9000 192.168.1.88:9000"}},
		{"61 one named", all, container("x", "app", env("SERVICE_8000_NAME=web"), "8000=8000", "9000=9000"), []string{host + "x:8000 web 192.168.1.88:8000", host + "x:9000 app-9000 192.168.1.88:9000"}},
		{"61 all named", all, container("x", "app", env("SERVICE_NAME=x"), "8000=8000", "9000=9000"), []string{host + "x:8000 x-8000 192.168.1.88:8000", host + "x:9000 x-9000 192.168.1.88:9000"}},
		{"61 in the place of the image", f, container("x", "app", env("SERVICE_NAME=x", "fairway.port=9000"), "8000=8000", "9000=9000"), []string{"fairway:ab12cd34:0123456789ab:8000 x-8000 192.168.1.88:8000", "fairway:ab12cd34:0123456789ab:9000 x 192.168.1.88:9000"}},
		{"62", all, container("x", "app", env("SERVICE_9000_IGNORE=1"), "8000=8000", "9000=9000"), []string{host + "x:8000 app-8000 192.168.1.88:8000"}},
		{"62 false", all, container("x", "app", env("SERVICE_IGNORE=false"), "8000=8000"), []string{"!SERVICE_IGNORE=false leaves it out: any value does"}},
		{"63", all, container("x", "dns", nil, "53=53", "53/udp=53"), []string{host + "x:53 dns-53 192.168.1.88:53", host + "x:53:udp dns-53 192.168.1.88:53 udp"}},
		{"64", all, container("x", "dns", env("SERVICE_ID=dns"), "53=53", "53/udp=53"), []string{"dns dns-53 192.168.1.88:53", "dns:udp dns-53 192.168.1.88:53 udp", "!the ID dns is that of x; here it is dns:udp"}},
		{"64 no path", all, container("x", "app", env("SERVICE_ID=a//../b"), "80=8000"), []string{"!the ID \"a//../b\" is none that Consul removes again: set SERVICE_ID without //, dot segments, a slash at an end and control characters"}},
		{"65 not published", r, container("x", "app", env("SERVICE_NAME=x"), "80"), []string{"!none of its ports is published: publish one, or set consul.publish.address to container"}},
		{"65 container", with(f, func(o *Settings) { o.Address = Container }), container("x", "app", env("SERVICE_NAME=x"), "80"), []string{"fairway:ab12cd34:0123456789ab:80 x 172.17.0.9:80"}},
		{"65 host network", f, func() *catalog.Instance {
			in := container("x", "app", env("SERVICE_NAME=x"), "80")
			in.Addresses = []catalog.Address{{Host: "127.0.0.1", Network: "host"}}
			return in
		}(), []string{"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:80"}},
		{"66 loopback", f, container("x", "app", env("SERVICE_NAME=x"), "80=127.0.0.1:8000"), []string{"!port 80 is published on 127.0.0.1 alone, and no other machine reaches it"}},
		{"66 no address", Settings{Owner: "ab12cd34"}, container("x", "app", env("SERVICE_NAME=x"), "80=8000"), []string{"!the address of its machine is not known: set consul.publish.ip"}},
		{"66 address of its own", Settings{Owner: "ab12cd34"}, container("x", "app", env("SERVICE_NAME=x"), "80=10.0.0.5:8000"), []string{"fairway:ab12cd34:0123456789ab:80 x 10.0.0.5:8000"}},
		{"67", f, container("x", "app", env("SERVICE_NAME=x", `SERVICE_TAGS=a,b\,c,,d`, "SERVICE_REGION=us", "SERVICE_80_ZONE=1"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000 a·b,c·d region=us zone=1"}},
		{"68", f, container("x", "app", env("SERVICE_NAME=x", "SERVICE_80_CHECK_HTTP=/up", "SERVICE_CHECK_INTERVAL=15s", "SERVICE_CHECK_INITIAL_STATUS=passing"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000 [http http://192.168.1.88:8000/up 15s passing]"}},
		{"69 script", f, container("x", "app", env("SERVICE_NAME=x", "SERVICE_CHECK_SCRIPT=curl x"), "80=8000"), []string{
			"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000",
			"!SERVICE_CHECK_SCRIPT is refused: it would run a command on the machine of Consul's agent for everybody who may start containers; use SERVICE_CHECK_HTTP, _TCP, _GRPC or _TTL",
		}},
		{"69 ttl", f, container("x", "app", env("SERVICE_NAME=x", "SERVICE_CHECK_TTL=30s"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000 [ttl  30s]"}},
		{"all kinds of checks", f, container("x", "app", env("SERVICE_NAME=x", "SERVICE_CHECK_HTTPS=up", "SERVICE_CHECK_HTTPS_METHOD=HEAD", "SERVICE_CHECK_TCP=1", "SERVICE_CHECK_GRPC=1", "SERVICE_CHECK_TIMEOUT=2s", "SERVICE_CHECK_DEREGISTER_AFTER=5s"), "80=8000"), []string{
			"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000 [http https://192.168.1.88:8000/up 10s 2s HEAD] [tcp 192.168.1.88:8000 10s 2s] [grpc 192.168.1.88:8000 10s 2s]",
			"!SERVICE_CHECK_DEREGISTER_AFTER=5s is no duration of 1m0s and more; 0s holds",
		}},
		{"a label", f, container("shop_web", "app", env("fairway.publish=true"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 shop-web 192.168.1.88:8000"}},
		{"a label against", with(f, func(o *Settings) { o.All = true }), container("x", "app", env("fairway.publish=false", "SERVICE_NAME=x"), "80=8000"), nil},
		{"no label", f, container("x", "app", nil, "80=8000"), nil},
		{"names and addresses by labels", f, container("x", "app", env("Fairway.Publish=true", "fairway.publish.name=y", "fairway.publish.address=10.1.1.1", "fairway.tags=t", "fairway.health.path=/up"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 y 10.1.1.1:8000 t [http http://10.1.1.1:8000/up 10s]"}},
		{"an address by another label", with(r, func(o *Settings) { o.IPLabel = "io.ip" }), container("x", "app", env("SERVICE_NAME=x", "io.ip=10.42.0.7/16"), "80=8000"), []string{host + "x:80 x 10.42.0.7:8000"}},
		{"weight", f, container("x", "app", env("SERVICE_NAME=x", "fairway.weight=0"), "80=8000"), []string{"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000 critical (weight 0)"}},
		{"strange metadata", f, container("x", "app", env("SERVICE_NAME=x", "SERVICE_a b=c", "SERVICE_FAIRWAY-OWNER=me", "SERVICE_LONG="+strings.Repeat("x", 513)), "80=8000"), []string{
			"fairway:ab12cd34:0123456789ab:80 x 192.168.1.88:8000",
			"!SERVICE_A B is no key that Consul takes, and is left out", "!SERVICE_FAIRWAY-OWNER is no key that Consul takes, and is left out", "!SERVICE_LONG has more than 512 bytes, which Consul does not take, and is left out",
		}},
	} {
		entries, problems := Want(world(x.in), x.o)
		var got []string
		for _, e := range entries {
			got = append(got, words(e))
		}
		for _, p := range problems {
			got = append(got, "!"+p.Text)
		}
		if strings.Join(got, "\n") != strings.Join(x.want, "\n") {
			t.Errorf("case %s:\n got %s\nwant %s", x.name, strings.Join(got, "\n     "), strings.Join(x.want, "\n     "))
		}
	}
}

// Case 70 and 71 as far as the entry, 82, and what comes from Consul.
func TestStates(t *testing.T) {
	o := Settings{Owner: "ab12cd34", IP: "192.168.1.88", Foreign: func(source string) bool { return source == "consul" }}
	for state, want := range map[catalog.State]string{
		catalog.StateReady: "", catalog.StateStarting: "starting: why", catalog.StateUnhealthy: "unhealthy: why", catalog.StatePaused: "paused: why", catalog.StateLeaving: "leaving: why", catalog.StateStopped: "none",
	} {
		in := container("x", "app", env("SERVICE_NAME=x"), "80=8000")
		in.State = state
		if state != catalog.StateReady {
			in.StateReason = "why"
		}
		entries, _ := Want(world(in), o)
		switch {
		case want == "none" && len(entries) > 0, want != "none" && len(entries) != 1:
			t.Errorf("%s: %d entries", state, len(entries))
		case want != "none" && (entries[0].Ready != (want == "") || entries[0].Output != want):
			t.Errorf("%s: %+v", state, entries[0])
		}
	}
	in := container("x", "app", env("SERVICE_NAME=x"), "80=8000")
	s := world(in)
	s.Sources[0].Stale, s.Sources[0].LastSuccess = true, time.Date(2026, 1, 2, 12, 3, 0, 0, time.UTC)
	if e, _ := Want(s, o); len(e) != 1 || !e[0].Quiet || e[0].Output != "source docker has been silent since 12:03 UTC" {
		t.Errorf("silent source: %+v", e)
	}
	s = world(in)
	s.Sources[0].Held = []string{"x@docker"}
	if e, _ := Want(s, o); len(e) != 1 || !e[0].Quiet || e[0].Output != "source docker no longer shows it, which is to be confirmed" {
		t.Errorf("held: %+v", e)
	}
	other := container("x", "app", env("SERVICE_NAME=x"), "80=8000")
	other.Source = "consul"
	if e, p := Want(world(other), o); len(e)+len(p) > 0 {
		t.Errorf("what comes from Consul goes back: %+v %v", e, p)
	}
}
