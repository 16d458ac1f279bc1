package app

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fairway/internal/acme/setup"
	"fairway/internal/admin/oidc"
	"fairway/internal/app/dialects"
	"fairway/internal/app/machine"
	"fairway/internal/confload"
	consulsetup "fairway/internal/consul/setup"
	names "fairway/internal/dns/server"
	"fairway/internal/dockerapi"
	"fairway/internal/notify"
	"fairway/internal/owners"
	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
	"fairway/internal/rules"
)

// Off as the value of a listen key means that nothing listens there.
const Off = "off"

// Local as a value of the key swarm is the engine that the docker command line would use.
const Local = "local"

// The names of engines.
const (
	EngineEmbedded = "embedded"
	EngineHAProxy  = "haproxy"
)

// Config is the shape of fairway.yml. Every leaf is a key, a flag and an environment
// variable: admin.listen, --admin.listen and FAIRWAY_ADMIN_LISTEN. The tags, of confload,
// are the only declaration of a key. Secrets are never keys; their files are.
type Config struct {
	Listen         string         `name:"listen" placeholder:"ADDR" derived:":80 where that port may be bound, else :8000" help:"Address for HTTP; off for none."`
	ListenTLS      string         `name:"listen-tls" placeholder:"ADDR" derived:"off without certificates and acme; else :443 where that port may be bound, else :8443" help:"Address for HTTPS; off for none."`
	TLS            TLSConfig      `embed:"" prefix:"tls."`
	TrustedProxies []netip.Prefix `name:"trusted-proxies" placeholder:"CIDR" sep:"," help:"Networks whose X-Forwarded headers are trusted; none by default."`
	TCPPorts       []string       `name:"tcp-ports" placeholder:"PORT[-PORT]" sep:"," help:"Ports that labels may open for TCP, except Fairway's own; none by default. Repeatable."`
	LabelFiles     []string       `name:"label-files" placeholder:"DIR" sep:"," preset:"/run/secrets,/etc/fairway/users" help:"Directories below which labels may name files, as basic-auth does; no others are opened. Repeatable."`
	Defaults       DefaultsConfig `embed:"" prefix:"defaults."`
	ErrorPages     []ErrorPages   `name:"error-pages" placeholder:"{…}" sep:"\n" help:"Sets of pages for browsers where Fairway answers with an error: a name, which the label error-pages uses, and a directory. The set default is for all routes that name none. Reread on changes. Repeatable."`
	ACME           setup.Config   `embed:"" prefix:"acme."`
	Admin          AdminConfig    `embed:"" prefix:"admin."`
	StateDir       string         `name:"state-dir" placeholder:"DIR" derived:"/var/lib/fairway for root, else $XDG_STATE_HOME/fairway or ~/.local/state/fairway" help:"Directory for state that survives restarts: last good table, history, commands, documents, tokens."`

	HTTP3 tlsoption.QUICConfig `embed:""`

	Docker         []string        `name:"docker" placeholder:"URL" sep:"," derived:"$DOCKER_HOST, else unix:///var/run/docker.sock; none when a Swarm, a services file, consul.source or consul.kv is given, or with dockerflow.proxy.listen or fleet.file where there is no such socket" help:"Docker engine to watch: unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]. Repeatable."`
	Swarm          []string        `name:"swarm" placeholder:"URL" sep:"," bare:"local" help:"Manager of the Docker Swarm to watch, as for docker; local, or the flag alone, for the engine on this machine. Repeatable: the managers of one Swarm; the first that answers is used."`
	DockerTLS      DockerTLSConfig `embed:"" prefix:"docker-tls."`
	DockerSSH      DockerSSHConfig `embed:"" prefix:"docker-ssh."`
	DockerInsecure bool            `name:"docker-insecure" preset:"false" help:"Allow tcp:// Docker engines without TLS. Anyone on the network path can then control those machines."`
	DockerLabel    string          `name:"docker-label" placeholder:"LABEL[=VALUE]" help:"Watch only containers with this label; empty for all. Not for a Swarm."`
	SharedServices []string        `name:"shared-services" placeholder:"NAME" sep:"," help:"Services that containers of several Compose projects may join by the label fairway.service; elsewhere the project that was there first has the name. Repeatable."`
	File           []string        `name:"file" placeholder:"PATH" sep:"," help:"Services file to watch. Repeatable."`

	Owners []owners.Record `name:"owners" placeholder:"{…}" sep:"\n" help:"Who may claim which hosts, paths and ports, as in docs/owners.md: the first record that fits an owner decides, and one that none fits may claim everything. In a flag or variable one a line, in braces. Repeatable."`

	Dialects dialects.Config `embed:""`

	DNS names.Config `embed:"" prefix:"dns."`

	Consul consulsetup.Config `embed:"" prefix:"consul."`

	DockerFlow DockerFlowConfig `embed:"" prefix:"dockerflow."`
	Fleet      FleetConfig      `embed:"" prefix:"fleet."`

	History HistoryConfig `embed:"" prefix:"history."`

	Notify NotifyConfig `embed:"" prefix:"notify."`
	Series SeriesConfig `embed:"" prefix:"series."`
	Rules  []rules.Rule `name:"rules" placeholder:"{…}" sep:"\n" help:"Rules, as in docs/rules.md. In a flag or variable one a line, in braces. Repeatable."`

	Engine                  string        `name:"engine" placeholder:"NAME" preset:"embedded" help:"Proxy engine: embedded, or haproxy, which has to be installed."`
	HAProxy                 HAProxyConfig `embed:"" prefix:"haproxy."`
	MaxConnections          int           `name:"max-connections" placeholder:"N" derived:"the limit of open files less an eighth, which stays for all else" least:"0" most:"10000000" help:"Maximum number of open connections, of clients and to services together. At the limit the longest idle one is closed. For HAProxy use haproxy.max-connections."`
	MaxConnectionsPerClient int           `name:"max-connections-per-client" placeholder:"N" derived:"half of max-connections" least:"0" most:"10000000" help:"Maximum for one client address (IPv6: one /64); trusted proxies are exempt. Not with HAProxy."`

	AccessLog string    `name:"access-log" placeholder:"PATH" help:"File for the access log in JSON, reopened within a second after logrotate; - for standard output, empty for none."`
	Log       LogConfig `embed:"" prefix:"log."`

	BodyTimeout  time.Duration `name:"body-timeout" placeholder:"DURATION" preset:"1m" least:"1s" most:"1h" help:"Maximum pause of a client within a request body, unless labels of the route say otherwise."`
	DrainTimeout time.Duration `name:"drain-timeout" placeholder:"DURATION" preset:"30s" least:"0s" most:"1h" help:"Maximum time for running requests to finish at shutdown."`
	Quiet        time.Duration `name:"quiet" placeholder:"DURATION" preset:"50ms" least:"0s" most:"1m" help:"Time without changes before a change is applied."`
	Bound        time.Duration `name:"bound" placeholder:"DURATION" preset:"250ms" least:"0s" most:"1m" help:"Maximum time that a change waits while others follow."`
}

// TLSConfig is the keys below tls.
type TLSConfig struct {
	Certificates     []tlsoption.Certificate `name:"certificates" placeholder:"CERT,KEY" sep:";" help:"PEM files with certificate chain and key, or one file with both. Reread when they change; the first one answers clients that name no host. Repeatable."`
	tlsoption.Config `embed:""`
}

// DefaultsConfig is the keys below defaults: labels that every route has unless its own say
// otherwise. internal/compile reads the values.
type DefaultsConfig struct {
	RedirectHTTPS  string       `name:"redirect-https" placeholder:"true" oneof:"true,false" help:"Default for the label redirect-https."`
	HSTS           string       `name:"hsts" placeholder:"1y" help:"Default for the label hsts, such as 1y subdomains. It needs listen-tls, or trusted-proxies that have TLS."`
	Compress       string       `name:"compress" placeholder:"true" oneof:"true,false" help:"Default for the label compress."`
	MaxBody        string       `name:"max-body" placeholder:"SIZE" help:"Default for the label max-body, such as 10MB."`
	RateLimit      string       `name:"rate-limit" placeholder:"RATE" help:"Default for the label rate-limit, such as 100/s burst 200, for each route."`
	IPAllow        []string     `name:"ip-allow" placeholder:"CIDR" sep:"," help:"Default for the label ip-allow. Repeatable."`
	BasicAuth      string       `name:"basic-auth" placeholder:"file:PATH" help:"Default for the label basic-auth; the file is below a directory of label-files."`
	Timeout        string       `name:"timeout" placeholder:"DURATION" help:"Default for the label timeout."`
	Idle           string       `name:"idle" placeholder:"DURATION" help:"Default for the label idle."`
	Hold           string       `name:"hold" placeholder:"DURATION" help:"Default for the label hold."`
	RequestSet     []HeaderLine `name:"headers.request.set" placeholder:"'NAME: VALUE'" sep:"\n" pairs:"" help:"Headers that every request to a service has, as by the label. In a flag or variable one a line. Repeatable."`
	RequestAdd     []HeaderLine `name:"headers.request.add" placeholder:"'NAME: VALUE'" sep:"\n" pairs:"" help:"Headers that are added to every request. Repeatable."`
	RequestRemove  []string     `name:"headers.request.remove" placeholder:"NAME" sep:"," help:"Headers that are taken off every request. Repeatable."`
	ResponseSet    []HeaderLine `name:"headers.response.set" placeholder:"'NAME: VALUE'" sep:"\n" pairs:"" help:"Headers that every response has, such as X-Content-Type-Options: nosniff. Repeatable."`
	ResponseAdd    []HeaderLine `name:"headers.response.add" placeholder:"'NAME: VALUE'" sep:"\n" pairs:"" help:"Headers that are added to every response. Repeatable."`
	ResponseRemove []string     `name:"headers.response.remove" placeholder:"NAME" sep:"," help:"Headers that are taken off every response, such as Server. Repeatable."`
	Balance        string       `name:"balance" placeholder:"POLICY" help:"Default for the label balance."`
	Sticky         string       `name:"sticky" placeholder:"COOKIE" help:"Default for the label sticky."`
	SlowStart      string       `name:"slow-start" placeholder:"DURATION" help:"Default for the label slow-start."`
	MaxFails       string       `name:"max-fails" placeholder:"N" help:"Default for the label max-fails."`
	Locked         []string     `name:"locked" placeholder:"KEY" sep:"," help:"Defaults that no label may change or take off: basic-auth, ip-allow. Repeatable."`
}

// AdminConfig is the keys below admin.
type AdminConfig struct {
	Listen       string      `name:"listen" placeholder:"ADDR" preset:"127.0.0.1:8080" help:"Address for the admin API, its pages, health and metrics; unix:///PATH for a socket, off for none."`
	TLSCert      string      `name:"tls-cert" placeholder:"PATH" file:"" needs:"admin.tls-key" help:"PEM file with the certificate of the admin API, and its chain; reread when it changes. Needed to listen beyond loopback."`
	TLSKey       string      `name:"tls-key" placeholder:"PATH" file:"" needs:"admin.tls-cert" help:"PEM file with its key."`
	ClientCA     string      `name:"client-ca" placeholder:"PATH" file:"" needs:"admin.tls-cert" help:"CA certificates in PEM for client certificates, whose organisation is the role: viewer, operator or admin."`
	Insecure     bool        `name:"insecure" preset:"false" help:"Listen beyond loopback without TLS, behind a proxy with TLS. Otherwise tokens cross the network in clear."`
	AllowedHosts []string    `name:"allowed-hosts" placeholder:"HOST" sep:"," help:"Further Host headers to accept, besides loopback names, those in the certificate and the listen address."`
	TokenFile    string      `name:"token-file" placeholder:"PATH" file:"" help:"File with a token for admin, besides those that fairway token makes; without it the first one is written to admin-token in state-dir."`
	Anonymous    string      `name:"anonymous" placeholder:"ROLE" derived:"viewer on a loopback address, admin on a unix socket; none beyond this machine, with admin.token-file and with admin.oidc" oneof:"none,viewer,operator,admin" help:"Role of clients without a token: none, viewer, operator or admin."`
	OIDC         oidc.Config `embed:"" prefix:"oidc."`
}

// DockerTLSConfig is the keys below docker-tls, for every tcp:// engine.
type DockerTLSConfig struct {
	CA   string `name:"ca" placeholder:"PATH" file:"" help:"CA certificates in PEM for tcp:// Docker engines."`
	Cert string `name:"cert" placeholder:"PATH" file:"" needs:"docker-tls.key" help:"PEM file with the client certificate for tcp:// Docker engines."`
	Key  string `name:"key" placeholder:"PATH" file:"" needs:"docker-tls.cert" help:"PEM file with the key of the client certificate."`
}

// DockerSSHConfig is the keys below docker-ssh, for every ssh:// engine.
type DockerSSHConfig struct {
	KnownHosts string `name:"known-hosts" placeholder:"PATH" derived:"~/.ssh/known_hosts" file:"" help:"File with the host keys of ssh:// Docker engines."`
	Identity   string `name:"identity" placeholder:"PATH" file:"" help:"File with the private key, without passphrase, for ssh:// Docker engines. An SSH agent (SSH_AUTH_SOCK) goes first."`
}

// DockerFlowConfig is the keys below dockerflow. The compatibility APIs also read the
// variables of Docker Flow; docs/docker-flow-env.md lists them.
type DockerFlowConfig struct {
	Labels   bool                     `name:"labels" preset:"false" help:"Read the labels of Docker Flow Proxy (com.df.); implied by dockerflow.proxy.listen."`
	Proxy    DockerFlowProxyConfig    `embed:"" prefix:"proxy."`
	Listener DockerFlowListenerConfig `embed:"" prefix:"listener."`
}

// DockerFlowProxyConfig is the keys below dockerflow.proxy.
type DockerFlowProxyConfig struct {
	Listen       string `name:"listen" placeholder:"ADDR" preset:"off" help:"Address for the API of Docker Flow Proxy, which has no authentication; off for none. Its usual port, 8080, is that of admin.listen: move one of them."`
	Certificates string `name:"certificates" placeholder:"DIR" derived:"certificates in state-dir" help:"Directory for certificates sent to the API of Docker Flow Proxy."`
}

// DockerFlowListenerConfig is the keys below dockerflow.listener.
type DockerFlowListenerConfig struct {
	Listen string `name:"listen" placeholder:"ADDR" preset:"off" help:"Address for the API of Docker Flow Swarm Listener; off for none. Its notifications are sent only when it is on."`
}

// LogConfig is the keys below log.
type LogConfig struct {
	Level  string `name:"level" placeholder:"LEVEL" preset:"info" oneof:"debug,info,warn,error" help:"Lowest level to log: debug, info, warn or error."`
	Format string `name:"format" placeholder:"FORMAT" preset:"text" oneof:"text,json" help:"Log format: text or json."`
}

// FleetConfig is the keys below fleet.
type FleetConfig struct {
	File     string `name:"file" placeholder:"PATH" file:"" help:"Fleet file with the managed hosts and the readers of their configurations. Reread on changes."`
	Listen   string `name:"listen" placeholder:"ADDR" preset:"off" help:"Address for HAProxies to fetch their configurations, as /haproxy/NAME; off for none."`
	TLSCert  string `name:"tls-cert" placeholder:"PATH" file:"" needs:"fleet.tls-key" help:"PEM file with the certificate of that address, and its chain; reread for each connection."`
	TLSKey   string `name:"tls-key" placeholder:"PATH" file:"" needs:"fleet.tls-cert" help:"PEM file with its key."`
	ClientCA string `name:"client-ca" placeholder:"PATH" file:"" needs:"fleet.tls-cert" help:"CA certificates in PEM for client certificates of readers."`
}

// HAProxyConfig is the keys below haproxy. They mean nothing to other engines.
type HAProxyConfig struct {
	Path            string        `name:"path" placeholder:"PATH" derived:"haproxy in PATH, else in the usual places" file:"" help:"HAProxy binary, 2.6 or newer, with Lua."`
	MasterSocket    string        `name:"master-socket" placeholder:"PATH" needs:"haproxy.socket" help:"Master socket of an external HAProxy on this machine that runs haproxy.cfg in state-dir/haproxy; none is started then. Needs haproxy.socket."`
	Socket          string        `name:"socket" placeholder:"PATH" needs:"haproxy.master-socket" help:"Runtime socket of that HAProxy, with level admin."`
	StopWithFairway bool          `name:"stop-with-fairway" preset:"false" help:"Stop HAProxy with Fairway, instead of leaving it for the next Fairway to take over. Ctrl-C and the end of a container always stop it."`
	HardStopAfter   time.Duration `name:"hard-stop-after" placeholder:"DURATION" preset:"30m" least:"1s" most:"24h" help:"Maximum time for connections of an old worker after a reload."`
	Spares          int           `name:"spares" placeholder:"N" preset:"50" least:"0" most:"10000" help:"Number of services that may come without a reload, until a reload for another reason. Each costs some 10 kB."`
	Threads         int           `name:"threads" placeholder:"N" derived:"one for each CPU" least:"0" most:"64" help:"Number of threads of a worker."`
	Snippets        []string      `name:"snippets" placeholder:"SERVICE" sep:"," help:"Services whose labels may hold lines of HAProxy's configuration (com.df.backendExtra); * for all. Such lines can bypass the protection of other services. Repeatable."`
	MaxConnections  int           `name:"max-connections" placeholder:"N" derived:"as many as the limit of open files allows" least:"0" most:"10000000" help:"Maximum number of connections of a worker."`
}

// HistoryConfig is the keys below history.
type HistoryConfig struct {
	Entries int `name:"entries" placeholder:"N" preset:"2000" least:"100" most:"1000000" help:"Number of tables that the history keeps, for 90 days; the newest 100 are kept for ever. docs/history.md says what they cost."`
}

// NotifyConfig is the keys below notify.
type NotifyConfig struct {
	Channels []notify.Channel `name:"channels" placeholder:"{…}" sep:"\n" help:"Notification channels: webhook, mail or Slack, as in docs/notify.md. In a flag or variable one a line, in braces. Repeatable."`
	Settle   time.Duration    `name:"settle" placeholder:"DURATION" preset:"10s" least:"0s" most:"1h" help:"Time that a service, an instance, a source or a route must be failing before it is reported; a node that is down is reported at once."`
	Name     string           `name:"name" placeholder:"NAME" derived:"the name of this machine" help:"Name of this Fairway in notifications."`
}

// SeriesConfig is the keys below series.
type SeriesConfig struct {
	Every    time.Duration `name:"every" placeholder:"DURATION" preset:"10s" help:"Interval for recording the usage of containers and the traffic of routes, 1s to 1m; 0s for never."`
	Subjects int           `name:"subjects" placeholder:"N" preset:"500" least:"10" most:"20000" help:"Maximum number each of instances, services and routes to record; a tenth for nodes. It sets the size of the files: docs/rules.md."`
}

// envPrefix begins the names of Fairway's environment variables.
const envPrefix = "FAIRWAY_"

// Fields returns every key of c in the order of declaration.
func Fields(c *Config) []confload.Field { return confload.Fields(c, envPrefix) }

// Defaults returns the defaults but for those that Complete fills in.
func Defaults() Config {
	var c Config
	confload.Preset(&c)
	return c
}

// Complete fills empty keys whose default depends on the machine or on other keys.
func (c *Config) Complete(env map[string]string) {
	if c.Listen == "" {
		c.Listen = machine.Port(80, 8000)
	}
	if c.ListenTLS == "" {
		c.ListenTLS = Off
		if len(c.TLS.Certificates) > 0 || c.DockerFlow.Proxy.on() || c.ACME.On() {
			c.ListenTLS = machine.Port(443, 8443)
		}
	}
	c.Consul.Complete(env)
	c.ACME.Complete(c.Engine == EngineHAProxy, c.Listen != Off)
	if c.StateDir == "" {
		c.StateDir = machine.StateDir(env, os.Geteuid() == 0)
	}
	if c.DockerFlow.Proxy.Certificates == "" {
		c.DockerFlow.Proxy.Certificates = filepath.Join(c.StateDir, "certificates")
	}
	if len(c.Docker) == 0 && len(c.Swarm) == 0 && len(c.File) == 0 && !c.Consul.Reads() && c.wantsEngine(env) {
		c.Docker = []string{c.localEngine(env)}
	}
	c.Swarm = slices.Clone(c.Swarm)
	for i, u := range c.Swarm {
		if u == Local {
			c.Swarm[i] = c.localEngine(env)
		}
	}
}

// wantsEngine reports whether the engine of this machine is the default source: with calls
// or a fleet there may be none.
func (c *Config) wantsEngine(env map[string]string) bool {
	if !c.DockerFlow.Proxy.on() && c.Fleet.File == "" || env["DOCKER_HOST"] != "" {
		return true
	}
	_, err := os.Stat(dockerapi.DefaultSocket)
	return err == nil
}

// localEngine chooses the engine that the docker command line would use.
func (c *Config) localEngine(env map[string]string) string {
	host := env["DOCKER_HOST"]
	if host == "" {
		return "unix:///var/run/docker.sock"
	}
	if dir := env["DOCKER_CERT_PATH"]; dir != "" && env["DOCKER_TLS_VERIFY"] != "" && c.DockerTLS == (DockerTLSConfig{}) {
		c.DockerTLS = DockerTLSConfig{
			CA:   filepath.Join(dir, "ca.pem"),
			Cert: filepath.Join(dir, "cert.pem"),
			Key:  filepath.Join(dir, "key.pem"),
		}
	}
	return host
}

// Listeners returns the listeners that are not off, of "http" and "https".
func (c *Config) Listeners() []route.Listener {
	var listeners []route.Listener
	hosts := c.TLS.HostList()
	if c.Listen != Off {
		listeners = append(listeners, route.Listener{Name: "http", Address: c.Listen, TrustedProxies: c.TrustedProxies, Hosts: hosts})
	}
	if c.ListenTLS != Off {
		l := route.Listener{Name: "https", Address: c.ListenTLS, TLS: true, TrustedProxies: c.TrustedProxies, TLSOptions: c.TLS.Options(), Hosts: hosts}
		l.QUIC.Address, l.QUIC.Port = c.HTTP3.QUIC()
		for _, cert := range c.TLS.Certificates {
			l.Certificates = append(l.Certificates, route.Certificate{CertFile: cert.Cert, KeyFile: cert.Key})
		}
		listeners = append(listeners, l)
	}
	return listeners
}
