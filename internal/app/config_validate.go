package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/compile"
	"fairway/internal/confload"
)

// Validate checks the whole configuration, after Complete. The error is a
// confload.Faults that holds everything that is wrong. It looks at the disk for files
// that must be there from the start, and at nothing else.
func (c *Config) Validate() error {
	if faults := c.validate(); len(faults) > 0 {
		return faults
	}
	return nil
}

func (c *Config) validate() confload.Faults {
	v := &validation{}
	v.listen(c)
	v.admin(c)
	v.docker(c)
	v.fleet(c)
	v.engine(c)
	v.notify(&c.Notify)
	v.series(&c.Series)
	v.history(&c.History)
	v.rules(c)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	if c.StateDir == "" {
		v.add("state-dir", "", "a directory is needed")
	}
	v.distinct("file", c.File, fileSourceName)
	v.distinct("docker", c.Docker, dockerSourceName)
	v.duration("body-timeout", c.BodyTimeout, time.Second, time.Hour)
	v.duration("drain-timeout", c.DrainTimeout, 0, time.Hour)
	v.duration("quiet", c.Quiet, 0, time.Minute)
	v.duration("bound", c.Bound, 0, time.Minute)
	if c.Bound < c.Quiet {
		v.add("bound", c.Bound.String(), fmt.Sprintf("shorter than quiet (%s), so that quiet could never pass", c.Quiet))
	}
	return v.faults
}

type validation struct{ faults confload.Faults }

func (v *validation) add(key, value, reason string) {
	v.faults = append(v.faults, confload.Fault{Key: key, Value: value, Reason: reason})
}

func (v *validation) oneOf(key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	last := len(allowed) - 1
	v.add(key, value, "write "+strings.Join(allowed[:last], ", ")+" or "+allowed[last])
}

// distinct refuses sources with the same name.
func (v *validation) distinct(key string, values []string, name func(string) string) {
	seen := map[string]bool{}
	for _, value := range values {
		if seen[name(value)] {
			v.add(key, redact(value), fmt.Sprintf("another one makes a source called %q, too; each needs a name of its own", name(value)))
		}
		seen[name(value)] = true
	}
}

func (v *validation) duration(key string, d, low, high time.Duration) {
	if d < low || d > high {
		v.add(key, d.String(), fmt.Sprintf("must be between %s and %s", low, high))
	}
}

func (v *validation) listen(c *Config) {
	v.address("listen", c.Listen)
	v.address("listen-tls", c.ListenTLS)
	if path, ok := strings.CutPrefix(c.Admin.Listen, "unix://"); !ok {
		v.address("admin.listen", c.Admin.Listen)
	} else if !strings.HasPrefix(path, "/") {
		v.add("admin.listen", c.Admin.Listen, "write unix:// and an absolute path: unix:///run/fairway.sock")
	}
	if c.Listen == Off && c.ListenTLS == Off {
		v.add("listen", c.Listen, "nothing would listen for requests: set listen, or listen-tls with tls.certificates")
	}
	v.dockerFlow(c)
	for _, dir := range c.LabelFiles {
		if !filepath.IsAbs(dir) {
			v.add("label-files", dir, "write an absolute path, such as /run/secrets")
		}
	}
	for _, text := range c.TCPPorts {
		if _, err := parsePortRange(text); err != nil {
			v.add("tcp-ports", text, err.Error())
		}
	}
	if c.ListenTLS != Off && len(c.TLS.Certificates) == 0 && !c.DockerFlow.Proxy.on() {
		v.add("listen-tls", c.ListenTLS, "needs tls.certificates")
	}
	seen := map[string]string{}
	for _, l := range append([]ownAddress{{"listen", c.Listen}, {"listen-tls", c.ListenTLS}}, c.ownAddresses()...) {
		if _, port, err := net.SplitHostPort(l.address); err != nil || port == "0" {
			continue
		}
		if other, ok := seen[l.address]; ok {
			v.add(l.key, l.address, "the same address as "+other)
		}
		seen[l.address] = l.key
	}
	for _, cert := range c.TLS.Certificates {
		v.readable("tls.certificates", cert.Cert)
		if cert.Key != cert.Cert {
			v.readable("tls.certificates", cert.Key)
		}
	}
}

// ownAddress is an address that Fairway itself listens on, and its key.
type ownAddress struct{ key, address string }

// ownAddresses are those that are not for the traffic of services.
func (c *Config) ownAddresses() []ownAddress {
	return []ownAddress{
		{"admin.listen", c.Admin.Listen},
		{"dockerflow.proxy.listen", c.DockerFlow.Proxy.Listen},
		{"dockerflow.listener.listen", c.DockerFlow.Listener.Listen},
		{"fleet.listen", c.Fleet.Listen},
	}
}

// ownPorts are the ports of ownAddresses, with their keys.
func (c *Config) ownPorts() map[uint16]string {
	ports := map[uint16]string{}
	for _, own := range c.ownAddresses() {
		if _, digits, err := net.SplitHostPort(own.address); err == nil {
			if port, err := strconv.ParseUint(digits, 10, 16); err == nil {
				ports[uint16(port)] = own.key
			}
		}
	}
	return ports
}

// address checks a host:port or "off".
func (v *validation) address(key, value string) {
	if value == Off {
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

func (v *validation) readable(key, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		v.add(key, path, "cannot be read: "+cause(err))
	case info.IsDir():
		v.add(key, path, "is a directory")
	}
}

// cause leaves the path out of a file system error; the fault has it already.
func cause(err error) string {
	if i := strings.LastIndex(err.Error(), ": "); i >= 0 {
		return err.Error()[i+2:]
	}
	return err.Error()
}

func (v *validation) admin(c *Config) {
	for _, f := range []struct{ key, path string }{
		{"admin.token-file", c.Admin.TokenFile},
		{"admin.tls-cert", c.Admin.TLSCert},
		{"admin.tls-key", c.Admin.TLSKey},
		{"admin.client-ca", c.Admin.ClientCA},
	} {
		if f.path != "" {
			v.readable(f.key, f.path)
		}
	}
	switch {
	case c.Admin.TLSCert == "" && c.Admin.TLSKey != "":
		v.add("admin.tls-key", c.Admin.TLSKey, "needs admin.tls-cert")
	case c.Admin.TLSCert != "" && c.Admin.TLSKey == "":
		v.add("admin.tls-cert", c.Admin.TLSCert, "needs admin.tls-key")
	case c.Admin.TLSCert == "" && c.Admin.ClientCA != "":
		v.add("admin.client-ca", c.Admin.ClientCA, "needs admin.tls-cert")
	}
	for _, host := range c.Admin.AllowedHosts {
		if host == "" || strings.ContainsAny(host, " /:*") {
			v.add("admin.allowed-hosts", host, "write plain host names, without scheme, port or wildcard")
		}
	}
	if c.Admin.Anonymous != "" {
		v.oneOf("admin.anonymous", c.Admin.Anonymous, append([]string{api.RoleNone}, api.Roles()...)...)
	}
	host, _, err := net.SplitHostPort(c.Admin.Listen)
	if c.Admin.Listen == Off || strings.HasPrefix(c.Admin.Listen, "unix://") || err != nil || isLoopback(host) {
		return
	}
	if c.Admin.TLSCert == "" && !c.Admin.Insecure {
		v.add("admin.listen", c.Admin.Listen, "beyond loopback TLS is needed: set admin.tls-cert and admin.tls-key, or listen on 127.0.0.1; admin.insecure allows it without")
	}
	if c.Admin.Anonymous != "" && c.Admin.Anonymous != api.RoleNone {
		v.add("admin.anonymous", c.Admin.Anonymous, "beyond loopback everybody would be that; write none")
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func (v *validation) docker(c *Config) {
	for _, raw := range c.Docker {
		v.dockerURL("docker", raw, c)
	}
	for i, raw := range c.Swarm {
		v.dockerURL("swarm", raw, c)
		if slices.Contains(c.Swarm[:i], raw) {
			v.add("swarm", redact(raw), "given twice; each manager is asked once")
		}
	}
	for _, f := range []struct{ key, path string }{
		{"docker-tls.ca", c.DockerTLS.CA},
		{"docker-tls.cert", c.DockerTLS.Cert},
		{"docker-tls.key", c.DockerTLS.Key},
		{"docker-ssh.known-hosts", c.DockerSSH.KnownHosts},
		{"docker-ssh.identity", c.DockerSSH.Identity},
	} {
		if f.path != "" {
			v.readable(f.key, f.path)
		}
	}
	if c.DockerTLS.Cert != "" && c.DockerTLS.Key == "" {
		v.add("docker-tls.cert", c.DockerTLS.Cert, "needs docker-tls.key")
	}
	if c.DockerTLS.Key != "" && c.DockerTLS.Cert == "" {
		v.add("docker-tls.key", c.DockerTLS.Key, "needs docker-tls.cert")
	}
}

func (v *validation) dockerURL(key, raw string, c *Config) {
	u, err := url.Parse(raw)
	if err != nil {
		v.add(key, redact(raw), "no URL; write unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]")
		return
	}
	if _, secret := u.User.Password(); secret {
		v.add(key, redact(raw), "a password does not belong in a URL; use docker-tls or docker-ssh")
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			v.add(key, redact(raw), "write unix:// and an absolute path: unix:///var/run/docker.sock")
		}
	case "tcp":
		if u.Hostname() == "" || u.Port() == "" {
			v.add(key, redact(raw), "write tcp://HOST:PORT")
		}
		if c.DockerTLS == (DockerTLSConfig{}) && !c.DockerInsecure {
			v.add(key, redact(raw), "needs docker-tls.ca, docker-tls.cert and docker-tls.key; docker-insecure allows it without TLS")
		}
	case "ssh":
		if u.Hostname() == "" {
			v.add(key, redact(raw), "write ssh://[USER@]HOST[:PORT]")
		}
	default:
		v.add(key, redact(raw), "write unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]")
	}
}

// redact takes a password out of a URL, also out of one that does not parse.
func redact(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		return scheme + "://xxxxx@" + host
	}
	return raw
}

// parsePortRange reads a port, or a range of ports.
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
