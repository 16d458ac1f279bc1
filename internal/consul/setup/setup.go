// Package setup makes what reads Consul out of the keys below consul in the configuration.
package setup

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"fairway/internal/consul"
	"fairway/internal/discovery"
	source "fairway/internal/discovery/consul"
	"fairway/internal/metrics"
)

// Local stands for the datacenter of the agent.
const Local = "local"

// Config is the keys below consul, as in docs/consul.md.
type Config struct {
	Address   []string  `name:"address" placeholder:"URL" sep:"," derived:"$CONSUL_HTTP_ADDR, else 127.0.0.1:8500" help:"Agent of Consul: http(s)://HOST:PORT or unix:///PATH; more are asked where one cannot be reached. Repeatable."`
	Insecure  bool      `name:"insecure" preset:"false" help:"Allow plain HTTP to a Consul beyond this machine. Its token can then be read on the way."`
	TokenFile string    `name:"token-file" placeholder:"PATH" derived:"$CONSUL_HTTP_TOKEN_FILE; without one the token in $CONSUL_HTTP_TOKEN" file:"" help:"File with the ACL token for Consul; read for each call."`
	TLS       TLSConfig `embed:"" prefix:"tls."`

	Source   []string `name:"source" placeholder:"DATACENTER" sep:"," bare:"local" help:"Datacenter whose services are read; local, or the flag alone, for that of the agent. Repeatable."`
	Services string   `name:"services" placeholder:"WHICH" preset:"labelled" oneof:"labelled,all" help:"Services that are read: labelled, those with a tag that is a label (fairway.host=app.example); or all."`
	Watches  int      `name:"watches" placeholder:"N" preset:"100" least:"1" most:"100" help:"Number of services whose changes are seen at once; those of others within 10 seconds. The ones that changed last are among them."`
	Warning  string   `name:"warning" placeholder:"HOW" preset:"ready" oneof:"ready,unhealthy" help:"What an instance with a warning is: ready or unhealthy."`
}

// TLSConfig is the keys below consul.tls.
type TLSConfig struct {
	CA         string `name:"ca" placeholder:"PATH" derived:"$CONSUL_CACERT" file:"" help:"CA certificates in PEM for https:// addresses of Consul, in the place of those of the machine."`
	Cert       string `name:"cert" placeholder:"PATH" derived:"$CONSUL_CLIENT_CERT" file:"" needs:"consul.tls.key" help:"PEM file with the client certificate for Consul; reread."`
	Key        string `name:"key" placeholder:"PATH" derived:"$CONSUL_CLIENT_KEY" file:"" needs:"consul.tls.cert" help:"PEM file with its key."`
	ServerName string `name:"server-name" placeholder:"NAME" derived:"$CONSUL_TLS_SERVER_NAME, else the host of the address" help:"Name in the certificate of Consul."`
}

// On says whether Consul is used at all.
func (c *Config) On() bool { return len(c.Source) > 0 }

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
	for i, dc := range c.Source {
		if slices.Contains(c.Source[:i], dc) {
			add("consul.source", dc, "given twice; each datacenter is read once")
		}
		if strings.Trim(dc, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || dc == "" {
			add("consul.source", dc, "no name of a datacenter: letters, digits, - and _")
		}
	}
}

// Client makes the client. env is the environment.
func (c *Config) Client(env map[string]string) (*consul.Client, error) {
	cfg := consul.Config{
		Addresses: c.Address, Insecure: c.Insecure, TokenFile: c.TokenFile, CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key, ServerName: c.TLS.ServerName,
	}
	if cfg.TokenFile == "" {
		cfg.Token = env["CONSUL_HTTP_TOKEN"]
	}
	return consul.New(cfg)
}

// SourceName is the name of the source of a datacenter.
func SourceName(datacenter string) string {
	if datacenter == Local {
		return "consul"
	}
	return "consul:" + datacenter
}

// Sources are those of the datacenters, and what ends their client. set may be nil.
func (c *Config) Sources(env map[string]string, log *slog.Logger, set *metrics.Set) (all []discovery.Source, end func(context.Context) error, err error) {
	client, err := c.Client(env)
	if err != nil {
		return nil, nil, fmt.Errorf("consul: %w", err)
	}
	m := source.NewMetrics(cmp.Or(set, &metrics.Set{}))
	for _, dc := range c.Source {
		o := source.Options{
			Name: SourceName(dc), Reader: client, Datacenter: dc, All: c.Services == "all", Watches: c.Watches, WarningUnready: c.Warning == "unhealthy",
			Logger: log, Metrics: m,
		}
		if dc == Local {
			o.Datacenter = ""
		}
		s, err := source.New(o)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, s)
	}
	return all, func(context.Context) error { client.Close(); return nil }, nil
}
