package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	consulsetup "fairway/internal/consul/setup"
	"fairway/internal/discovery"
	"fairway/internal/discovery/docker"
	"fairway/internal/discovery/file"
	"fairway/internal/discovery/swarm"
	"fairway/internal/dockerapi"
	"fairway/internal/metrics"
	"fairway/internal/usage"
)

// newSources makes the sources: the explicit list of what Fairway can read. m may be nil.
func (a *App) newSources(m *metrics.Set) ([]discovery.Source, error) {
	sources := append(a.flow.sources(), a.acme.Sources()...)
	self := docker.SelfID(os.DirFS("/"))
	for _, u := range a.cfg.Docker {
		client, err := a.client(u)
		if err != nil {
			return nil, err
		}
		source, err := docker.New(docker.Options{Name: dockerSourceName(u), Client: client, SelfID: self, Label: a.cfg.DockerLabel, Variables: a.cfg.Consul.Publish.On(), Environment: a.cfg.Dialects.Variables(), Logger: a.log})
		if err != nil {
			return nil, err
		}
		a.logs.AddEngine(source.Name(), client)
		sources = append(sources, source)
	}
	if len(a.cfg.Swarm) > 0 {
		// One name for all managers: services keep their IDs when managers change.
		o := swarm.Options{Name: swarmSourceName, SelfID: self, Logger: a.log}
		for _, u := range a.cfg.Swarm {
			client, err := a.client(u)
			if err != nil {
				return nil, err
			}
			o.Clients = append(o.Clients, client)
		}
		source, err := swarm.New(o)
		if err != nil {
			return nil, err
		}
		a.logs.AddManagers(source.Name(), o.Clients)
		sources = append(sources, source)
	}
	for _, path := range a.cfg.File {
		source, err := file.New(file.Options{Name: fileSourceName(path), Path: path, Logger: a.log})
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	if a.cfg.Consul.On() {
		c, err := a.cfg.Consul.Open(consulsetup.Parts{Env: a.env, StateDir: a.cfg.StateDir, Feed: a.feed, Logger: a.log, Metrics: m})
		if err != nil {
			return nil, err
		}
		a.lifecycle.OnStop("consul client", func(context.Context) error { c.Close(); return nil })
		a.publisher, sources = c.Publisher, append(sources, c.Sources...)
	}
	return sources, distinctNames(sources, a.cfg.Fleet.File != "")
}

const swarmSourceName = "swarm"

// client makes a client for an engine, which is closed at the end.
func (a *App) client(u string) (*dockerapi.Client, error) {
	client, err := dockerapi.New(DockerOptions(u, &a.cfg, a.env))
	if err == nil {
		a.lifecycle.OnStop("docker client", func(context.Context) error { client.Close(); return nil })
	}
	return client, err
}

// distinctNames refuses equal names, and an empty list unless only a fleet is managed.
func distinctNames(sources []discovery.Source, mayBeNone bool) error {
	seen := map[string]bool{}
	for _, s := range sources {
		if seen[s.Name()] {
			return fmt.Errorf("two sources are called %q: give each engine once, and services files different names", s.Name())
		}
		seen[s.Name()] = true
	}
	if len(sources) == 0 && !mayBeNone {
		return errors.New("no source: give --docker URL, --swarm, --file PATH or --consul.source")
	}
	return nil
}

// dockerSourceName depends on the URL alone: with one more engine the services of the
// others keep their IDs.
func dockerSourceName(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "docker:" + raw
	}
	switch {
	case u.Scheme == "unix" && (u.Path == "" || u.Path == dockerapi.DefaultSocket || u.Path == "/run/docker.sock"):
		return "docker"
	case u.Scheme == "unix":
		return "docker:" + u.Path
	default:
		return "docker:" + u.Host
	}
}

func fileSourceName(path string) string { return "file:" + filepath.Base(path) }

// DockerOptions say how an engine is reached, by its URL, the configuration and the environment.
func DockerOptions(u string, cfg *Config, env map[string]string) dockerapi.Options {
	o := dockerapi.Options{URL: u}
	if strings.HasPrefix(u, "tcp://") {
		o.CAFile, o.CertFile, o.KeyFile = cfg.DockerTLS.CA, cfg.DockerTLS.Cert, cfg.DockerTLS.Key
		o.Insecure = cfg.DockerInsecure
	}
	if strings.HasPrefix(u, "ssh://") {
		o.KnownHosts = []string{cmp.Or(cfg.DockerSSH.KnownHosts, filepath.Join(env["HOME"], ".ssh", "known_hosts"))}
		o.IdentityFile = cfg.DockerSSH.Identity
		o.AgentSocket = env["SSH_AUTH_SOCK"]
	}
	return o
}

func engines(cfg *Config, env map[string]string, urls []string) (all []dockerapi.Options) {
	for _, u := range urls {
		all = append(all, DockerOptions(u, cfg, env))
	}
	return all
}

// SwarmOptions names the managers of the Swarm: the key swarm, else those of docker.
func SwarmOptions(cfg *Config, env map[string]string) []dockerapi.Options {
	urls := cfg.Swarm
	if len(urls) == 0 {
		urls = cfg.Docker
	}
	return engines(cfg, env, urls)
}

// MeterOptions names the engines whose containers are read: those of a service, if it is
// not empty.
func MeterOptions(cfg *Config, env map[string]string, service string) usage.MeterOptions {
	return usage.MeterOptions{
		Engines: engines(cfg, env, slices.Concat(cfg.Docker, cfg.Swarm)), Source: dockerSourceName, Service: service,
	}
}
