package app

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/route"
	"fairway/internal/rules"
)

// Off as the value of a listen key means that nothing listens there.
const Off = "off"

// Local as a value of the key swarm means the engine that the docker command
// line would use.
const Local = "local"

// Config is the shape of fairway.yml. Every leaf is a key, and every key is
// also a flag and an environment variable of the same name: the key
// admin.listen is --admin.listen and FAIRWAY_ADMIN_LISTEN. The struct tags are
// the only declaration of a key; the flags, the loader and the documentation
// are made from them:
//
//	name         the key, below the prefix of the struct it is in
//	help         one sentence for people
//	placeholder  what stands for the value in help texts
//	preset       the default, written as in the environment
//	derived      how the default is found when it depends on the machine or on other keys
//	bare         the value that the flag alone stands for
//	sep          what separates the values of a list in a flag or variable
//
// Values that are secret are never keys; their files are.
type Config struct {
	Listen         string         `name:"listen" placeholder:"ADDR" derived:":80 where that port may be bound, else :8000" help:"Address for HTTP; off for none."`
	ListenTLS      string         `name:"listen-tls" placeholder:"ADDR" derived:"off without certificates; else :443 where that port may be bound, else :8443" help:"Address for HTTPS; off for none."`
	TLS            TLSConfig      `embed:"" prefix:"tls."`
	TrustedProxies []netip.Prefix `name:"trusted-proxies" placeholder:"CIDR" sep:"," help:"Networks whose X-Forwarded headers are believed; nobody's by default."`
	TCPPorts       []string       `name:"tcp-ports" placeholder:"PORT[-PORT]" sep:"," help:"Ports that labels may open for TCP, but for those of Fairway's own addresses; none by default. Repeatable."`
	LabelFiles     []string       `name:"label-files" placeholder:"DIR" sep:"," preset:"/run/secrets,/etc/fairway/users" help:"Directories below which labels may name files, as basic-auth does; no other file is opened for a label. Repeatable."`
	Admin          AdminConfig    `embed:"" prefix:"admin."`
	StateDir       string         `name:"state-dir" placeholder:"DIR" derived:"/var/lib/fairway for root, else $XDG_STATE_HOME/fairway or ~/.local/state/fairway" help:"Directory for what is to survive a restart: the last good table, the history, commands and documents, tokens."`

	Docker         []string        `name:"docker" placeholder:"URL" sep:"," derived:"$DOCKER_HOST, else unix:///var/run/docker.sock; none when a Swarm or a services file is given, or with dockerflow.proxy.listen or fleet.file where there is no such socket" help:"Docker engine to watch: unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]. Repeatable."`
	Swarm          []string        `name:"swarm" placeholder:"URL" sep:"," bare:"local" help:"A manager of the Docker Swarm to watch, as for docker; local, or the flag alone, for the engine on this machine. Repeatable: the managers of one Swarm, of which the first that answers is asked."`
	DockerTLS      DockerTLSConfig `embed:"" prefix:"docker-tls."`
	DockerSSH      DockerSSHConfig `embed:"" prefix:"docker-ssh."`
	DockerInsecure bool            `name:"docker-insecure" preset:"false" help:"Allow tcp:// Docker engines without TLS. Whoever is on the path then owns those machines."`
	File           []string        `name:"file" placeholder:"PATH" sep:"," help:"Services file to watch. Repeatable."`

	DockerFlow DockerFlowConfig `embed:"" prefix:"dockerflow."`
	Fleet      FleetConfig      `embed:"" prefix:"fleet."`

	History HistoryConfig `embed:"" prefix:"history."`

	Notify NotifyConfig `embed:"" prefix:"notify."`
	Series SeriesConfig `embed:"" prefix:"series."`
	Rules  []rules.Rule `name:"rules" placeholder:"{…}" sep:"\n" help:"What to do when: docs/rules.md says how. In a flag or variable one a line, in braces. Repeatable."`

	Engine                  string        `name:"engine" placeholder:"NAME" preset:"embedded" help:"What makes the table live: embedded, Fairway's own proxy, or haproxy, which has to be installed."`
	HAProxy                 HAProxyConfig `embed:"" prefix:"haproxy."`
	MaxConnections          int           `name:"max-connections" placeholder:"N" derived:"the limit of open files less an eighth, which stays for all else" help:"How many connections may be open, of clients and to services together. Where there is no room, the one that has been idle longest is closed. For HAProxy there is haproxy.max-connections."`
	MaxConnectionsPerClient int           `name:"max-connections-per-client" placeholder:"N" derived:"half of max-connections" help:"How many of them one client address (IPv6: one /64) may have; trusted proxies any number. Not with HAProxy."`

	AccessLog string    `name:"access-log" placeholder:"PATH" help:"File for the access log in JSON, opened anew within a second when logrotate has moved it; - for standard output, nothing for none."`
	Log       LogConfig `embed:"" prefix:"log."`

	BodyTimeout  time.Duration `name:"body-timeout" placeholder:"DURATION" preset:"1m" help:"How long a client may pause while it sends a request body, where the labels of the route do not say."`
	DrainTimeout time.Duration `name:"drain-timeout" placeholder:"DURATION" preset:"30s" help:"How long running requests may take to finish at shutdown."`
	Quiet        time.Duration `name:"quiet" placeholder:"DURATION" preset:"50ms" help:"How long the sources must be quiet before a change is applied."`
	Bound        time.Duration `name:"bound" placeholder:"DURATION" preset:"250ms" help:"How long a change waits at most when the sources are never quiet."`
}

// TLSConfig is the keys below tls.
type TLSConfig struct {
	Certificates []Certificate `name:"certificates" placeholder:"CERT,KEY" sep:";" help:"PEM files with certificate chain and key, or one file with both. Reread when they change; the first one answers clients that name no host. Repeatable."`
}

// AdminConfig is the keys below admin.
type AdminConfig struct {
	Listen       string   `name:"listen" placeholder:"ADDR" preset:"127.0.0.1:8080" help:"Address for the admin API, its pages, health and metrics; unix:///PATH for a socket, off for none."`
	TLSCert      string   `name:"tls-cert" placeholder:"PATH" help:"PEM file with the certificate of the admin API, and its chain; reread when it changes. Needed to listen beyond loopback."`
	TLSKey       string   `name:"tls-key" placeholder:"PATH" help:"PEM file with its key."`
	ClientCA     string   `name:"client-ca" placeholder:"PATH" help:"PEM file with the authorities that vouch for client certificates, whose organisation is the role: viewer, operator or admin."`
	Insecure     bool     `name:"insecure" preset:"false" help:"Listen beyond loopback without TLS, because something in front has it. Else tokens cross the network for all to read."`
	AllowedHosts []string `name:"allowed-hosts" placeholder:"HOST" sep:"," help:"Further Host headers the admin API answers to, besides loopback names, those in its certificate and the address it listens on."`
	TokenFile    string   `name:"token-file" placeholder:"PATH" help:"File with a token for admin, besides those that fairway token makes; without it the first one is written to admin-token in state-dir."`
	Anonymous    string   `name:"anonymous" placeholder:"ROLE" derived:"viewer on a loopback address, admin on a unix socket; none beyond this machine and with admin.token-file" help:"Role of those who show no token: none, viewer, operator or admin."`
}

// DockerTLSConfig is the keys below docker-tls. They hold for every tcp://
// engine.
type DockerTLSConfig struct {
	CA   string `name:"ca" placeholder:"PATH" help:"PEM file with the authorities that may vouch for tcp:// Docker engines."`
	Cert string `name:"cert" placeholder:"PATH" help:"PEM file with the client certificate for tcp:// Docker engines."`
	Key  string `name:"key" placeholder:"PATH" help:"PEM file with the key of the client certificate."`
}

// DockerSSHConfig is the keys below docker-ssh. They hold for every ssh://
// engine.
type DockerSSHConfig struct {
	KnownHosts string `name:"known-hosts" placeholder:"PATH" derived:"~/.ssh/known_hosts" help:"File with the host keys of ssh:// Docker engines."`
	Identity   string `name:"identity" placeholder:"PATH" help:"File with the private key, without passphrase, for ssh:// Docker engines. An SSH agent (SSH_AUTH_SOCK) is asked first."`
}

// DockerFlowConfig is the keys below dockerflow. The faces also read the variables
// of what they stand for; docs/docker-flow-env.md lists them.
type DockerFlowConfig struct {
	Labels   bool                     `name:"labels" preset:"false" help:"Read labels that begin with com.df., as Docker Flow Proxy does; dockerflow.proxy.listen turns that on, too."`
	Proxy    DockerFlowProxyConfig    `embed:"" prefix:"proxy."`
	Listener DockerFlowListenerConfig `embed:"" prefix:"listener."`
}

// DockerFlowProxyConfig is the keys below dockerflow.proxy.
type DockerFlowProxyConfig struct {
	Listen       string `name:"listen" placeholder:"ADDR" preset:"off" help:"Address for the API of Docker Flow Proxy, which asks nobody who they are; off for none. Its usual port, 8080, is that of admin.listen: move one of them."`
	Certificates string `name:"certificates" placeholder:"DIR" derived:"certificates in state-dir" help:"Directory for the certificates that the API of Docker Flow Proxy is sent."`
}

// DockerFlowListenerConfig is the keys below dockerflow.listener.
type DockerFlowListenerConfig struct {
	Listen string `name:"listen" placeholder:"ADDR" preset:"off" help:"Address for the API of Docker Flow Swarm Listener; off for none. Only with it are the notifications sent that its variables ask for."`
}

// LogConfig is the keys below log.
type LogConfig struct {
	Level  string `name:"level" placeholder:"LEVEL" preset:"info" help:"Least severe messages to write: debug, info, warn or error."`
	Format string `name:"format" placeholder:"FORMAT" preset:"text" help:"Form of messages: text or json."`
}

// Certificate is a key pair in PEM files. Its text form is "cert.pem,key.pem",
// or one path for a file that holds both.
type Certificate struct {
	Cert string
	Key  string
}

// UnmarshalText reads the text form.
func (c *Certificate) UnmarshalText(text []byte) error {
	cert, key, two := strings.Cut(string(text), ",")
	if !two {
		key = cert
	}
	cert, key = strings.TrimSpace(cert), strings.TrimSpace(key)
	if cert == "" || key == "" || strings.Contains(key, ",") {
		return errors.New("write CERT,KEY, or one path for a file with both")
	}
	*c = Certificate{Cert: cert, Key: key}
	return nil
}

// String returns the text form.
func (c Certificate) String() string {
	if c.Cert == c.Key {
		return c.Cert
	}
	return c.Cert + "," + c.Key
}

// Key describes one key of the configuration.
type Key struct {
	// Name is the key, dotted, and the flag without its dashes.
	Name string
	// Env is the environment variable.
	Env string
	// Help is one sentence for people.
	Help string
	// Placeholder stands for the value in help texts; empty for switches.
	Placeholder string
	// Default is what holds when the key is not given, for people: a value, or
	// the rule by which one is found. Empty means nothing.
	Default string
	// Repeatable keys take several values.
	Repeatable bool
	// Bare is the value that the flag alone stands for; empty for a flag that
	// needs one.
	Bare string

	preset string
	sep    string
}

// Field is one key of a Config with the place of its value.
type Field struct {
	Key
	// Pointer is a *string, *bool, *int, *time.Duration, *[]string, *[]netip.Prefix
	// or *[]Certificate into the Config.
	Pointer any
}

// Fields returns every key of c in the order of declaration.
func Fields(c *Config) []Field {
	return structFields(reflect.ValueOf(c).Elem(), "")
}

func structFields(v reflect.Value, prefix string) []Field {
	var fields []Field
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if _, embedded := tag.Lookup("embed"); embedded {
			fields = append(fields, structFields(v.Field(i), prefix+tag.Get("prefix"))...)
			continue
		}
		name := prefix + tag.Get("name")
		def := tag.Get("preset")
		if def == "" {
			def = tag.Get("derived")
		}
		fields = append(fields, Field{
			Key: Key{
				Name:        name,
				Env:         "FAIRWAY_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name)),
				Help:        tag.Get("help"),
				Placeholder: tag.Get("placeholder"),
				Default:     def,
				Repeatable:  v.Field(i).Kind() == reflect.Slice,
				Bare:        tag.Get("bare"),
				preset:      tag.Get("preset"),
				sep:         tag.Get("sep"),
			},
			Pointer: v.Field(i).Addr().Interface(),
		})
	}
	return fields
}

// Defaults returns the configuration of a program that was told nothing.
// Keys whose default depends on the machine or on other keys are empty until
// Complete fills them.
func Defaults() Config {
	var c Config
	for _, f := range Fields(&c) {
		if f.preset == "" {
			continue
		}
		texts := []string{f.preset}
		if f.Repeatable {
			texts = strings.Split(f.preset, f.sep)
		}
		if err := f.set(texts); err != nil {
			panic("app: default of " + f.Name + ": " + err.Error()) // A constant of ours; every test would see it.
		}
	}
	return c
}

// Complete fills the keys whose default depends on the machine or on other
// keys, where they are empty. getenv is os.Getenv, or stands for it.
func (c *Config) Complete(getenv func(string) string) {
	if c.Listen == "" {
		c.Listen = port(80, 8000)
	}
	if c.ListenTLS == "" {
		c.ListenTLS = Off
		if len(c.TLS.Certificates) > 0 || c.DockerFlow.Proxy.on() {
			c.ListenTLS = port(443, 8443)
		}
	}
	if c.StateDir == "" {
		c.StateDir = stateDir(getenv, os.Geteuid() == 0)
	}
	if c.DockerFlow.Proxy.Certificates == "" {
		c.DockerFlow.Proxy.Certificates = filepath.Join(c.StateDir, "certificates")
	}
	if len(c.Docker) == 0 && len(c.Swarm) == 0 && len(c.File) == 0 && c.wantsEngine(getenv) {
		c.Docker = []string{c.localEngine(getenv)}
	}
	c.Swarm = slices.Clone(c.Swarm)
	for i, u := range c.Swarm {
		if u == Local {
			c.Swarm[i] = c.localEngine(getenv)
		}
	}
}

// wantsEngine tells whether the engine of the machine is watched when nothing says
// what is. A proxy that is told of services by calls, or one that manages a fleet,
// may have none.
func (c *Config) wantsEngine(getenv func(string) string) bool {
	if !c.DockerFlow.Proxy.on() && c.Fleet.File == "" || getenv("DOCKER_HOST") != "" {
		return true
	}
	_, err := os.Stat(dockerapi.DefaultSocket)
	return err == nil
}

// localEngine chooses the engine that the docker command line would use.
func (c *Config) localEngine(getenv func(string) string) string {
	host := getenv("DOCKER_HOST")
	if host == "" {
		return "unix:///var/run/docker.sock"
	}
	if dir := getenv("DOCKER_CERT_PATH"); dir != "" && getenv("DOCKER_TLS_VERIFY") != "" && c.DockerTLS == (DockerTLSConfig{}) {
		c.DockerTLS = DockerTLSConfig{
			CA:   filepath.Join(dir, "ca.pem"),
			Cert: filepath.Join(dir, "cert.pem"),
			Key:  filepath.Join(dir, "key.pem"),
		}
	}
	return host
}

// port returns the address of the privileged port, or the other one where the
// machine forbids it. A privileged port that somebody else has is still the
// answer: the reader of the error then knows what to stop.
func port(privileged, other int) string {
	if !mayBind(privileged, os.ReadFile, os.Geteuid() == 0) {
		privileged = other
	}
	return ":" + strconv.Itoa(privileged)
}

// capNetBindService is the number of the capability to bind privileged ports,
// CAP_NET_BIND_SERVICE in capabilities(7).
const capNetBindService = 10

// mayBind tells whether this process may bind a port. It asks Linux instead of
// trying, since a port that is tried is taken for that moment; elsewhere root
// may, and nobody else.
func mayBind(port int, readFile func(string) ([]byte, error), root bool) bool {
	if data, err := readFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		if first, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && port >= first {
			return true
		}
	}
	status, err := readFile("/proc/self/status")
	if err != nil {
		return root
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "CapEff:"); ok {
			capabilities, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && capabilities&(1<<capNetBindService) != 0
		}
	}
	return root
}

func stateDir(getenv func(string) string, root bool) string {
	if root {
		return "/var/lib/fairway"
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fairway")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "fairway")
	}
	return filepath.Join(os.TempDir(), "fairway-"+strconv.Itoa(os.Geteuid()))
}

// Listeners returns the listeners that the configuration asks for: "http"
// and, when it is not off, "https".
func (c *Config) Listeners() []route.Listener {
	var listeners []route.Listener
	if c.Listen != Off {
		listeners = append(listeners, route.Listener{Name: "http", Address: c.Listen, TrustedProxies: c.TrustedProxies})
	}
	if c.ListenTLS != Off {
		l := route.Listener{Name: "https", Address: c.ListenTLS, TLS: true, TrustedProxies: c.TrustedProxies}
		for _, cert := range c.TLS.Certificates {
			l.Certificates = append(l.Certificates, route.Certificate{CertFile: cert.Cert, KeyFile: cert.Key})
		}
		listeners = append(listeners, l)
	}
	return listeners
}
