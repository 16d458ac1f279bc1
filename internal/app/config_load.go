package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fairway/internal/admin/access"
	"fairway/internal/api"
	"fairway/internal/confload"
	"fairway/internal/files"
	"fairway/internal/notify"
	"fairway/internal/route"
)

// maxConfigBytes bounds every file that is read for the configuration or for
// Check, so that a wrong path does not fill the memory.
const maxConfigBytes = 1 << 20

// LoadOptions says where a configuration comes from.
type LoadOptions struct {
	// Path is the configuration file. Empty means the one that FAIRWAY_CONFIG
	// names, else the first there is of fairway.yml in the working directory and in
	// /etc/fairway, else none.
	Path string
	// Environ is the environment, as of os.Environ. A variable with an empty
	// value counts as not set.
	Environ []string
	// Flags holds the texts given for each key on the command line.
	Flags map[string][]string
}

// Loaded is a configuration and where each of its values comes from.
type Loaded struct {
	Config
	// Path is the configuration file that was read; empty for none.
	Path string
	// Origins says for each key where its value comes from, in the words of
	// confload.Fault.
	Origins map[string]string
	// Ignored names the environment variables that begin with FAIRWAY_ and mean
	// nothing to Fairway, sorted. They are no faults: other software makes such
	// names, too.
	Ignored []string
}

// Load reads the configuration. The error is a confload.Faults with everything that
// is wrong, or says why the file cannot be read.
func Load(o LoadOptions) (*Loaded, error) {
	path, data, err := readConfig(o.Path, environment(o.Environ)["FAIRWAY_CONFIG"])
	if err != nil {
		return nil, err
	}
	return load(path, data, o)
}

// load is Load for a file that has been read; no path means none.
func load(path string, data []byte, o LoadOptions) (*Loaded, error) {
	l := &Loaded{Config: Defaults(), Path: path}
	env := environment(o.Environ)
	found := confload.Load(&l.Config, confload.Options{
		Prefix: envPrefix, Path: path, Data: data, Env: env, Flags: o.Flags, Reference: "docs/config.md",
	})
	l.Origins = found.Origins
	// The command line reads these two itself.
	l.Ignored = slices.DeleteFunc(found.Ignored, func(name string) bool { return name == "FAIRWAY_CONFIG" || name == "FAIRWAY_ADMIN" })
	l.complete(env)
	found.Add(l.validate())
	if len(found.Faults) > 0 {
		return l, found.Faults
	}
	return l, nil
}

// complete calls Complete and notes what it took from the variables of the docker
// command line.
func (l *Loaded) complete(env map[string]string) {
	before := l.Config
	l.Complete(func(name string) string { return env[name] })
	if len(before.Docker) == 0 && len(l.Docker) > 0 && env["DOCKER_HOST"] != "" {
		l.Origins["docker"] = "env DOCKER_HOST"
	}
	if before.DockerTLS != l.DockerTLS {
		for _, key := range []string{"docker-tls.ca", "docker-tls.cert", "docker-tls.key"} {
			l.Origins[key] = "env DOCKER_CERT_PATH"
		}
	}
}

// Value is one key with what holds for it.
type Value struct {
	Key string `json:"key"`
	// Value is a string, a bool, an int or a []string; passwords in URLs, and paths and
	// queries of webhooks, are masked.
	Value any `json:"value"`
	// Origin is in the words of confload.Fault.
	Origin string `json:"origin"`
}

// Values returns every key in the order of declaration.
func (l *Loaded) Values() []Value {
	var values []Value
	for _, f := range Fields(&l.Config) {
		values = append(values, Value{Key: f.Name, Value: f.Value(masked), Origin: l.Origins[f.Name]})
	}
	return values
}

// masked hides what of a value may be a secret: the password in a URL, and the path
// and query of a webhook.
func masked(v any) any {
	switch v := v.(type) {
	case string:
		return redact(v)
	case notify.Channel:
		if u, err := url.Parse(v.URL); v.URL != "" && (err != nil || u.Host == "") {
			v.URL = route.Masked
		} else if v.URL != "" {
			v.URL = u.Scheme + "://" + u.Host + "/" + route.Masked
		}
		return v
	}
	return v
}

// AdminAccess returns the access to a Fairway with the configuration of o. It
// does not fail: what cannot be read counts as not given.
func AdminAccess(o LoadOptions) api.Access {
	c := Defaults()
	env := environment(o.Environ)
	path, data, _ := readConfig(o.Path, env["FAIRWAY_CONFIG"])
	confload.Load(&c, confload.Options{Prefix: envPrefix, Path: path, Data: data, Env: env, Flags: o.Flags})
	if c.StateDir == "" {
		c.StateDir = stateDir(func(name string) string { return env[name] }, os.Geteuid() == 0)
	}
	listen := c.Admin.Listen
	if _, _, err := net.SplitHostPort(listen); err != nil && !strings.HasPrefix(listen, "unix://") {
		listen = Defaults().Admin.Listen // off, or no address
	}
	return api.LocalAccess(listen, c.Admin.TLSCert, c.Admin.TokenFile, filepath.Join(c.StateDir, access.FirstTokenFile))
}

// readConfig returns the configuration file that applies; no path means none.
func readConfig(flag, env string) (path string, data []byte, err error) {
	candidates := []string{"fairway.yml", "/etc/fairway/fairway.yml"}
	chosen := flag
	if chosen == "" {
		chosen = env
	}
	if chosen != "" {
		candidates = []string{chosen}
	}
	for _, path := range candidates {
		data, err := files.ReadStream(path, maxConfigBytes)
		if chosen == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("configuration: %w", err)
		}
		return path, data, nil
	}
	return "", nil, nil
}

// environment makes a map of the form of os.Environ.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}
