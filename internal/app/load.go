package app

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/admin/access"
	"fairway/internal/api"
	"fairway/internal/api/local"
	"fairway/internal/compile"
	"fairway/internal/confload"
	"fairway/internal/dockerapi"
	"fairway/internal/files"
	"fairway/internal/notify"
	"fairway/internal/route"
	"fairway/internal/rules"
)

// MaxConfigBytes bounds a configuration file: a wrong path must not fill the memory.
const MaxConfigBytes = 1 << 20

// LoadOptions says where a configuration comes from.
type LoadOptions struct {
	// Path is the configuration file; empty for the one that FAIRWAY_CONFIG names, else
	// the first there is of fairway.yml in the working directory and in /etc/fairway.
	Path string
	// Environ is the environment, as of os.Environ.
	Environ []string
	// Flags holds the texts given for each key on the command line.
	Flags map[string][]string
}

// Loaded is a configuration and where each of its values comes from.
type Loaded struct {
	Config
	// Path is the configuration file that was read; empty for none.
	Path string
	*confload.Loaded
}

// Load reads the configuration. The error is a confload.Faults with everything that
// is wrong, or says why the file cannot be read.
func Load(o LoadOptions) (*Loaded, error) {
	path, data, err := FindConfig(o.Path, Environment(o.Environ)["FAIRWAY_CONFIG"])
	if err != nil {
		return nil, err
	}
	return LoadBytes(path, data, o)
}

// LoadBytes is Load for a file that has been read; no path means none.
func LoadBytes(path string, data []byte, o LoadOptions) (*Loaded, error) {
	l := fill(path, data, o)
	l.Add(l.validate())
	if len(l.Faults) > 0 {
		return l, l.Faults
	}
	return l, nil
}

// fill is load without a look at what the configuration names.
func fill(path string, data []byte, o LoadOptions) *Loaded {
	l := &Loaded{Config: Defaults(), Path: path}
	env := Environment(o.Environ)
	l.Loaded = confload.Load(&l.Config, confload.Options{
		Prefix: envPrefix, Path: path, Data: data, Env: env, Flags: o.Flags, Reference: "docs/config.md",
	})
	l.Ignored = slices.DeleteFunc(l.Ignored, func(name string) bool { return name == "FAIRWAY_CONFIG" || name == "FAIRWAY_ADMIN" })
	l.complete(env)
	return l
}

// complete calls Complete and notes what it took from the variables of docker.
func (l *Loaded) complete(env map[string]string) {
	before := l.Config
	l.Complete(env)
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
	// Value is a string, a bool, an int or a []string, with secrets masked.
	Value any `json:"value"`
	// Origin is in the words of confload.Fault.
	Origin string `json:"origin"`
}

// Values returns every key in the order of declaration.
func (l *Loaded) Values() []Value {
	var values []Value
	for _, f := range Fields(&l.Config) {
		hide := masked
		if strings.HasPrefix(f.Name, "defaults.headers.request.") {
			hide = maskedRequestHeader
		}
		values = append(values, Value{Key: f.Name, Value: f.Value(hide), Origin: l.Origins[f.Name]})
	}
	return values
}

// masked hides the password and the query of a URL, credentials in headers, and the path and query of a webhook.
func masked(v any) any {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "://") {
			return route.MaskQuery(Redact(v))
		}
	case HeaderLine:
		return maskedHeader(v)
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

// AdminAccess returns the access to a Fairway with the configuration of o. What cannot be
// read counts as not given.
func AdminAccess(o LoadOptions) local.Access {
	path, data, _ := FindConfig(o.Path, Environment(o.Environ)["FAIRWAY_CONFIG"])
	c := fill(path, data, o)
	listen := c.Admin.Listen
	if _, _, err := net.SplitHostPort(listen); err != nil && !strings.HasPrefix(listen, "unix://") {
		listen = Defaults().Admin.Listen // off, or no address
	}
	return local.Fairway(listen, c.Admin.TLSCert, c.Admin.TokenFile, FirstToken(o))
}

// FirstToken is the path of the file with the first token of a Fairway with the
// configuration of o. What cannot be read counts as not given.
func FirstToken(o LoadOptions) string {
	path, data, _ := FindConfig(o.Path, Environment(o.Environ)["FAIRWAY_CONFIG"])
	return filepath.Join(fill(path, data, o).StateDir, access.FirstTokenFile)
}

// FindConfig returns the configuration file that applies; no path means none.
func FindConfig(flag, env string) (path string, data []byte, err error) {
	candidates, chosen := []string{"fairway.yml", "/etc/fairway/fairway.yml"}, cmp.Or(flag, env)
	if chosen != "" {
		candidates = []string{chosen}
	}
	for _, path := range candidates {
		data, err := files.ReadStream(path, MaxConfigBytes)
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

// Environment makes a map of what os.Environ returns.
func Environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// Validate checks the whole configuration, after Complete. The error is a confload.Faults
// with everything that is wrong. Of the disk it looks at files that must be there.
func (c *Config) Validate() error {
	if faults := c.validate(); len(faults) > 0 {
		return faults
	}
	return nil
}

func (c *Config) validate() confload.Faults {
	v := &validation{Config: c}
	v.listen()
	v.Admin.OIDC.Check(v.add)
	v.TLS.Check(v.add)
	v.ACME.Check(v.Engine == EngineHAProxy, v.Listen != Off, v.ListenTLS != Off, v.add)
	v.HTTP3.Check(v.Engine, v.ListenTLS, v.add)
	v.admin()
	v.docker()
	v.notify()
	v.series()
	v.DNS.Check(v.add)
	v.Consul.Check(v.add)
	v.engine()
	v.rules()
	v.Dialects.Check(v.add)
	v.owners()
	v.defaults()
	v.errorPages()
	if c.Fleet.Listen != Off && c.Fleet.File == "" {
		v.add("fleet.listen", c.Fleet.Listen, "needs fleet.file")
	}
	if c.StateDir == "" {
		v.add("state-dir", "", "a directory is needed")
	}
	v.distinct("file", c.File, fileSourceName)
	v.distinct("docker", c.Docker, dockerSourceName)
	if c.Bound < c.Quiet {
		v.add("bound", c.Bound.String(), fmt.Sprintf("shorter than quiet (%s), so that quiet could never pass", c.Quiet))
	}
	return v.faults
}

// validation checks what depends on more than the tags of one key say.
type validation struct {
	*Config
	faults confload.Faults
}

func (v *validation) add(key, value, reason string) {
	v.faults = append(v.faults, confload.Fault{Key: key, Value: value, Reason: reason})
}

func (v *validation) distinct(key string, values []string, name func(string) string) {
	seen := map[string]bool{}
	for _, value := range values {
		if seen[name(value)] {
			v.add(key, Redact(value), fmt.Sprintf("another one makes a source called %q, too; each needs a name of its own", name(value)))
		}
		seen[name(value)] = true
	}
}

func (v *validation) listen() {
	seen := map[string]string{}
	for _, l := range v.addresses() {
		v.address(l.key, l.address)
		if _, port, err := net.SplitHostPort(l.address); err != nil || port == "0" {
			continue
		}
		if other, ok := seen[l.address]; ok {
			v.add(l.key, l.address, "the same address as "+other)
		}
		seen[l.address] = l.key
		if strings.HasPrefix(l.key, "dockerflow.") && overlap(l.address, v.Admin.Listen) && l.address != v.Admin.Listen {
			v.add(l.key, l.address, "takes the port of admin.listen, "+v.Admin.Listen+"; give that another one, such as 127.0.0.1:9000, or off")
		}
	}
	if address, _ := v.HTTP3.QUIC(); address != "" {
		v.address("listen-quic", address)
	}
	if v.Listen == Off && v.ListenTLS == Off {
		v.add("listen", v.Listen, "nothing would listen for requests: set listen, or listen-tls with tls.certificates or acme.agree")
	}
	if v.ListenTLS != Off && len(v.TLS.Certificates) == 0 && !v.DockerFlow.Proxy.on() && !v.ACME.On() {
		v.add("listen-tls", v.ListenTLS, "needs tls.certificates or acme.agree")
	}
	for _, cert := range v.TLS.Certificates {
		v.file("tls.certificates", cert.Cert)
		if cert.Key != cert.Cert {
			v.file("tls.certificates", cert.Key)
		}
	}
	for _, file := range v.TLS.Authorities() {
		v.file("tls.hosts", file)
	}
	for _, dir := range v.LabelFiles {
		if !filepath.IsAbs(dir) {
			v.add("label-files", dir, "write an absolute path, such as /run/secrets")
		}
	}
	for _, text := range v.TCPPorts {
		if _, err := parsePortRange(text); err != nil {
			v.add("tcp-ports", text, err.Error())
		}
	}
}

// ownAddress is an address that Fairway listens on, and its key.
type ownAddress struct{ key, address string }

// addresses are those that Fairway listens on, first the two for the traffic of services.
func (c *Config) addresses() []ownAddress {
	return []ownAddress{
		{"listen", c.Listen},
		{"listen-tls", c.ListenTLS},
		{"admin.listen", c.Admin.Listen},
		{"dockerflow.proxy.listen", c.DockerFlow.Proxy.Listen},
		{"dockerflow.listener.listen", c.DockerFlow.Listener.Listen},
		{"fleet.listen", c.Fleet.Listen},
	}
}

// ownPorts are the ports that are not for the traffic of services, with their keys.
func (c *Config) ownPorts() map[uint16]string {
	ports := map[uint16]string{}
	for _, own := range c.addresses()[2:] {
		ports[portOf(own.address)] = own.key
	}
	delete(ports, 0)
	return ports
}

// overlap reports whether two different addresses cannot both be listened on.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	everything := func(host string) bool { return strings.Trim(host, "[]0.:") == "" }
	return everything(hostA) || everything(hostB)
}

// address checks a host:port or "off". The admin API may have a unix socket, those of
// Docker Flow no address.
func (v *validation) address(key, value string) {
	path, socket := strings.CutPrefix(value, "unix://")
	switch {
	case value == Off, value == "" && strings.HasPrefix(key, "dockerflow."):
		return
	case socket && key == "admin.listen":
		if !strings.HasPrefix(path, "/") {
			v.add(key, value, "write unix:// and an absolute path: unix:///run/fairway.sock")
		}
		return
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		v.add(key, value, "no address; write :8000, 127.0.0.1:8000, [::1]:8000 or off")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		v.add(key, value, "the port must be a number from 0 to 65535")
	}
	if strings.ContainsAny(host, " /@") {
		v.add(key, value, "the host part is neither an address nor a name")
	}
}

func (v *validation) file(key, path string) {
	if reason := confload.RefusedFile(path); reason != "" {
		v.add(key, path, reason)
	}
}

func (v *validation) admin() {
	for _, host := range v.Admin.AllowedHosts {
		if host == "" || strings.ContainsAny(host, " /:*") {
			v.add("admin.allowed-hosts", host, "write plain host names, without scheme, port or wildcard")
		}
	}
	host, _, err := net.SplitHostPort(v.Admin.Listen)
	if v.Admin.Listen == Off || strings.HasPrefix(v.Admin.Listen, "unix://") || err != nil || isLoopback(host) {
		return
	}
	if v.Admin.TLSCert == "" && !v.Admin.Insecure {
		v.add("admin.listen", v.Admin.Listen, "beyond loopback TLS is needed: set admin.tls-cert and admin.tls-key, or listen on 127.0.0.1; admin.insecure allows it without")
	}
	if v.Admin.Anonymous != "" && v.Admin.Anonymous != api.RoleNone {
		v.add("admin.anonymous", v.Admin.Anonymous, "beyond loopback everybody would be that; write none")
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// engine checks what the tags say, for HAProxy only where it is the engine.
func (v *validation) engine() {
	haproxy := v.Engine == EngineHAProxy
	v.faults = append(v.faults, confload.Check(slices.DeleteFunc(Fields(v.Config), func(f confload.Field) bool {
		return !haproxy && strings.HasPrefix(f.Name, "haproxy.")
	}))...)
	if !haproxy {
		if v.Engine != EngineEmbedded {
			v.add("engine", v.Engine, "no such engine; write embedded or haproxy")
		}
		return
	}
	for _, s := range []struct{ key, path string }{{"haproxy.master-socket", v.HAProxy.MasterSocket}, {"haproxy.socket", v.HAProxy.Socket}} {
		if s.path != "" && !strings.HasPrefix(s.path, "/") {
			v.add(s.key, s.path, "write the absolute path of a unix socket")
		}
	}
}

func (v *validation) notify() {
	seen := map[string]bool{}
	for i, channel := range v.Notify.Channels {
		v.record("notify.channels", seen, i, channel.Name, "channel", channel.Check())
		for _, path := range slices.Concat([]string{channel.URLFile, channel.PasswordFile, channel.CA}, channel.Secrets) {
			if path != "" {
				v.file("notify.channels", path)
			}
		}
	}
}

func (v *validation) rules() {
	seen := map[string]bool{}
	for i, rule := range v.Rules {
		faults := rule.Check()
		if rule.Do == rules.DoScale && len(v.Swarm)+len(v.Docker) == 0 {
			faults = append(faults, errors.New("do: scale needs a Swarm; name a manager with swarm"))
		}
		if metric, _, _ := strings.Cut(rule.When, " "); v.Series.Every == 0 && rules.NeedsReadings(metric) {
			faults = append(faults, errors.New(metric+" needs readings, and series.every is 0s"))
		}
		v.record("rules", seen, i, rule.Name, "rule", faults)
	}
}

func (v *validation) owners() {
	seen := map[string]bool{}
	for i, record := range v.Owners {
		v.record("owners", seen, i, record.Name, "record", record.Check())
	}
}

// record adds the faults of a record of a list, and that its name is seen twice.
func (v *validation) record(key string, seen map[string]bool, i int, name, what string, faults []error) {
	which := fmt.Sprintf("number %d: ", i+1)
	if name != "" {
		which = fmt.Sprintf("number %d (%s): ", i+1, name)
	}
	if seen[name] {
		faults = append(faults, errors.New("another "+what+" has this name"))
	}
	seen[name] = true
	for _, err := range faults {
		v.add(key, "", which+err.Error())
	}
}

func (v *validation) series() {
	every := v.Series.Every
	switch {
	case every == 0:
	case every < time.Second, every > time.Minute:
		v.add("series.every", every.String(), fmt.Sprintf("must be between %s and %s", time.Second, time.Minute))
	case (2*time.Minute)%every != 0:
		v.add("series.every", every.String(), "two minutes must be a multiple of it: 1s, 2s, 5s, 10s, 15s, 20s, 30s or 1m")
	}
}

func (v *validation) docker() {
	for _, raw := range v.Docker {
		v.dockerURL("docker", raw)
	}
	for i, raw := range v.Swarm {
		v.dockerURL("swarm", raw)
		if slices.Contains(v.Swarm[:i], raw) {
			v.add("swarm", Redact(raw), "given twice; each manager is asked once")
		}
	}
}

func (v *validation) dockerURL(key, raw string) {
	for _, reason := range dockerapi.CheckURL(raw, v.DockerTLS != (DockerTLSConfig{}) || v.DockerInsecure) {
		v.add(key, Redact(raw), reason)
	}
}

// Redact takes a password out of a URL, also out of one that does not parse.
func Redact(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		return scheme + "://xxxxx@" + host
	}
	return raw
}

func parsePortRange(text string) (compile.PortRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return compile.PortRange{}, errors.New("write 5432 or 6000-6010")
	}
	return compile.PortRange{First: uint16(a), Last: uint16(b)}, nil
}
