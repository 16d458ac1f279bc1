// Package check looks at configurations and at every file that they name, as a start
// would, and connects to nothing.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/admin/access"
	"fairway/internal/app"
	"fairway/internal/condition"
	"fairway/internal/confload"
	"fairway/internal/dockerapi"
	"fairway/internal/engine/certs"
	"fairway/internal/files"
	"fairway/internal/fleet"
	"fairway/internal/plan"
	"fairway/internal/route"
	"fairway/internal/yamlnode"
)

// Files checks files; see plan.Check. Without a configuration among them, the one that Load
// would find says how labels are read. What a configuration names is looked at where that
// is among the files, or no file is given. With stack the Compose files are stacks.
func Files(paths, environ []string, stack bool) (*plan.Checked, error) {
	checked, err := plan.Check(plan.CheckOptions{
		Paths: paths, Environ: environ, Stack: stack,
		Configuration: func(path string, data []byte) plan.Configured {
			return configured(path, data, environ, len(paths) == 0 || slices.Contains(paths, path))
		},
		Default: func() (string, []byte, error) {
			return app.FindConfig("", app.Environment(environ)["FAIRWAY_CONFIG"])
		},
	})
	if errors.Is(err, plan.ErrNothing) {
		err = fmt.Errorf("%w\nhint: name a file: fairway check %s", err, composeFile())
	}
	return checked, err
}

// composeFile is the Compose file of this directory; where there is none, its usual name.
func composeFile() string {
	names := []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	for _, name := range names {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return names[1]
}

// configured reads a configuration for Files, and looks at what it names if that is wanted;
// no path means that there is no file.
func configured(path string, data []byte, environ []string, named bool) plan.Configured {
	loaded, err := app.LoadBytes(path, data, app.LoadOptions{Environ: environ})
	var faults confload.Faults
	errors.As(err, &faults) // It returns no other errors.
	l := &looker{Loaded: loaded, env: app.Environment(environ), store: certs.New(slog.New(slog.DiscardHandler)), refused: map[string]bool{}}
	for _, f := range faults {
		p := l.problem(f.Origin, f.Key, errors.New(f.Reason))
		if f.Value != "" {
			p.Text = strconv.Quote(f.Value) + ": " + p.Text
		}
		l.found.Problems = append(l.found.Problems, p)
		l.refused[f.Value] = true
	}
	if named && path == "" && slices.ContainsFunc(app.Fields(&l.Config), func(f confload.Field) bool { return l.env[f.Env] != "" }) {
		l.looked("env", "configuration")
	}
	if named {
		l.named()
	}
	if len(faults) > 0 {
		return l.found
	}
	settings, err := app.Settings(context.Background(), &loaded.Config, environ)
	if err != nil {
		l.found.Problems = append(l.found.Problems, plan.Problem{File: "env", Code: plan.CodeConfiguration, Text: err.Error()})
		return l.found
	}
	l.found.Settings, l.found.OnlySwarm = &settings, len(loaded.Swarm) > 0 && len(loaded.Docker) == 0
	return l.found
}

// looker looks at the files that a configuration names, as a start would.
type looker struct {
	*app.Loaded
	env     map[string]string
	store   *certs.Store
	refused map[string]bool // paths that the configuration is refused for
	found   plan.Configured
}

// problem is a fault at a place in the words of confload.Fault.
func (l *looker) problem(origin, key string, err error) plan.Problem {
	p := plan.Problem{File: origin, Code: plan.CodeConfiguration, Label: key, Text: err.Error(), Hint: fileHint(err)}
	if i := strings.LastIndex(origin, ":"); i >= 0 {
		if line, err := strconv.Atoi(origin[i+1:]); err == nil {
			p.File, p.Line = origin[:i], line
		}
	}
	return p
}

// fileHint says what to do about a file that cannot be used; empty where the fault says it.
func fileHint(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "private key does not match"):
		return "name the key that this certificate was made with"
	case strings.Contains(text, "tls:"):
		return "give PEM files: the certificate with its chain, and its key without a passphrase"
	case strings.Contains(text, "no certificate in"):
		return "give a PEM file with CA certificates"
	case strings.Contains(text, "tcp needs TLS"):
		return "set docker-tls.ca, docker-tls.cert and docker-tls.key; docker-insecure allows it without"
	}
	return condition.SourceHint(text)
}

// looked notes a file that was looked at.
func (l *looker) looked(path, kind string) {
	if f := (plan.CheckedFile{Path: path, Kind: kind}); path != "" && !slices.Contains(l.found.Files, f) {
		l.found.Files = append(l.found.Files, f)
	}
}

// fault adds what is wrong with what a key names.
func (l *looker) fault(key string, err error) {
	if err != nil {
		l.found.Problems = append(l.found.Problems, l.problem(l.Origins[key], key, err))
	}
}

// named looks at every file that is named, but for those that are refused already.
func (l *looker) named() {
	c := &l.Config
	for _, path := range c.File {
		if reason := confload.RefusedFile(path); reason != "" {
			l.fault("file", fmt.Errorf("%s %s", path, reason))
		} else {
			l.found.Services = append(l.found.Services, path)
		}
	}
	for _, pair := range c.TLS.Certificates {
		l.pair("tls.certificates", pair.Cert, "tls.certificates", pair.Key)
	}
	for _, file := range c.TLS.Authorities() {
		l.authorities("tls.hosts", file)
	}
	l.pair("admin.tls-cert", c.Admin.TLSCert, "admin.tls-key", c.Admin.TLSKey)
	l.pair("fleet.tls-cert", c.Fleet.TLSCert, "fleet.tls-key", c.Fleet.TLSKey)
	l.authorities("admin.client-ca", c.Admin.ClientCA)
	l.authorities("fleet.client-ca", c.Fleet.ClientCA)
	l.secret("admin.token-file", c.Admin.TokenFile)
	l.secret("admin.oidc.client-secret-file", c.Admin.OIDC.ClientSecretFile)
	l.authorities("admin.oidc.ca", c.Admin.OIDC.CA)
	l.secret("consul.token-file", c.Consul.TokenFile)
	l.pair("consul.tls.cert", c.Consul.TLS.Cert, "consul.tls.key", c.Consul.TLS.Key)
	l.authorities("consul.tls.ca", c.Consul.TLS.CA)
	for _, channel := range c.Notify.Channels {
		for _, path := range slices.Concat([]string{channel.URLFile, channel.PasswordFile}, channel.Secrets) {
			l.secret("notify.channels", path)
		}
		l.authorities("notify.channels", channel.CA)
	}
	for _, u := range c.Docker {
		l.fault("docker", l.engine(u))
	}
	for _, u := range c.Swarm {
		l.fault("swarm", l.engine(u))
	}
	l.fleet()
}

// pair looks at a certificate and its key.
func (l *looker) pair(certKey, cert, keyKey, key string) {
	l.looked(cert, certKey)
	l.looked(key, keyKey)
	if cert != "" && key != "" && !l.refused[cert] && !l.refused[key] {
		_, err := l.store.Pairs([]route.Certificate{{CertFile: cert, KeyFile: key}})
		l.fault(certKey, err)
	}
}

func (l *looker) authorities(key, path string) {
	l.looked(path, key)
	if path != "" && !l.refused[path] {
		_, err := l.store.Authorities(path)
		l.fault(key, err)
	}
}

// secret looks at a file with a token, a password or a URL, and repeats nothing of it.
func (l *looker) secret(key, path string) {
	l.looked(path, key)
	if path == "" || l.refused[path] {
		return
	}
	data, err := files.Read(path, app.MaxConfigBytes)
	switch n := len(strings.TrimSpace(string(data))); {
	case err != nil:
	case n == 0:
		err = errors.New(path + " is empty")
	case key == "admin.token-file" && n < access.MinToken:
		err = fmt.Errorf("%s: the token has fewer than %d characters", path, access.MinToken)
	}
	l.fault(key, err)
}

// engine looks at the files with which an engine is reached. It connects to nothing, and
// repeats no fault of the URL itself.
func (l *looker) engine(u string) error {
	o := app.DockerOptions(u, &l.Config, l.env)
	l.looked(o.CAFile, "docker-tls.ca")
	l.looked(o.CertFile, "docker-tls.cert")
	l.looked(o.KeyFile, "docker-tls.key")
	l.looked(strings.Join(o.KnownHosts, ""), "docker-ssh.known-hosts")
	l.looked(o.IdentityFile, "docker-ssh.identity")
	if slices.ContainsFunc(append(o.KnownHosts, app.Redact(u), o.CAFile, o.CertFile, o.KeyFile, o.IdentityFile), func(s string) bool { return s != "" && l.refused[s] }) {
		return nil
	}
	client, err := dockerapi.New(o)
	if err == nil {
		client.Close()
	}
	return err
}

// fleet looks at the fleet file, the files that it names, and how its hosts are reached.
func (l *looker) fleet() {
	path := l.Fleet.File
	l.looked(path, "fleet.file")
	if path == "" || l.refused[path] {
		return
	}
	add := func(line int, text string) {
		p := l.problem(path, "", errors.New(text))
		p.Line = line
		l.found.Problems = append(l.found.Problems, p)
	}
	m, err := fleet.ReadMap(path)
	if err != nil {
		for _, fault := range strings.Split(cmp.Or(errors.Unwrap(err), err).Error(), "\n") {
			add(yamlnode.CutLine(fault))
		}
		return
	}
	for _, named := range m.Named {
		l.looked(named, "fleet.file")
	}
	lines := map[string]int{}
	if data, err := files.ReadStream(path, maxFleetBytes); err == nil {
		if root, err := yamlnode.Document(data, "hosts"); err == nil {
			for _, host := range yamlnode.List(yamlnode.Get(root, "hosts")) {
				lines[yamlnode.Text(yamlnode.Get(host, "name"))] = host.Line
			}
		}
	}
	seen := map[string]bool{}
	for _, target := range m.Targets {
		if !seen[target.Host] {
			seen[target.Host] = true
			if err := l.engine(target.Docker); err != nil {
				add(lines[target.Host], "host "+target.Host+": "+err.Error())
			}
		}
	}
}

const maxFleetBytes = 16 << 20
