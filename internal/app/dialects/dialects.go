// Package dialects is what a configuration says of the labels of other proxies.
package dialects

import (
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"slices"
	"strings"

	"fairway/internal/compile"
	"fairway/internal/compile/traefik"
	"fairway/internal/files"
	"fairway/internal/nearest"
	"fairway/internal/route/tlsoption"
)

// Config is the keys about dialects.
type Config struct {
	// Dialects are names of dialects, or auto for all; see On.
	Dialects []string `name:"dialects" placeholder:"NAME" sep:"," help:"Labels of other proxies that are served: traefik, nginx-proxy, docker-flow; auto for all. Of two that a service has labels of, the first is read. None by default: what the others would serve is noted. Repeatable."`
	// Traefik is how labels of Traefik are read.
	Traefik Traefik `embed:"" prefix:"traefik."`
}

// Traefik is the keys below traefik: what Traefik has in its own configuration.
type Traefik struct {
	EntryPoints      []string `name:"entrypoints" placeholder:"NAME=LISTENER|PORT" sep:"," help:"Entry points that routers name, each with http, https or, for TCP, a port; web, websecure and the like are known. A port here is the leave to open it. Repeatable."`
	ExposedByDefault bool     `name:"exposed-by-default" preset:"false" help:"Serve containers without traefik.enable, also those that have no label at all."`
	DefaultRule      string   `name:"default-rule" placeholder:"TEMPLATE" help:"Rule of routers without one, as Traefik has it; by default the normalized name is the host."`
	Network          string   `name:"network" placeholder:"NAME" help:"Network by which containers are reached that name none."`
	Skip             []string `name:"skip" placeholder:"MIDDLEWARE" sep:"," help:"Middlewares that are left out, as routers name them, such as plugins. What they protect is open then. Repeatable."`
	File             string   `name:"file" placeholder:"PATH" help:"File of Traefik's file provider, in YAML, with the middlewares that labels name with @file. Read at the start."`
}

// check adds what is wrong with the keys.
func (c Traefik) check(add func(key, value, reason string)) {
	for _, point := range c.EntryPoints {
		if name, to, ok := strings.Cut(point, "="); !ok || name == "" || to == "" {
			add("traefik.entrypoints", point, "write it like ssh=2222 or internal=https")
		}
	}
	if _, err := traefik.DefaultRule(c.DefaultRule); err != nil {
		add("traefik.default-rule", c.DefaultRule, "it is no template: "+err.Error())
	}
	if c.File == "" {
		return
	}
	if _, err := c.file(); err != nil {
		add("traefik.file", c.File, err.Error())
	}
}

// file are the middlewares of the file.
func (c Traefik) file() (map[string]string, error) {
	data, err := files.Read(c.File, maxFile)
	if err != nil {
		return nil, err
	}
	return traefik.ReadFile(data)
}

// options are those of the dialect. A file that cannot be read has no middleware.
func (c Traefik) options() traefik.Options {
	o := traefik.Options{EntryPoints: map[string]string{}, ExposedByDefault: c.ExposedByDefault, DefaultRule: c.DefaultRule, Network: c.Network, Skip: c.Skip}
	for _, point := range c.EntryPoints {
		name, to, _ := strings.Cut(point, "=")
		o.EntryPoints[strings.TrimSpace(name)] = strings.TrimSpace(to)
	}
	if c.File != "" {
		if o.File, _ = c.file(); o.File == nil {
			o.File = map[string]string{}
		}
	}
	return o
}

// maxFile bounds files that are read, in bytes.
const maxFile = 1 << 20

// auto stands for all of them.
const auto = "auto"

// On are the dialects that are on, in their order.
func (c Config) On() []string {
	if slices.Contains(c.Dialects, auto) {
		return compile.DialectNames()
	}
	return c.Dialects
}

// Warn logs what an operator should know at the start.
func (c Config) Warn(log *slog.Logger) {
	if c.Variables() {
		log.Warn("files of nginx-proxy are not read: where htpasswd, vhost.d or conf.d has passwords or limits, its routes are without them; write them as labels of Fairway")
	}
}

// Flow says whether the one of Docker Flow is on.
func (c Config) Flow() bool { return slices.Contains(c.On(), compile.FlowDialect) }

// Variables says whether one of them reads variables of containers.
func (c Config) Variables() bool { return compile.ReadsVariables(c.On()) }

// Check adds what is wrong with the keys.
func (c Config) Check(add func(key, value, reason string)) {
	c.Traefik.check(add)
	names := append(compile.DialectNames(), auto)
	for i, name := range c.Dialects {
		switch {
		case !slices.Contains(names, name):
			reason := "there is no such dialect; there are " + strings.Join(names, ", ")
			if near := nearest.Word(name, names); near != "" {
				reason = "there is no such dialect: did you mean " + near + "?"
			}
			add("dialects", name, reason)
		case slices.Contains(c.Dialects[:i], name):
			add("dialects", name, "it is there twice")
		}
	}
}

// Settings puts what is on into the settings of a compiler, with the names that certificates
// of the operator are for, as these are at the start.
func (c Config) Settings(s *compile.Settings, certificates []tlsoption.Certificate) {
	s.Dialects, s.Certified, s.Traefik = c.On(), certified(certificates), c.Traefik.options()
}

// certified are the names in certificates. What cannot be read is looked at elsewhere.
func certified(list []tlsoption.Certificate) (names []string) {
	for _, c := range list {
		data, err := files.Read(c.Cert, maxFile)
		block, _ := pem.Decode(data)
		if err != nil || block == nil {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		for _, name := range leaf.DNSNames {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
