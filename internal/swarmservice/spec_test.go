package swarmservice

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
)

// TestSpec compares with what `docker service create` sends.
func TestSpec(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    Spec
		want string
	}{
		{
			"least",
			Spec{Name: "go-demo-db", Image: "mongo:3.2.10"},
			`{"Name":"go-demo-db","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"mongo:3.2.10"},"ForceUpdate":0},
			  "Mode":{"Replicated":{"Replicas":1}},"EndpointSpec":{"Mode":"vip"}}`,
		},
		{
			"all",
			Spec{
				Name: "go-demo", Image: "demo:1", Replicas: new(uint64(3)), Command: []string{"/bin/x"}, Args: []string{"-a", "b c"},
				Networks: []string{"proxy", "go-demo"}, Labels: []string{"com.df.servicePath=/demo", "empty="}, Env: []string{"DB=go-demo-db", "A=1=2", "DB=again"},
				Publish: []string{"mode=host,target=80,published=8080", "53/udp"}, EndpointMode: "vip",
				Mounts: []string{"type=bind,source=/s,target=/t,readonly", "target=/v"}, Constraints: []string{"node.role==manager"},
				LimitCPU: "0.5", LimitMemory: "64m",
				Updates: Updates{Parallelism: new(uint64(2)), Delay: new(3 * time.Second), Order: "start-first"},
			},
			`{"Name":"go-demo","Labels":{"com.df.servicePath":"/demo","empty":""},
			  "TaskTemplate":{"ContainerSpec":{"Image":"demo:1","Command":["/bin/x"],"Args":["-a","b c"],"Env":["DB=again","A=1=2"],
			      "Mounts":[{"Type":"bind","Source":"/s","Target":"/t","ReadOnly":true},{"Type":"volume","Target":"/v"}]},
			    "Resources":{"Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864}},"Placement":{"Constraints":["node.role==manager"]},
			    "Networks":[{"Target":"proxy"},{"Target":"go-demo"}],"ForceUpdate":0},
			  "Mode":{"Replicated":{"Replicas":3}},
			  "UpdateConfig":{"Parallelism":2,"Delay":3000000000,"MaxFailureRatio":0,"Order":"start-first"},
			  "EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"host"},
			    {"Protocol":"udp","TargetPort":53,"PublishMode":"ingress"}]}}`,
		},
		{
			"global, dnsrr",
			Spec{Name: "util", Image: "alpine", Mode: "global", EndpointMode: "dnsrr", Publish: []string{"mode=host,target=80"}},
			`{"Name":"util","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"alpine"},"ForceUpdate":0},"Mode":{"Global":{}},
			  "EndpointSpec":{"Mode":"dnsrr","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishMode":"host"}]}}`,
		},
	} {
		spec, err := tt.n.spec()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		data, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
			t.Fatal(tt.name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestSpecFaults demands all faults at once, in words that help, and no
// value of an environment variable.
func TestSpecFaults(t *testing.T) {
	n := Spec{
		Mode: "swarm", Labels: []string{"=x"}, Env: []string{"geheim"}, Publish: []string{"80:x", "8080:80"}, EndpointMode: "dnsrr",
		Mounts: []string{"type=bind,target=/x", "type=file,target=/x", "source=/x"}, LimitCPU: "-1",
		Updates: Updates{Order: "first"},
	}
	_, err := n.spec()
	if err == nil {
		t.Fatal("no error")
	}
	want := strings.Join([]string{
		`a service needs a name and an image`,
		`mode "swarm": write replicated or global`,
		`label "=x": write KEY=VALUE`,
		`environment variable number 1: write KEY=VALUE`,
		`publish "80:x": a port is a number from 1 to 65535`,
		`publish "8080:80": with endpoint mode dnsrr a port can only be published with mode=host`,
		`mount "type=bind,target=/x": source, an absolute path on the node, is missing`,
		`mount "type=file,target=/x": the type is bind, volume or tmpfs`,
		`mount "source=/x": target, an absolute path in the container, is missing`,
		`limit of CPUs "-1": write a number above 0, such as 0.5`,
		`update order "first": write start-first or stop-first`,
	}, "\n")
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := (Spec{Name: "a", Image: "b", Mode: "global", Replicas: new(uint64(2))}).spec(); err == nil {
		t.Error("replicas of a global service: no error")
	}
}

// TestParsePublish reads both forms of a port.
func TestParsePublish(t *testing.T) {
	for text, want := range map[string]swarm.PortConfig{
		"80":        {Protocol: network.TCP, TargetPort: 80, PublishMode: "ingress"},
		"8080:80":   {Protocol: network.TCP, TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress"},
		"53:53/udp": {Protocol: network.UDP, TargetPort: 53, PublishedPort: 53, PublishMode: "ingress"},
		"target=80": {Protocol: network.TCP, TargetPort: 80, PublishMode: "ingress"},
		"target=80,published=,mode=host,protocol=sctp": {Protocol: network.SCTP, TargetPort: 80, PublishMode: "host"},
	} {
		if got, err := parsePublish(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "80:", "x", "0", "70000", "80/icmp", "published=80", "target=80,mode=both", "target=80,host=1"} {
		if p, err := parsePublish(text); err == nil {
			t.Errorf("%q: no error, %+v", text, p)
		}
	}
}

// FuzzTexts reads whatever people write: what is accepted makes sense.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{"8080:80/udp", "mode=host,target=80,published=8080", "type=bind,source=/a,target=/b,readonly"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parsePublish(text); err == nil && (p.TargetPort == 0 || p.TargetPort > 65535 || p.PublishedPort > 65535 || p.Protocol == "") {
			t.Errorf("publish %q: %+v", text, p)
		}
		if m, err := parseMount(text); err == nil && (!strings.HasPrefix(m.Target, "/") || m.Type == mount.TypeBind && m.Source == "") {
			t.Errorf("mount %q: %+v", text, m)
		}
	})
}

// TestChange changes what it names and nothing else.
func TestChange(t *testing.T) {
	port := func(in, out uint32) swarm.PortConfig {
		return swarm.PortConfig{Protocol: network.TCP, TargetPort: in, PublishedPort: out, PublishMode: "host"}
	}
	attached := func(names ...string) (list []swarm.NetworkAttachmentConfig) {
		for _, name := range names {
			list = append(list, swarm.NetworkAttachmentConfig{Target: name})
		}
		return list
	}
	networks := map[string]string{"proxy": "net1", "go-demo": "net2"}
	old := func() swarm.ServiceSpec {
		return swarm.ServiceSpec{
			Annotations:  swarm.Annotations{Name: "web", Labels: map[string]string{"a": "1", "b": "2"}},
			TaskTemplate: swarm.TaskSpec{ForceUpdate: 4, ContainerSpec: &swarm.ContainerSpec{Image: "web:1", Env: []string{"A=1", "B=2", "C"}, User: "nobody"}, Networks: attached("net1", "other")},
			Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: new(uint64(2))}},
			UpdateConfig: &swarm.UpdateConfig{Parallelism: 3, FailureAction: "rollback"},
			EndpointSpec: &swarm.EndpointSpec{Mode: "dnsrr", Ports: []swarm.PortConfig{port(80, 8080), port(443, 8443)}},
		}
	}
	for _, tt := range []struct {
		name   string
		change Change
		edit   func(*swarm.ServiceSpec)
	}{
		{"nothing", Change{}, func(*swarm.ServiceSpec) {}},
		{"image", Change{Image: "web:2"}, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "web:2" }},
		{"labels", Change{LabelsAdd: []string{"b=3", "c=4"}, LabelsRemove: []string{"a", "none"}}, func(s *swarm.ServiceSpec) {
			s.Labels = map[string]string{"b": "3", "c": "4"}
		}},
		{"env", Change{EnvAdd: []string{"C=5", "D=6"}, EnvRemove: []string{"A"}}, func(s *swarm.ServiceSpec) {
			s.TaskTemplate.ContainerSpec.Env = []string{"B=2", "C=5", "D=6"}
		}},
		{"force", Change{Force: true}, func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate = 5 }},
		{"to zero", Change{Replicas: new(uint64(0))}, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = new(uint64(0)) }},
		{"networks", Change{NetworksAdd: []string{"go-demo", "other"}, NetworksRemove: []string{"proxy"}}, func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Networks = attached("other", "go-demo")
		}},
		{"ports", Change{PublishRemove: []string{"80"}, PublishAdd: []string{"mode=host,target=80,published=8081"}}, func(s *swarm.ServiceSpec) {
			s.EndpointSpec.Ports = []swarm.PortConfig{port(443, 8443), port(80, 8081)}
		}},
		{"order", Change{Updates: Updates{Order: "start-first"}}, func(s *swarm.ServiceSpec) { s.UpdateConfig.Order = "start-first" }},
		{"all at once", Change{Updates: Updates{Parallelism: new(uint64(0))}}, func(s *swarm.ServiceSpec) { s.UpdateConfig.Parallelism = 0 }},
	} {
		got, want := old(), old()
		if err := tt.change.apply(&got, networks); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		tt.edit(&want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for text, change := range map[string]Change{
		`network "go-demo": the service is not attached to it`:                                  {NetworksRemove: []string{"go-demo"}},
		`publish "53/udp": the service does not publish it`:                                     {PublishRemove: []string{"53/udp"}},
		`publish "8080:80": to remove one, name its port in the container`:                      {PublishRemove: []string{"8080:80"}},
		`publish "81:81": with endpoint mode dnsrr a port can only be published with mode=host`: {PublishAdd: []string{"81:81"}},
	} {
		spec := old()
		if err := change.apply(&spec, networks); err == nil || err.Error() != text {
			t.Errorf("%v, want %s", err, text)
		}
	}
	global := swarm.ServiceSpec{Mode: swarm.ServiceMode{Global: &swarm.GlobalService{}}}
	if err := (Change{Replicas: new(uint64(2))}).apply(&global, nil); err == nil {
		t.Error("a global service was scaled")
	}
	if err := (Change{Image: "x"}).apply(&global, nil); err == nil {
		t.Error("a service without containers got an image")
	}
}
