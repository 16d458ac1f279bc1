package app

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/acme/setup"
	"fairway/internal/admin/oidc"
	"fairway/internal/api/local"
	"fairway/internal/app/dialects"
	"fairway/internal/confload"
	consulsetup "fairway/internal/consul/setup"
	"fairway/internal/dns"
	"fairway/internal/dns/forward"
	names "fairway/internal/dns/server"
	"fairway/internal/notify"
	"fairway/internal/owners"
	"fairway/internal/route/tlsoption"
	"fairway/internal/rules"
)

// inDir runs the rest of the test in a directory with these files.
func inDir(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// Each file in testdata/config has one fault, and says in its first line what is told of
// it.
func TestBadConfigurations(t *testing.T) {
	paths, err := filepath.Glob("testdata/config/*.bad.yml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".bad.yml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(data), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			if !ok {
				t.Fatalf("the first line is %q, not what is wanted", first)
			}
			inDir(t, map[string]string{"fairway.yml": string(data)})
			_, err = Load(LoadOptions{})
			var faults confload.Faults
			if !errors.As(err, &faults) || len(faults) != 1 {
				t.Fatalf("error %v, want one fault", err)
			}
			if got := faults[0].String(); got != want {
				t.Errorf("fault\n  %s\nwant\n  %s", got, want)
			}
		})
	}
}

func TestAllFaultsAtOnceWithTheirOrigin(t *testing.T) {
	inDir(t, map[string]string{"fairway.yml": "log: {level: loud}\nunheard: of\n"})
	_, err := Load(LoadOptions{
		Environ: []string{"FAIRWAY_QUIET=banana", "FAIRWAY_ENGINE="},
		Flags:   map[string][]string{"listen": {":81", "nowhere"}},
	})
	want := `configuration has 4 faults:
  fairway.yml:2: unheard: unknown key; docs/config.md lists all keys
  env FAIRWAY_QUIET: quiet "banana": not a duration; write 50ms, 2s or 1m
  flag --listen: listen "nowhere": no address; write :8000, 127.0.0.1:8000, [::1]:8000 or off
  fairway.yml:1: log.level "loud": write debug, info, warn or error`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
}

// Every key once, in the file.
const fullConfig = `
listen: 127.0.0.1:8000
listen-tls: 127.0.0.1:8443
listen-quic: "off"
quic-port: 443
tls:
  certificates:
    - pair.pem
    - cert.pem,key.pem
    - {cert: other.pem, key: key.pem}
  min-version: 1.3
  curves: [X25519, P-256]
  alpn: [http/1.1]
  hosts: [{host: "*.bank.example", min-version: "1.3", client-ca: ca.pem, require: false}, {host: new.example, min-version: "1.3"}]
acme:
  agree: true
  email: ops@example.com
  ca: https://ca.example.com/directory
  ca-root: ca.pem
  internal: true
  redirect: true
  challenges: [http-01]
  storage: files
  consul: {addresses: ["https://consul.example.com:8501"], prefix: a/b, token-file: token, ca: ca.pem, cert: cert.pem, key: key.pem, insecure: true}
  eab-key-id: kid
  eab-key-file: token
  dns:
    provider: webhook
    token-file: token
    url: https://dns.example.com/acme
    zone: example.com
    resolvers: ["192.0.2.53:53"]
    servers: ["192.0.2.54:53", "192.0.2.55:53"]
    timeout: 1m
tcp-ports: [5432, 6000-6010]
dialects: [traefik, nginx-proxy]
traefik:
  entrypoints: [web=http, "db=5432"]
  exposed-by-default: true
  default-rule: 'Host("{{ .Name }}.example.com")'
  network: proxy
  skip: [plugin@file, other]
  file: traefik.yml
label-files: [/srv/users, /run/more]
trusted-proxies: [10.0.0.0/8, 192.0.2.7, "fd00::1/8"]
dns:
  listen: ["127.0.0.1:8053", bridges]
  zones: [docker, shop.internal]
  ttl: 7s
  negative-ttl: 2s
  address: proxy
  views: [10.8.0.0/16=instance]
  single-label: true
  clients: [10.0.0.0/8]
  recursion: [10.1.0.0/16]
  forward: ["consul=127.0.0.1:8600", ".=9.9.9.9"]
  cache: 500
  unsure: nxdomain
consul: {address: ["https://consul.example:8501"], insecure: true, token-file: token, source: [local, dc2], services: all, watches: 50, warning: unhealthy, kv: a/b, publish: {services: all, dialect: registrator, address: container, ip: 192.168.1.88, ip-label: io.ip, host: h, tags: [t], check: tcp, lease: 2h, forget: 24h, on-stop: remove}, tls: {ca: ca.pem, cert: cert.pem, key: key.pem, server-name: server.dc1.consul}}
error-pages:
  - {name: default, dir: pages}
defaults:
  redirect-https: true
  hsts: 1y
  compress: true
  max-body: 10MB
  rate-limit: 100/s burst 200
  ip-allow: [10.0.0.0/8, 192.0.2.7]
  basic-auth: file:/srv/users/all
  timeout: 30s
  idle: 10m
  hold: 5s
  headers:
    request: {set: {X-Env: staging}, add: {X-Tag: one}, remove: X-Debug}
    response:
      set: {X-Frame-Options: DENY, Strict-Transport-Security: max-age=31536000}
      add: ["Vary: Accept"]
      remove: [Server, X-Powered-By]
  balance: least-conn
  sticky: lane
  slow-start: 30s
  max-fails: 3
  locked: [basic-auth, ip-allow]
admin:
  listen: 0.0.0.0:9000
  tls-cert: cert.pem
  tls-key: key.pem
  client-ca: ca.pem
  insecure: true
  allowed-hosts: [fairway.example.com]
  token-file: token
  anonymous: none
  oidc:
    issuer: https://id.example.com/realms/main
    client-id: fairway
    client-secret-file: token
    scopes: [openid, groups]
    roles:
      - {role: admin, claim: groups, value: ops}
      - {role: viewer, claim: email, value: "*@example.com"}
    name-claim: preferred_username
    redirect-url: https://fairway.example.com/sign-in/callback
    ca: ca.pem
state-dir: state
docker:
  - unix:///var/run/docker.sock
  - tcp://10.0.0.1:2376
swarm: [ssh://ops@m1.example.com, tcp://10.0.0.2:2376]
docker-tls: {ca: ca.pem, cert: cert.pem, key: key.pem}
docker-ssh: {known-hosts: known_hosts, identity: id}
docker-insecure: true
docker-label: watched=yes
shared-services: [api, web]
file: services.yml
dockerflow:
  labels: true
  proxy: {listen: "127.0.0.1:9001", certificates: certs}
  listener: {listen: "127.0.0.1:9002"}
fleet: {file: services.yml, listen: "127.0.0.1:9003", tls-cert: cert.pem, tls-key: key.pem, client-ca: ca.pem}
notify:
  channels:
    - {name: hook, kind: webhook, url: "https://hook.example.com/x", secrets: [token], events: [node.*]}
    - name: mail
      kind: mail
      server: mail.example.com:587
      from: fairway@example.com
      to: [ops@example.com]
      title: "{{.Text}}, since {{.At}}"
      rate: 5/1m
  settle: 20s
  name: edge
series: {every: 20s, subjects: 1000}
history: {entries: 500}
owners:
  - {name: shop, projects: [shop, shop-*], hosts: [shop.example, "*.shop.example"], tcp-ports: [6379, 7000-7099], priorities: 100, snippets: true}
  - name: others
    labels: ["team=*"]
rules:
  - {name: hot, when: node.cpu > 90% for 5m, do: drain, most: 2}
  - {name: grow, when: service.cpu-each > 80%, only: [shop], do: scale, min: 2, max: 5, step: 2, cooldown: 1m}
engine: haproxy
haproxy:
  path: pair.pem
  master-socket: /run/haproxy/master.sock
  socket: /run/haproxy/admin.sock
  stop-with-fairway: true
  hard-stop-after: 1m
  spares: 7
  threads: 2
  snippets: [shop, blog]
  max-connections: 1000
max-connections: 5000
max-connections-per-client: 50
access-log: "-"
log: {level: debug, format: json}
body-timeout: 2m
drain-timeout: 1m
quiet: 10ms
bound: 20ms
`

func fullFiles() map[string]string {
	files := map[string]string{"fairway.yml": fullConfig, "pages/default.html": "sorry"}
	for _, name := range []string{"pair.pem", "cert.pem", "key.pem", "other.pem", "ca.pem", "token", "known_hosts", "id", "services.yml", "traefik.yml"} {
		files[name] = ""
	}
	return files
}

func fullWant() Config {
	return Config{
		HTTP3:     tlsoption.QUICConfig{ListenQUIC: Off, QUICPort: 443},
		Listen:    "127.0.0.1:8000",
		ListenTLS: "127.0.0.1:8443",
		TLS: TLSConfig{Certificates: []tlsoption.Certificate{{Cert: "pair.pem", Key: "pair.pem"}, {Cert: "cert.pem", Key: "key.pem"}, {Cert: "other.pem", Key: "key.pem"}}, Config: tlsoption.Config{
			MinVersion: "1.3", Curves: []string{"X25519", "P-256"}, ALPN: []string{"http/1.1"},
			Hosts: []tlsoption.HostConfig{{Host: "*.bank.example", MinVersion: "1.3", ClientCA: "ca.pem", Require: new(bool)}, {Host: "new.example", MinVersion: "1.3"}},
		}},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("fd00::/8"),
		},
		ACME: setup.Config{
			Agree: true, Email: "ops@example.com", CA: "https://ca.example.com/directory", CARoot: "ca.pem", Internal: "true", Redirect: true, Challenges: []string{"http-01"}, Storage: "files",
			Consul:   setup.Consul{Addresses: []string{"https://consul.example.com:8501"}, Prefix: "a/b", TokenFile: "token", CA: "ca.pem", Cert: "cert.pem", Key: "key.pem", Insecure: true},
			EABKeyID: "kid", EABKeyFile: "token",
			DNS: setup.DNS{
				Provider: "webhook", TokenFile: "token", URL: "https://dns.example.com/acme",
				Zone: "example.com", Resolvers: []string{"192.0.2.53:53"}, Servers: []string{"192.0.2.54:53", "192.0.2.55:53"}, Timeout: time.Minute,
			},
			OnDemand: setup.OnDemand{Names: 1000, PerHour: 50},
		},
		TCPPorts: []string{"5432", "6000-6010"},
		Dialects: dialects.Config{Dialects: []string{"traefik", "nginx-proxy"}, Traefik: dialects.Traefik{
			EntryPoints: []string{"web=http", "db=5432"}, ExposedByDefault: true, DefaultRule: `Host("{{ .Name }}.example.com")`, Network: "proxy", Skip: []string{"plugin@file", "other"}, File: "traefik.yml",
		}},
		LabelFiles: []string{"/srv/users", "/run/more"},
		ErrorPages: []ErrorPages{{"default", "pages"}},
		Defaults: DefaultsConfig{
			RedirectHTTPS: "true", HSTS: "1y", Compress: "true", MaxBody: "10MB", RateLimit: "100/s burst 200", IPAllow: []string{"10.0.0.0/8", "192.0.2.7"},
			BasicAuth: "file:/srv/users/all", Timeout: "30s", Idle: "10m", Hold: "5s",
			RequestSet: []HeaderLine{{"X-Env", "staging"}}, RequestAdd: []HeaderLine{{"X-Tag", "one"}}, RequestRemove: []string{"X-Debug"},
			ResponseSet: []HeaderLine{{"X-Frame-Options", "DENY"}, {"Strict-Transport-Security", "max-age=31536000"}},
			ResponseAdd: []HeaderLine{{"Vary", "Accept"}}, ResponseRemove: []string{"Server", "X-Powered-By"},
			Balance: "least-conn", Sticky: "lane", SlowStart: "30s", MaxFails: "3", Locked: []string{"basic-auth", "ip-allow"},
		},
		Admin: AdminConfig{
			Listen: "0.0.0.0:9000", TLSCert: "cert.pem", TLSKey: "key.pem", ClientCA: "ca.pem", Insecure: true,
			AllowedHosts: []string{"fairway.example.com"}, TokenFile: "token", Anonymous: "none",
			OIDC: oidc.Config{
				Issuer: "https://id.example.com/realms/main", ClientID: "fairway", ClientSecretFile: "token", Scopes: []string{"openid", "groups"},
				Roles:     []oidc.Role{{Role: "admin", Claim: "groups", Value: "ops"}, {Role: "viewer", Claim: "email", Value: "*@example.com"}},
				NameClaim: "preferred_username", RedirectURL: "https://fairway.example.com/sign-in/callback", CA: "ca.pem",
			},
		},
		StateDir:       "state",
		Docker:         []string{"unix:///var/run/docker.sock", "tcp://10.0.0.1:2376"},
		Swarm:          []string{"ssh://ops@m1.example.com", "tcp://10.0.0.2:2376"},
		DockerTLS:      DockerTLSConfig{CA: "ca.pem", Cert: "cert.pem", Key: "key.pem"},
		DockerSSH:      DockerSSHConfig{KnownHosts: "known_hosts", Identity: "id"},
		DockerInsecure: true,
		DockerLabel:    "watched=yes",
		SharedServices: []string{"api", "web"},
		File:           []string{"services.yml"},
		DockerFlow: DockerFlowConfig{
			Labels:   true,
			Proxy:    DockerFlowProxyConfig{Listen: "127.0.0.1:9001", Certificates: "certs"},
			Listener: DockerFlowListenerConfig{Listen: "127.0.0.1:9002"},
		},
		Fleet: FleetConfig{File: "services.yml", Listen: "127.0.0.1:9003", TLSCert: "cert.pem", TLSKey: "key.pem", ClientCA: "ca.pem"},
		Notify: NotifyConfig{
			Channels: []notify.Channel{
				{Name: "hook", Kind: "webhook", URL: "https://hook.example.com/x", Secrets: []string{"token"}, Events: []string{"node.*"}},
				{
					Name: "mail", Kind: "mail", Server: "mail.example.com:587", From: "fairway@example.com", To: []string{"ops@example.com"},
					Title: "{{.Text}}, since {{.At}}", Rate: "5/1m",
				},
			},
			Settle: 20 * time.Second, Name: "edge",
		},
		DNS: names.Config{
			Listen: []string{"127.0.0.1:8053", "bridges"}, Zones: []string{"docker", "shop.internal"}, TTL: 7 * time.Second, NegativeTTL: 2 * time.Second, Address: "proxy",
			Views: []dns.View{{Network: netip.MustParsePrefix("10.8.0.0/16"), Mode: "instance"}}, SingleLabel: true,
			Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Recursion: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Unsure: "nxdomain", Cache: 500,
			Forward: []forward.Rule{{Domain: "consul.", Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8600")}}, {Domain: ".", Servers: []netip.AddrPort{netip.MustParseAddrPort("9.9.9.9:53")}}},
		},
		Consul:  consulsetup.Config{Address: []string{"https://consul.example:8501"}, Insecure: true, TokenFile: "token", Source: []string{"local", "dc2"}, Services: "all", Watches: 50, Warning: "unhealthy", KV: "a/b", Publish: consulsetup.PublishConfig{Services: "all", Dialect: "registrator", Address: "container", IP: "192.168.1.88", IPLabel: "io.ip", Host: "h", Tags: []string{"t"}, Check: "tcp", Lease: 2 * time.Hour, Forget: 24 * time.Hour, OnStop: "remove"}, TLS: consulsetup.TLSConfig{CA: "ca.pem", Cert: "cert.pem", Key: "key.pem", ServerName: "server.dc1.consul"}},
		Series:  SeriesConfig{Every: 20 * time.Second, Subjects: 1000},
		History: HistoryConfig{Entries: 500},
		Owners: []owners.Record{
			{Name: "shop", Projects: []string{"shop", "shop-*"}, Hosts: []string{"shop.example", "*.shop.example"}, TCPPorts: []string{"6379", "7000-7099"}, Priorities: "100", Snippets: true},
			{Name: "others", Labels: []string{"team=*"}},
		},
		Rules: []rules.Rule{
			{Name: "hot", When: "node.cpu > 90% for 5m", Do: "drain", Most: 2},
			{Name: "grow", When: "service.cpu-each > 80%", Only: []string{"shop"}, Do: "scale", Min: 2, Max: 5, Step: 2, Cooldown: time.Minute},
		},
		Engine: "haproxy",
		HAProxy: HAProxyConfig{
			Path: "pair.pem", MasterSocket: "/run/haproxy/master.sock", Socket: "/run/haproxy/admin.sock", StopWithFairway: true,
			HardStopAfter: time.Minute, Spares: 7, Threads: 2, Snippets: []string{"shop", "blog"}, MaxConnections: 1000,
		},
		MaxConnections: 5000, MaxConnectionsPerClient: 50,

		AccessLog:    "-",
		Log:          LogConfig{Level: "debug", Format: "json"},
		BodyTimeout:  2 * time.Minute,
		DrainTimeout: time.Minute,
		Quiet:        10 * time.Millisecond,
		Bound:        20 * time.Millisecond,
	}
}

func TestTheLaterPlaceWins(t *testing.T) {
	inDir(t, map[string]string{"fairway.yml": "quiet: 1ms\nbound: 1s\nlog: {level: warn}\nengine: ~\n", "else.yml": "quiet: 4ms"})
	o := LoadOptions{}
	check := func(step, quiet, origin string) {
		t.Helper()
		got, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Quiet.String() != quiet || got.Origins["quiet"] != origin {
			t.Errorf("%s: quiet %s from %q, want %s from %q", step, got.Quiet, got.Origins["quiet"], quiet, origin)
		}
	}
	check("file", "1ms", "fairway.yml:1")
	o.Environ = []string{"FAIRWAY_QUIET=2ms"}
	check("environment", "2ms", "env FAIRWAY_QUIET")
	o.Flags = map[string][]string{"quiet": {"9ms", "3ms"}}
	check("flag", "3ms", "flag --quiet")
	o = LoadOptions{Environ: []string{"FAIRWAY_CONFIG=else.yml"}}
	check("another file", "4ms", "else.yml:1")
	o.Path = "fairway.yml"
	check("another file by flag", "1ms", "fairway.yml:1")
	o.Path = "none.yml"
	if _, err := Load(o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that was asked for and is missing: %v", err)
	}
}

func TestIgnoredVariablesAreNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	got, err := Load(LoadOptions{Environ: []string{"FAIRWAY_LISTNE=:80", "FAIRWAY_PORT_80_TCP=x", "FAIRWAY_ADMIN=x", "FAIRWAY_LOG_LEVEL=info", "PATH=x"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"FAIRWAY_LISTNE", "FAIRWAY_PORT_80_TCP"}, got.Ignored); diff != "" {
		t.Error(diff)
	}
}

func TestDerivedDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	load := func(environ ...string) *Loaded {
		t.Helper()
		got, err := Load(LoadOptions{Environ: environ})
		var faults confload.Faults
		if err != nil && !errors.As(err, &faults) {
			t.Fatal(err)
		}
		return got
	}
	if got := load(); len(got.Docker) != 1 || got.Docker[0] != "unix:///var/run/docker.sock" || got.Origins["docker"] != "default" {
		t.Errorf("docker = %q from %q", got.Docker, got.Origins["docker"])
	}
	if got := load("FAIRWAY_FILE=a.yml"); len(got.Docker) != 0 {
		t.Errorf("with a services file, docker = %q", got.Docker)
	}
	if got := load("FAIRWAY_FILE=a.yml", "FAIRWAY_DOCKER=unix:///a.sock"); len(got.Docker) != 1 {
		t.Errorf("with both, docker = %q", got.Docker)
	}
	if got := load("FAIRWAY_SWARM=local"); len(got.Docker) != 0 || len(got.Swarm) != 1 || got.Swarm[0] != "unix:///var/run/docker.sock" {
		t.Errorf("with a Swarm, docker = %q, swarm = %q", got.Docker, got.Swarm)
	}
	if got := load("FAIRWAY_SWARM=local", "DOCKER_HOST=unix:///d.sock", "FAIRWAY_DOCKER=unix:///a.sock"); len(got.Docker) != 1 || got.Swarm[0] != "unix:///d.sock" {
		t.Errorf("with both, docker = %q, swarm = %q", got.Docker, got.Swarm)
	}
	got := load("DOCKER_HOST=tcp://10.0.0.1:2376", "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=/certs")
	if got.Docker[0] != "tcp://10.0.0.1:2376" || got.Origins["docker"] != "env DOCKER_HOST" {
		t.Errorf("docker = %q from %q", got.Docker, got.Origins["docker"])
	}
	if want := (DockerTLSConfig{"/certs/ca.pem", "/certs/cert.pem", "/certs/key.pem"}); got.DockerTLS != want || got.Origins["docker-tls.key"] != "env DOCKER_CERT_PATH" {
		t.Errorf("docker-tls = %+v from %q", got.DockerTLS, got.Origins["docker-tls.key"])
	}
	if got := load("FAIRWAY_DOCKER=unix:///a.sock", "DOCKER_HOST=tcp://10.0.0.1:2376"); got.Docker[0] != "unix:///a.sock" {
		t.Errorf("docker = %q although it was given", got.Docker)
	}
	if got := load(); got.ListenTLS != Off || got.Listen != ":80" && got.Listen != ":8000" {
		t.Errorf("listen = %q, listen-tls = %q", got.Listen, got.ListenTLS)
	}
	if got := load("FAIRWAY_TLS_CERTIFICATES=a.pem"); got.ListenTLS != ":443" && got.ListenTLS != ":8443" {
		t.Errorf("with certificates, listen-tls = %q", got.ListenTLS)
	}
}

func TestKeysAreDistinctAndExplained(t *testing.T) {
	seen := map[string]string{"FAIRWAY_CONFIG": "--config", "FAIRWAY_ADMIN": "--admin"}
	for _, f := range Fields(new(Config)) {
		if other, ok := seen[f.Env]; ok {
			t.Errorf("%s and %s have the same variable %s", f.Name, other, f.Env)
		}
		seen[f.Env] = f.Name
		if f.Name == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%q: help %q", f.Name, f.Help)
		}
		if f.Repeatable == (f.Sep == "") {
			t.Errorf("%s: repeatable %v, separator %q", f.Name, f.Repeatable, f.Sep)
		}
		if _, isSwitch := f.Pointer.(*bool); isSwitch == (f.Placeholder != "") {
			t.Errorf("%s: placeholder %q", f.Name, f.Placeholder)
		}
		f.Value(masked) // Knows the type, or panics.
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, url := range []string{"ssh://ops:hunter2@edge", "tcp://a:hunter2@[::1:2376", "http://:hunter2@x"} {
		got, err := Load(LoadOptions{Flags: map[string][]string{"docker": {url}}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", url, err)
		}
		for _, v := range got.Values() {
			if list, ok := v.Value.([]string); ok && strings.Contains(strings.Join(list, ""), "hunter2") {
				t.Errorf("%s: shown as %v", url, list)
			}
		}
	}
	got, _ := Load(LoadOptions{Flags: map[string][]string{"acme.on-demand.ask": {"http://a/allowed?key=hunter2"}, "acme.dns.url": {"http://b/dns?key=hunter2"}}})
	for _, v := range got.Values() {
		if text := fmt.Sprint(v.Value); strings.Contains(text, "hunter2") || v.Key == "acme.on-demand.ask" && text != "http://a/allowed?***" {
			t.Errorf("%s: shown as %s", v.Key, text)
		}
	}
}

func TestAdminAccess(t *testing.T) {
	inDir(t, map[string]string{
		"fairway.yml": "admin: {listen: \":9000\", token-file: token}\nbroken: true\n",
		"tls.yml":     "admin: {listen: \":9000\", tls-cert: cert.pem}\nstate-dir: state\n",
	})
	if err := os.MkdirAll("state", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("state/admin-token", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := "HOME=" + t.TempDir()
	for _, tt := range []struct {
		environ []string
		want    local.Access
	}{
		{nil, local.Access{URL: "http://127.0.0.1:9000", TokenFile: "token"}},
		{[]string{"FAIRWAY_ADMIN_LISTEN=[::1]:9001"}, local.Access{URL: "http://[::1]:9001", TokenFile: "token"}},
		{[]string{"FAIRWAY_ADMIN_LISTEN=[::]:9001", "FAIRWAY_ADMIN_TOKEN_FILE=t"}, local.Access{URL: "http://127.0.0.1:9001", TokenFile: "t"}},
		{[]string{"FAIRWAY_ADMIN_LISTEN=off"}, local.Access{URL: "http://127.0.0.1:8080", TokenFile: "token"}},
		{[]string{"FAIRWAY_ADMIN_LISTEN=unix:///run/f.sock"}, local.Access{URL: "unix:///run/f.sock", TokenFile: "token"}},
		{[]string{"FAIRWAY_CONFIG=none.yml", "FAIRWAY_STATE_DIR=nowhere"}, local.Access{URL: "http://127.0.0.1:8080", TokenFile: ""}},
		{[]string{"FAIRWAY_CONFIG=none.yml", "FAIRWAY_STATE_DIR=state"}, local.Access{URL: "http://127.0.0.1:8080", TokenFile: "state/admin-token"}},
		{[]string{"FAIRWAY_CONFIG=tls.yml"}, local.Access{URL: "https://127.0.0.1:9000", TokenFile: "state/admin-token", CertFile: "cert.pem", OwnCert: true}},
	} {
		if got := AdminAccess(LoadOptions{Environ: append(tt.environ, home)}); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.environ, got, tt.want)
		}
	}
}

func TestListeners(t *testing.T) {
	c := Config{Listen: Off, ListenTLS: ":443", TLS: TLSConfig{Certificates: []tlsoption.Certificate{{Cert: "c", Key: "k"}}}}
	got := c.Listeners()
	if len(got) != 1 || got[0].Name != "https" || !got[0].TLS || got[0].Certificates[0].KeyFile != "k" {
		t.Errorf("listeners = %+v", got)
	}
}

// Whatever the file holds, there is a configuration that passes, or faults that
// say where.
func FuzzConfig(f *testing.F) {
	paths, err := filepath.Glob("testdata/config/*.bad.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(fullConfig))
	f.Add([]byte("a: &a {b: *a}"))
	f.Add([]byte("docker: &d [x]\nfile: *d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Defaults()
		found := confload.Load(&c, confload.Options{Prefix: envPrefix, Path: "fairway.yml", Data: data})
		for _, fault := range found.Faults {
			if fault.Reason == "" || !strings.HasPrefix(fault.Origin, "fairway.yml") {
				t.Errorf("fault %+v", fault)
			}
		}
		for _, field := range Fields(&c) {
			field.Value(masked)
		}
		_ = c.Validate()
	})
}
