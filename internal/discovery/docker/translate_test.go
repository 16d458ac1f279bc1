package docker

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
)

var (
	localHost  = dockerapi.Host{Local: true, Name: "127.0.0.1"}
	remoteHost = dockerapi.Host{Name: "dock-2.example.com"}
)

// TestReach is the table of where Fairway stands, how a container is connected,
// and what follows for its addresses and published ports.
func TestReach(t *testing.T) {
	attach := func(name string, ips ...string) dockerapi.Attachment {
		a := dockerapi.Attachment{Network: name, NetworkID: "id-" + name, IPv4: netip.MustParseAddr(ips[0])}
		if len(ips) > 1 {
			a.IPv6 = netip.MustParseAddr(ips[1])
		}
		return a
	}
	port := func(number uint16, ip string, host uint16) dockerapi.Port {
		p := dockerapi.Port{Number: number, Protocol: "tcp", HostPort: host}
		if ip != "" {
			p.HostIP = netip.MustParseAddr(ip)
		}
		return p
	}
	bridge := dockerapi.Container{
		Status: "running", NetworkMode: "web",
		Attachments: []dockerapi.Attachment{attach("web", "172.18.0.2", "2001:db8::2"), attach("mac", "192.168.1.7")},
		Ports: []dockerapi.Port{
			port(80, "0.0.0.0", 8080), port(80, "::", 8080), port(81, "127.0.0.1", 8081), port(82, "192.0.2.1", 8082), port(83, "", 0),
		},
	}
	host := dockerapi.Container{Status: "running", NetworkMode: "host", Attachments: []dockerapi.Attachment{{Network: "host", NetworkID: "id-host"}}}
	self := dockerapi.Container{ID: "self", Status: "running", NetworkMode: "web", Attachments: []dockerapi.Attachment{attach("web", "172.18.0.9")}}
	behind := self // it knows the way out of its networks
	behind.Attachments = []dockerapi.Attachment{attach("mac", "192.168.1.9"), attach("web", "172.18.0.9")}
	behind.Attachments[0].Gateway, behind.Attachments[1].Gateway = netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("172.18.0.1")
	selfOnHost := dockerapi.Container{ID: "self", Status: "running", NetworkMode: "host", Attachments: host.Attachments}
	stopped := bridge
	stopped.Status = "exited"
	drivers := map[string]string{"id-web": "bridge", "id-mac": "macvlan", "id-host": "host"}

	for _, tt := range []struct {
		name      string
		host      dockerapi.Host
		enclosed  bool
		selfID    string
		self      *dockerapi.Container
		container dockerapi.Container
		want      string
	}{
		{
			"on the engine's host", localHost, false, "", nil, bridge,
			"mac 192.168.1.7 none link, web 172.18.0.2 bridge, web 2001:db8::2 bridge; 80=127.0.0.1:8080 81=127.0.0.1:8081 82=192.0.2.1:8082 83",
		},
		{
			"beside it in a container", localHost, false, "self", &self, bridge,
			"mac 192.168.1.7 none link, web 172.18.0.2 shared, web 2001:db8::2 shared; 80 81 82 83",
		},
		{
			"in a container with host networking", localHost, false, "self", &selfOnHost, bridge,
			"mac 192.168.1.7 none link, web 172.18.0.2 bridge, web 2001:db8::2 bridge; 80=127.0.0.1:8080 81=127.0.0.1:8081 82=192.0.2.1:8082 83",
		},
		{
			"in a container of another engine", localHost, false, "self", nil, bridge,
			"mac 192.168.1.7 none, web 172.18.0.2 none, web 2001:db8::2 none; 80 81 82 83",
		},
		{
			"on the host of a rootless engine", localHost, true, "", nil, bridge,
			"mac 192.168.1.7 none, web 172.18.0.2 none, web 2001:db8::2 none; 80=127.0.0.1:8080 81=127.0.0.1:8081 82=192.0.2.1:8082 83",
		},
		{
			"far away", remoteHost, false, "", nil, bridge,
			"mac 192.168.1.7 none, web 172.18.0.2 none, web 2001:db8::2 none; 80=dock-2.example.com:8080 81 82=192.0.2.1:8082 83",
		},
		{"host networking, here", localHost, false, "", nil, host, "host 127.0.0.1 bridge;"},
		{"host networking, from a container", localHost, false, "self", &self, host, "host 127.0.0.1 none;"},
		{"host networking, from a container on a bridge", localHost, false, "self", &behind, host, "host 172.18.0.1 bridge;"},
		{"host networking, from a container of a rootless engine", localHost, true, "self", &behind, host, "host 172.18.0.1 bridge;"},
		{"host networking, far away from a container", remoteHost, false, "self", &behind, host, "host dock-2.example.com bridge;"},
		{"host networking, from a container with it", localHost, false, "self", &selfOnHost, host, "host 127.0.0.1 bridge;"},
		{"host networking, far away", remoteHost, false, "", nil, host, "host dock-2.example.com bridge;"},
		{"host networking, rootless", localHost, true, "", nil, host, "host 127.0.0.1 none;"},
		{"stopped", localHost, false, "", nil, stopped, "; 80 81 82 83"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld("docker", tt.host, tt.selfID)
			w.enclosed, w.drivers = tt.enclosed, drivers
			if tt.self != nil {
				w.containers[tt.selfID] = &entry{facts: tt.self, known: true}
			}
			i := w.instance(tt.container, time.Time{}, "", time.Time{})
			var addresses []string
			for _, a := range i.Addresses {
				text := a.Network + " " + a.Host + " " + string(a.Reach)
				if a.Link {
					text += " link"
				}
				addresses = append(addresses, text)
			}
			got := strings.Join(addresses, ", ") + ";"
			for _, line := range strings.Fields(describePorts(i)) {
				got += " " + line
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func describePorts(i *catalog.Instance) string {
	line := describe(catalog.Answer{Services: []*catalog.Service{{Instances: []*catalog.Instance{{Ports: i.Ports}}}}})
	return strings.TrimPrefix(line, ":  ")
}

// TestState is the table of Docker's words and ours.
func TestState(t *testing.T) {
	at := time.Unix(1, 0)
	for _, tt := range []struct {
		status, health string
		leaving        time.Time
		signal         string
		want           catalog.State
		reason         string
	}{
		{"created", "", time.Time{}, "", catalog.StateStopped, "created"},
		{"running", "", time.Time{}, "", catalog.StateReady, ""},
		{"running", "starting", time.Time{}, "", catalog.StateStarting, "health check: starting"},
		{"running", "healthy", time.Time{}, "", catalog.StateReady, ""},
		{"running", "unhealthy", time.Time{}, "", catalog.StateUnhealthy, "health check: unhealthy"},
		{"running", "unhealthy", at, "15", catalog.StateLeaving, "told to stop by SIGTERM"},
		{"running", "", at, "", catalog.StateLeaving, "told to stop"},
		{"running", "", at, "37", catalog.StateLeaving, "told to stop by signal 37"},
		{"paused", "", time.Time{}, "", catalog.StatePaused, ""},
		{"restarting", "", time.Time{}, "", catalog.StateStarting, "restarting"},
		{"exited", "", at, "9", catalog.StateStopped, "exited"},
		{"dead", "", time.Time{}, "", catalog.StateStopped, "dead"},
		{"removing", "", time.Time{}, "", catalog.StateStopped, "removing"},
		{"melted", "", time.Time{}, "", catalog.StateStopped, "unknown state"},
	} {
		got, reason := state(dockerapi.Container{Status: tt.status, Health: tt.health}, tt.leaving, tt.signal)
		if got != tt.want || reason != tt.reason {
			t.Errorf("%s %s leaving by %q: %s %q, want %s %q", tt.status, tt.health, tt.signal, got, reason, tt.want, tt.reason)
		}
	}
}

// TestStateDetail demands that people see what the engine knows of a failure.
func TestStateDetail(t *testing.T) {
	for want, c := range map[string]dockerapi.Container{
		"exited, exit code 137: out of memory":               {Status: "exited", Detail: "exit code 137: out of memory"},
		"restarting, exit code 1":                            {Status: "restarting", Detail: "exit code 1"},
		"health check: unhealthy, exit code 22: curl: error": {Status: "running", Health: "unhealthy", Detail: "exit code 22: curl: error"},
	} {
		if _, got := state(c, time.Time{}, ""); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

// TestGroups is the table of labels and service IDs.
func TestGroups(t *testing.T) {
	compose := func(project, service string) map[string]string {
		return map[string]string{labelComposeProject: project, labelComposeService: service}
	}
	oneOff := compose("shop", "web")
	oneOff[labelComposeOneOff] = "True"
	both := compose("shop", "web")
	both[labelService] = "front"
	for _, tt := range []struct {
		name   string
		labels map[string]string
		want   string
	}{
		{"web", nil, "web@docker"},
		{"shop-web-1", compose("shop", "web"), "shop-web@docker"},
		{"shop-web-run-1", oneOff, "shop-web-run-1@docker"},
		{"web", map[string]string{labelService: "front"}, "front~-"},
		{"web", both, "front~shop"},
		{"web", map[string]string{labelService: "front", labelStack: "s"}, "front~s"},
		{"web", map[string]string{labelService: "front", labelComposeProject: "a/b"}, "front~-"},
		{"web", map[string]string{labelService: ""}, "web@docker"},
		{"web", map[string]string{labelService: "shop@docker"}, "web@docker"},
		{"web", map[string]string{labelService: "shop/x"}, "web@docker"},
		{"web", map[string]string{labelService: strings.Repeat("x", 129)}, "web@docker"},
		{"web", compose("shop@docker", "web"), "web@docker"},
		{"web", compose("shop", ""), "web@docker"},
		{"", nil, "0123456789ab@docker"},
		{"a\nb", nil, "0123456789ab@docker"},
	} {
		c := dockerapi.Container{ID: "0123456789abcdef", Name: tt.name, Labels: tt.labels}
		if got := groupOf(c, "docker").id; got != tt.want {
			t.Errorf("%q %v: %s, want %s", tt.name, tt.labels, got, tt.want)
		}
	}
}

// TestStrangersStayApart demands that containers whose service names read the
// same by accident or on purpose do not become one service, that the oldest has
// the plain name, and that the others get it when the oldest is gone.
func TestStrangersStayApart(t *testing.T) {
	m, groups := members{}, map[group]*shared{}
	put := func(id string, age int, c dockerapi.Container) *shared {
		of := groupOf(c, "docker")
		g := groups[of]
		if g == nil {
			g = &shared{group: of}
		}
		groups[of] = g
		m[g] = append(m[g], &catalog.Instance{ID: id, Created: time.Unix(int64(1000-age), 0)})
		return g
	}
	check := func(want string) {
		t.Helper()
		var ids []string
		for id, s := range m.services("docker", nil) {
			if s.ID != id || s.Name != "a-b-c" {
				t.Errorf("%s is %+v", id, s)
			}
			for _, i := range s.Instances {
				id += " " + i.ID
			}
			ids = append(ids, id)
		}
		slices.Sort(ids)
		if got := strings.Join(ids, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	compose := func(project, service string) dockerapi.Container {
		return dockerapi.Container{Labels: map[string]string{labelComposeProject: project, labelComposeService: service}}
	}
	young := put("2", 20, compose("a", "b-c"))
	check("a-b-c@docker 2")
	old := put("1", 30, compose("a-b", "c"))
	put("1b", 1, compose("a-b", "c"))
	check("a-b-c@docker 1 1b, a~b-c@docker 2")
	lone := put("lone0", 10, dockerapi.Container{ID: "lone0", Name: "a-b-c"})
	check("a-b-c@docker 1 1b, a-b-c~lone0@docker lone0, a~b-c@docker 2")
	m[old] = m[old][1:]
	check("a-b-c@docker 2, a-b-c~lone0@docker lone0, a-b~c@docker 1b")
	delete(m, young)
	delete(m, old)
	check("a-b-c@docker lone0")
	delete(m, lone)
	check("")
}

// TestSwarmTasksAreLeftOut demands that tasks are not containers here.
func TestSwarmTasksAreLeftOut(t *testing.T) {
	w := newWorld("docker", localHost, "")
	w.list(listing{containers: []*dockerapi.Container{
		{ID: "a", Name: "web.1.x", Status: "running", Labels: map[string]string{labelSwarmService: "s1"}},
		{ID: "b", Name: "lone", Status: "running"},
	}}, w.mark(time.Now()))
	list, _ := w.services()
	if len(list) != 1 || list[0].ID != "lone@docker" {
		t.Errorf("services %v", list)
	}
}

// TestSelfID is the table of traces.
func TestSelfID(t *testing.T) {
	const id = "4f0cb4a0e0a5b7d1c9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6"
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	mount := func(at string) string {
		return "640 622 254:0 /var/lib/docker/containers/" + id + "/hostname " + at + " rw,relatime - ext4 /dev/vda rw\n"
	}
	for _, tt := range []struct {
		name string
		root fstest.MapFS
		want string
	}{
		{"nothing", fstest.MapFS{}, ""},
		{"mounted host name", fstest.MapFS{"proc/self/mountinfo": file("1 2 0:1 / / rw - overlay overlay rw\n" + mount("/etc/hostname"))}, id},
		{"the host sees all", fstest.MapFS{"proc/self/mountinfo": file(mount("/var/lib/docker/containers/" + id + "/mounts/shm"))}, ""},
		{"control groups v1", fstest.MapFS{"proc/self/cgroup": file("3:cpuset:/\n2:cpu:/docker/" + id + "\n")}, id},
		{"control groups v2, systemd", fstest.MapFS{"proc/self/cgroup": file("0::/system.slice/docker-" + id + ".scope\n")}, id},
		{"control groups of something else", fstest.MapFS{"proc/self/cgroup": file("0::/user.slice/session-1.scope\n")}, ""},
		{"host name with the mark", fstest.MapFS{".dockerenv": file(""), "etc/hostname": file("4f0cb4a0e0a5\n")}, "4f0cb4a0e0a5"},
		{"host name without the mark", fstest.MapFS{"etc/hostname": file("4f0cb4a0e0a5\n")}, ""},
		{"given host name", fstest.MapFS{".dockerenv": file(""), "etc/hostname": file("proxy\n")}, ""},
		{"short line", fstest.MapFS{"proc/self/mountinfo": file("1 2 3\n\n")}, ""},
	} {
		if got := SelfID(tt.root); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestSelfByPrefix demands that Fairway's container is found by a short ID.
func TestSelfByPrefix(t *testing.T) {
	id := strings.Repeat("ab", 32)
	w := newWorld("docker", localHost, id[:12])
	w.list(listing{containers: []*dockerapi.Container{{ID: id, Name: "fairway", Status: "running"}}}, w.mark(time.Now()))
	if w.facts(w.selfID) == nil {
		t.Error("not found")
	}
}

// FuzzContainer translates whatever an engine may send: nothing panics, and what
// is made holds what the catalogue promises.
func FuzzContainer(f *testing.F) {
	f.Add([]byte(`[{"ID":"a","Name":"web","Status":"running","NetworkMode":"container:b","Labels":{"fairway.service":"x@y"}},{"ID":"b","NetworkMode":"container:a","Status":"running"}]`))
	f.Add([]byte(`[{"ID":"a","Name":"a","Status":"running","Attachments":[{"Network":"n","IPv4":"10.0.0.1"}],"Ports":[{"Number":1,"Protocol":"tcp","HostIP":"::","HostPort":2}]},{"ID":"c","Name":"a"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []*dockerapi.Container
		if json.Unmarshal(data, &list) != nil {
			return
		}
		w := newWorld("docker", localHost, "")
		w.list(listing{containers: list}, w.mark(time.Time{}))
		services, _ := w.services()
		seen := map[string]bool{}
		for _, s := range services {
			if seen[s.ID] || strings.Count(s.ID, "@") > 1 || strings.ContainsAny(s.ID, "/\n ") && !strings.Contains(s.ID, "@docker") {
				t.Errorf("bad service ID %q", s.ID)
			}
			seen[s.ID] = true
			if !slices.IsSortedFunc(s.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) }) {
				t.Errorf("instances of %q are not sorted", s.ID)
			}
		}
	})
}

func TestHasLabel(t *testing.T) {
	labels := map[string]string{"watched": "yes", "empty": ""}
	for wanted, want := range map[string]bool{
		"": true, "watched": true, "watched=yes": true, "empty=": true,
		"watched=no": false, "watched=": false, "other": false, "other=": false,
	} {
		if hasLabel(labels, wanted) != want {
			t.Errorf("%q: %t", wanted, !want)
		}
	}
}

// TestOnlyLabelled: a container without the label of the options is in no answer.
func TestOnlyLabelled(t *testing.T) {
	w := newWorld("docker", dockerapi.Host{}, "")
	w.label = "watched=yes"
	w.list(listing{containers: []*dockerapi.Container{
		{ID: "a", Name: "mine", Status: "running", Labels: map[string]string{"watched": "yes"}},
		{ID: "b", Name: "other", Status: "running", Labels: map[string]string{"watched": "no"}},
	}}, mark{})
	if list, _ := w.services(); len(list) != 1 || list[0].Name != "mine" {
		t.Errorf("got %+v", list)
	}
}
