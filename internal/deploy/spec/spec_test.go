package spec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// read writes a file and reads it.
func read(t *testing.T, text string, change ...func(*Options)) (*Project, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Files: []string{file}, Project: "shop"}
	for _, c := range change {
		c(&o)
	}
	return Read(t.Context(), o)
}

// What a deploy does not honour is refused, all at once, with its line.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"case 1: a mistyped key":         {"services:\n  web:\n    image: a\n    helthcheck: {}", ":4: Compose knows no key helthcheck here; did you mean healthcheck?"},
		"case 2: everything at once":     {"services:\n  web:\n    build: .\n    extends: {service: x}\n    labels: [fairway-deploy.x=1]", ":4: extends is not honoured by a deploy; run docker compose config, and deploy what it prints\n:5: label fairway-deploy.x is Fairway's own; leave it out: a deploy writes it"},
		"case 2: build without image":    {"services:\n  web:\n    build: .", ":3: build without image: nothing is built here; build and push the image, and name it with image"},
		"case 4: a variable":             {"services:\n  web:\n    image: a:${TAG:?need tag}", ":3: variable TAG is not set: need tag"},
		"case 6: a bind that is missing": {"services:\n  web:\n    image: a\n    volumes: ['/nowhere/at/all:/x']", ":4: there is no /nowhere/at/all; it is not made, since it would be a directory of root: make it first"},
		"a port for two":                 {"services:\n  web:\n    image: a\n    ports: ['80:80']\n    scale: 2", ":4: port 80 of the machine for 2 instances; publish a range, or leave the port to Fairway"},
		"include":                        {"include: [a.yml]\nservices: {}", ":1: include is not followed; run docker compose config, and deploy what it prints"},
		"an address for two":             {"services:\n  web:\n    image: a\n    networks: {n: {ipv4_address: 10.0.0.2}}\n    scale: 2\nnetworks: {n: }", ":4: a fixed address for more than one instance; leave it out, or have one instance"},
		"another's network stack":        {"services:\n  web:\n    image: a\n    network_mode: service:db\n  db: {image: b}", ":4: network_mode service:db is not honoured by a deploy"},
		"what would be dropped":          {"services:\n  web:\n    image: a\n    mac_address: 02:42:ac:11:00:02\n    platform: linux/arm64\n    deploy:\n      placement: {constraints: [node.role==manager]}\n      rollback_config: {parallelism: 1}\n      update_config:\n        failure_action: pause\n        max_failure_ratio: 0.5", ":4: mac_address is not honoured by a deploy\n:5: platform is not honoured by a deploy\n:7: deploy.placement is not honoured by a deploy\n:8: deploy.rollback_config is not honoured by a deploy\n:10: deploy.update_config.failure_action is not honoured by a deploy\n:11: deploy.update_config.max_failure_ratio is not honoured by a deploy"},
		"an end of another":              {"services:\n  web:\n    image: a\n    depends_on: {db: {condition: service_completed_successfully}}\n  db: {image: b}", ":4: depends_on with service_completed_successfully is not honoured by a deploy; run it by itself before"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, tt.text)
			refused, ok := errors.AsType[*RefusedError](err)
			if !ok {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.SplitSeq(refused.Error(), "\n") {
				got = append(got, line[strings.Index(line, ".yml")+4:])
			}
			if text := strings.Join(got, "\n"); text != tt.want {
				t.Errorf("got\n%s\nwant\n%s", text, tt.want)
			}
		})
	}
}

// One name for two is refused by Compose itself (case 5).
func TestOneNameForTwo(t *testing.T) {
	if _, err := read(t, "services: {web: {image: a, container_name: x1, scale: 2}}"); err == nil || !strings.Contains(err.Error(), "container name must be unique") {
		t.Error(err)
	}
}

// A relative path is of this machine: there is none on another (case 6).
func TestRemoteBind(t *testing.T) {
	const text = "services:\n  web:\n    image: a\n    volumes: ['./:/x:ro']"
	for _, text := range []string{text, strings.Replace(text, "./", ".", 1), "services: {web: {image: a, volumes: [{type: bind, source: ../b, target: /x}]}}"} {
		if _, err := read(t, text, func(o *Options) { o.Remote = true }); err == nil || !strings.Contains(err.Error(), "a relative path on another machine") {
			t.Error(text, err)
		}
	}
	p, err := read(t, text)
	if err != nil || !filepath.IsAbs(p.Services[0].Config.Volumes[0].Source) {
		t.Error(p, err)
	}
}

// Start-first, unless two instances cannot be at once; an explicit order overrides volumes alone.
func TestOrder(t *testing.T) {
	for name, tt := range map[string]struct{ service, why string }{
		"nothing":             {"{image: a}", ""},
		"a port of Docker's":  {"{image: a, ports: [80]}", ""},
		"case 28: a port":     {"{image: a, ports: ['8080:80'], deploy: {update_config: {order: start-first}}}", "two instances cannot have port 8080 of the machine"},
		"a range":             {"{image: a, scale: 2, ports: ['8080-8083:80']}", ""},
		"host network":        {"{image: a, network_mode: host}", "two instances cannot have the ports of the machine's network"},
		"case 29: a volume":   {"{image: a, volumes: ['data:/d']}", "two instances would write to volume data at once"},
		"a volume, read only": {"{image: a, volumes: ['data:/d:ro']}", ""},
		"case 29: overridden": {"{image: a, volumes: ['data:/d'], deploy: {update_config: {order: start-first}}}", ""},
		"as the file says":    {"{image: a, deploy: {update_config: {order: stop-first}}}", "update_config says so"},
		"an address":          {"{image: a, networks: {n: {ipv4_address: 10.0.0.2}}}", "two instances cannot have one address on n"},
	} {
		p, err := read(t, "services: {web: "+tt.service+"}\nvolumes: {data: }\nnetworks: {n: }")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := p.Services[0]; s.Why != tt.why || s.StopFirst != (tt.why != "") || s.Exclusive != strings.Contains(tt.why, "cannot") {
			t.Errorf("%s: %t because %q, want %q", name, s.StopFirst, s.Why, tt.why)
		}
	}
}

func TestRead(t *testing.T) {
	p, err := read(t, `
x-all: &all {restart: unless-stopped}
services:
  web:
    <<: *all
    image: shop:${TAG:-1}
    build: .
    depends_on: [db]
    secrets: [key]
    configs: [{source: conf, target: /etc/conf, mode: "0440", uid: "7"}]
    deploy: {replicas: 3, labels: {fairway.host: a}, update_config: {parallelism: 2, delay: 3s, monitor: 9s}}
  db: {image: db, deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}}
  later: {image: x, profiles: [late]}
secrets: {key: {environment: KEY}}
configs: {conf: {content: "a=${TAG:-1}"}}
`, func(o *Options) { o.Environ = []string{"KEY=geheim"} })
	if err != nil {
		t.Fatal(err)
	}
	web, db := p.Services[1], p.Services[0]
	if db.Config.Name != "db" || db.Restart != "on-failure:3" || web.Restart != "unless-stopped" || web.Slots != 3 || web.Parallel != 2 || web.Delay.Seconds() != 3 || web.Monitor.Seconds() != 9 {
		t.Errorf("%+v, %+v", db, web)
	}
	if web.Config.Image != "shop:1" || web.Config.Labels["fairway.host"] != "a" || len(p.Notes) != 2 || strings.Join(p.Others, "") != "later" {
		t.Errorf("%+v, notes %v, others %v", web.Config.Labels, p.Notes, p.Others)
	}
	// case 14
	if f := web.Files; len(f) != 2 || f[0].Path != "/etc/conf" || f[0].Mode != 0o440 || f[0].UID != 7 || string(f[0].Content) != "a=1" ||
		f[1].Path != "/run/secrets/key" || f[1].Mode != 0o400 || string(f[1].Content) != "geheim" {
		t.Errorf("%+v", f)
	}
}

// The digest changes with what an instance is made from, and with nothing else.
func TestDigest(t *testing.T) {
	digest := func(service string) string {
		t.Helper()
		p, err := read(t, "services: {web: "+service+"}\nsecrets: {key: {environment: KEY}}", func(o *Options) { o.Environ = []string{"KEY=1"} })
		if err != nil {
			t.Fatal(err)
		}
		return p.Services[0].Digest("a@sha256:1", "salt")
	}
	base := digest("{image: a, environment: {A: 1}}")
	if len(base) != 12 {
		t.Error(base)
	}
	for _, same := range []string{
		"{image: b, environment: [A=1]}", "{image: a, environment: {A: 1}, restart: always}", // case 8
		"{image: a, environment: {A: 1}, scale: 3}", "{image: a, environment: {A: 1}, deploy: {replicas: 2}}",
	} {
		if digest(same) != base {
			t.Errorf("%s has another digest", same)
		}
	}
	for _, other := range []string{
		"{image: a, environment: {A: 2}}", "{image: a, environment: {A: 1}, labels: {fairway.host: x}}", // case 9
		"{image: a, environment: {A: 1}, deploy: {resources: {limits: {memory: 1g}}}}", "{image: a, environment: {A: 1}, secrets: [key]}",
	} {
		if digest(other) == base {
			t.Errorf("%s has the same digest", other)
		}
	}
	s := Service{Config: types.ServiceConfig{Name: "web"}}
	other := s
	if other.Names = []string{"shop_data"}; other.Digest("a", "x") == s.Digest("a", "x") {
		t.Error("the names of volumes and networks count")
	}
	if s.Digest("a", "x") == s.Digest("b", "x") || s.Digest("a", "x") == s.Digest("a", "y") {
		t.Error("image and salt count")
	}
}
