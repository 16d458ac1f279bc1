// Package setup makes what reads and writes Consul out of the keys below consul in the configuration.
package setup

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/discovery"
	source "fairway/internal/discovery/consul"
	"fairway/internal/discovery/consulkv"
	"fairway/internal/metrics"
	"fairway/internal/publish"
	sink "fairway/internal/publish/consul"
)

// Local stands for the datacenter of the agent.
const Local = "local"

const maxSources = 32

// Config is the keys below consul, as in docs/consul.md.
type Config struct {
	Address   []string  `name:"address" placeholder:"URL" sep:"," derived:"$CONSUL_HTTP_ADDR, else 127.0.0.1:8500" help:"Agent of Consul: http(s)://HOST:PORT or unix:///PATH; more are asked where one cannot be reached. Repeatable."`
	Insecure  bool      `name:"insecure" preset:"false" help:"Allow plain HTTP to a Consul beyond this machine. Its token can then be read on the way."`
	TokenFile string    `name:"token-file" placeholder:"PATH" derived:"$CONSUL_HTTP_TOKEN_FILE; without one the token in $CONSUL_HTTP_TOKEN" file:"" help:"File with the ACL token for Consul; read for each call."`
	TLS       TLSConfig `embed:"" prefix:"tls."`

	Source   []string `name:"source" placeholder:"DATACENTER" sep:"," bare:"local" help:"Datacenter whose services are read; local, or the flag alone, for that of the agent. Repeatable."`
	Services string   `name:"services" placeholder:"WHICH" preset:"labelled" oneof:"labelled,all" help:"Services that are read: labelled, those with a tag that is a label (fairway.host=app.example); or all."`
	Watches  int      `name:"watches" placeholder:"N" preset:"100" least:"1" most:"100" help:"Number of services whose changes are seen at once, of all datacenters; those of others within 10 seconds. The ones that changed last are among them."`
	Warning  string   `name:"warning" placeholder:"HOW" preset:"ready" oneof:"ready,unhealthy" help:"What an instance with a warning is: ready or unhealthy."`

	KV string `name:"kv" placeholder:"PREFIX" help:"Path in the keys of Consul below which each key is a services file, as for file."`

	Publish PublishConfig `embed:"" prefix:"publish."`
}

// TLSConfig is the keys below consul.tls.
type TLSConfig struct {
	CA         string `name:"ca" placeholder:"PATH" derived:"$CONSUL_CACERT" file:"" help:"CA certificates in PEM for https:// addresses of Consul, in the place of those of the machine."`
	Cert       string `name:"cert" placeholder:"PATH" derived:"$CONSUL_CLIENT_CERT" file:"" needs:"consul.tls.key" help:"PEM file with the client certificate for Consul; reread."`
	Key        string `name:"key" placeholder:"PATH" derived:"$CONSUL_CLIENT_KEY" file:"" needs:"consul.tls.cert" help:"PEM file with its key."`
	ServerName string `name:"server-name" placeholder:"NAME" derived:"$CONSUL_TLS_SERVER_NAME, else the host of the address" help:"Name in the certificate of Consul."`
}

// PublishConfig is the keys below consul.publish.
type PublishConfig struct {
	Services string        `name:"services" placeholder:"WHICH" bare:"labelled" oneof:"labelled,all,none" help:"What is written into Consul: labelled (or the flag alone), instances with the label fairway.publish or the variable SERVICE_NAME; all; or none, which removes what was written. Nothing is written where it is not set."`
	Dialect  string        `name:"dialect" placeholder:"NAME" preset:"fairway" oneof:"fairway,registrator" help:"Form of the entries: fairway, or registrator, with the IDs, names and addresses of gliderlabs/registrator."`
	Address  string        `name:"address" placeholder:"WHERE" preset:"published" oneof:"published,container" help:"Address of the entries: published, on the host, or container, its own."`
	IP       string        `name:"ip" placeholder:"IP" derived:"the address of the agent, where that is on this machine" help:"Address of this machine in entries."`
	IPLabel  string        `name:"ip-label" placeholder:"LABEL" help:"Label of containers that has the address of their entries."`
	Host     string        `name:"host" placeholder:"NAME" derived:"the name of this machine" help:"First part of the IDs with the dialect registrator."`
	Tags     []string      `name:"tags" placeholder:"TAG" sep:"," help:"Tags that every entry has. Repeatable."`
	Check    string        `name:"check" placeholder:"KIND" preset:"none" oneof:"none,tcp" help:"Check that the agent makes of every TCP entry: none, or tcp, which connects."`
	Lease    time.Duration `name:"lease" placeholder:"DURATION" preset:"1h" least:"1m" most:"720h" help:"Time that entries stay passing when Fairway does not come back."`
	Forget   time.Duration `name:"forget" placeholder:"DURATION" preset:"72h" least:"1m" most:"8760h" help:"Time that entries stay critical before Consul removes them."`
	OnStop   string        `name:"on-stop" placeholder:"WHAT" preset:"keep" oneof:"keep,critical,remove" help:"What becomes of the entries when Fairway ends: keep, critical or remove."`
}

// On says whether anything is written.
func (c *PublishConfig) On() bool { return c.Services != "" }

// settings are those of entries.
func (c *PublishConfig) settings(owner string) publish.Settings {
	host, _ := os.Hostname() // without one the IDs begin with a colon
	return publish.Settings{
		Owner: owner, All: c.Services == "all", None: c.Services == "none", Dialect: c.Dialect, Address: c.Address, IP: c.IP, IPLabel: c.IPLabel, Host: cmp.Or(c.Host, host), Tags: c.Tags,
		CheckTCP: c.Check == "tcp", Foreign: func(source string) bool { return source == "consul" || strings.HasPrefix(source, "consul:") },
	}
}

// On says whether Consul is used at all.
func (c *Config) On() bool { return c.Reads() || c.Publish.On() }

// Reads says whether services are read from Consul.
func (c *Config) Reads() bool { return len(c.Source) > 0 || c.KV != "" }

// Complete fills in what the variables of Consul's own commands say, where Consul is used.
func (c *Config) Complete(env map[string]string) {
	if !c.On() {
		return
	}
	if at := env["CONSUL_HTTP_ADDR"]; at != "" && len(c.Address) == 0 {
		if env["CONSUL_HTTP_SSL"] == "true" && !strings.Contains(at, "://") {
			at = "https://" + at
		}
		c.Address = []string{at}
	}
	if len(c.Address) == 0 {
		c.Address = []string{"127.0.0.1:8500"}
	}
	for key, name := range map[*string]string{
		&c.TokenFile: "CONSUL_HTTP_TOKEN_FILE", &c.TLS.CA: "CONSUL_CACERT", &c.TLS.Cert: "CONSUL_CLIENT_CERT",
		&c.TLS.Key: "CONSUL_CLIENT_KEY", &c.TLS.ServerName: "CONSUL_TLS_SERVER_NAME",
	} {
		*key = cmp.Or(*key, env[name])
	}
}

// Check calls add with each key below consul that cannot be meant, its value and why.
func (c *Config) Check(add func(key, value, reason string)) {
	if !c.On() {
		return
	}
	if client, err := consul.New(consul.Config{Addresses: c.Address, Insecure: c.Insecure}); err != nil {
		add("consul.address", "", strings.Replace(err.Error(), "allow that with insecure", "allow that with consul.insecure", 1))
	} else {
		client.Close()
	}
	if c.Publish.On() && len(c.Address) > 1 {
		add("consul.address", strings.Join(c.Address, ", "), "entries are written to one agent: give one address, or no consul.publish.services")
	}
	if len(c.Source) > maxSources {
		add("consul.source", "", fmt.Sprintf("%d datacenters; up to %d are read", len(c.Source), maxSources))
	}
	if ip := c.Publish.IP; ip != "" {
		if a, err := netip.ParseAddr(ip); err != nil || a.Zone() != "" || a.IsUnspecified() {
			add("consul.publish.ip", ip, "no IP address")
		}
	}
	if c.KV != "" && strings.Trim(c.KV, "/") == "" {
		add("consul.kv", c.KV, "every key would be a services file; write a path, such as fairway/services")
	}
	for i, dc := range c.Source {
		if slices.Contains(c.Source[:i], dc) {
			add("consul.source", dc, "given twice; each datacenter is read once")
		}
		if strings.Trim(dc, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || dc == "" {
			add("consul.source", dc, "no name of a datacenter: letters, digits, - and _")
		}
	}
}

// client makes the client. env is the environment.
func (c *Config) client(env map[string]string) (*consul.Client, error) {
	cfg := consul.Config{
		Addresses: c.Address, Insecure: c.Insecure, TokenFile: c.TokenFile, CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key, ServerName: c.TLS.ServerName,
	}
	if cfg.TokenFile == "" {
		cfg.Token = env["CONSUL_HTTP_TOKEN"]
	}
	return consul.New(cfg)
}

// watches is for how many services each of several sources holds a query: with the two that
// each holds anyway, all share the connections of one client.
func watches(all, sources int) int { return max(1, (cmp.Or(all, 100)+2)/sources-2) }

// SourceName is the name of the source of a datacenter.
func SourceName(datacenter string) string {
	if datacenter == Local {
		return "consul"
	}
	return "consul:" + datacenter
}

// Parts is what Open needs besides the configuration.
type Parts struct {
	Env      map[string]string
	StateDir string
	// Feed has what is published; nil publishes nothing.
	Feed    *catalog.Feed
	Logger  *slog.Logger
	Metrics *metrics.Set // may be nil
}

// Consul is what uses Consul.
type Consul struct {
	// Sources are those of the datacenters.
	Sources []discovery.Source
	// Publisher is nil where nothing is published.
	Publisher *sink.Publisher
	client    *consul.Client
}

// Open makes what uses Consul; it connects to nothing.
func (c *Config) Open(p Parts) (*Consul, error) {
	client, err := c.client(p.Env)
	if err != nil {
		return nil, err
	}
	p.Metrics = cmp.Or(p.Metrics, &metrics.Set{})
	all, owner := &Consul{client: client}, ""
	if c.Publish.On() && p.Feed != nil {
		if owner, err = ownerID(p.StateDir); err != nil {
			return nil, err
		}
		all.Publisher, err = sink.New(sink.Options{
			Feed: p.Feed, Reader: client, Writer: client, Settings: c.Publish.settings(owner), Lease: c.Publish.Lease, Forget: c.Publish.Forget, OnStop: c.Publish.OnStop,
			Logger: p.Logger.With("part", "publish"), Metrics: p.Metrics,
		})
		if err != nil {
			return nil, err
		}
	}
	if c.KV != "" {
		s, err := consulkv.New(client, c.KV, p.Logger)
		if err != nil {
			return nil, err
		}
		all.Sources = append(all.Sources, s)
	}
	if len(c.Source) == 0 {
		return all, nil
	}
	m := source.NewMetrics(p.Metrics)
	for _, dc := range c.Source {
		o := source.Options{
			Name: SourceName(dc), Reader: client, Datacenter: dc, All: c.Services == "all", Watches: watches(c.Watches, len(c.Source)), WarningUnready: c.Warning == "unhealthy", Own: owner,
			Logger: p.Logger, Metrics: m,
		}
		if dc == Local {
			o.Datacenter = ""
		}
		s, err := source.New(o)
		if err != nil {
			return nil, err
		}
		all.Sources = append(all.Sources, s)
	}
	return all, nil
}

// Close ends the connections.
func (c *Consul) Close() { c.client.Close() }

// ownerID is the ID of this Fairway in entries. It is made once, and stays with the state.
func ownerID(dir string) (string, error) {
	path := filepath.Join(dir, "publish-owner")
	data, err := os.ReadFile(path)
	owner := strings.TrimSpace(string(data))
	if err == nil && len(owner) == 32 && strings.Trim(owner, "0123456789abcdef") == "" {
		return owner, nil
	}
	if err == nil {
		return "", fmt.Errorf("%s is no ID of an owner: restore it, or remove it and the entries of the former owner", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("publishing: %w", err)
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	owner = hex.EncodeToString(random[:])
	return owner, atomicfile.Write(path, []byte(owner+"\n"), 0o600)
}
