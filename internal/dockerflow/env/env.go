// Package env translates the environment of Docker Flow Proxy and of its Swarm
// Listener: variables and Docker secrets become settings of Fairway. Its tables
// (variables.go, haproxy.go) say what becomes of each variable;
// docs/docker-flow-env.md is printed from them.
package env

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"
	labels "fairway/internal/compile/dockerflow"
	"fairway/internal/dockerflow"
	"fairway/internal/route"
)

// status is what becomes of a variable.
type status string

const (
	kept    status = "kept"
	ignored status = "ignored" // the log says so, unless the value says what holds anyway
	refused status = "refused" // Fairway does not start: less would be protected than before
)

// variable is one variable of Docker Flow Proxy, or of its Swarm Listener.
type variable struct {
	name string
	// secret is true where the Docker secret dfp_<name>, in lower case, wins, even when it is
	// empty.
	secret bool
	// appended is true where the URLs in the Docker secret of the same name, in lower case,
	// come on top.
	appended bool
	status   status
	// harmless are values of a variable that is not kept that mean what holds anyway.
	harmless []string
	meaning  string // what becomes of it, for people
	read     func(e *Environment, value string) error
}

// Environment is what the variables of Docker Flow say, in Fairway's terms.
type Environment struct {
	// What holds for the engine and the labels.
	Labels  labels.Options
	Limits  Limits
	HAProxy HAProxy
	Debug   bool // write the access log to standard output

	// What holds for the APIs, which lack the parts of Fairway that they serve.
	dockerflow.ProxyOptions
	dockerflow.ListenerOptions
	Preferred []string           // patterns of certificates that come first
	Services  []*catalog.Service // those that variables describe

	// Notices are for the log: what is ignored and why.
	Notices []string

	ports                        []route.Listener
	clientCA                     string
	mode                         string // of services in the environment
	encrypted                    bool
	users                        *string
	createService, removeService []string
	createNode, removeNode       []string
	createMethods, removeMethods []string
}

// Limits are times that hold for any engine; zero is the engine's default.
type Limits struct {
	DialTimeout, ResponseTimeout time.Duration
	HeaderTimeout, IdleTimeout   time.Duration
}

// Parts says whose variables are read, and whether HAProxy is the engine.
type Parts struct{ Proxy, Listener, HAProxy bool }

// Read translates the variables. secrets holds the Docker secrets. The error names everything
// that cannot be read or must be refused.
func Read(env map[string]string, secrets fs.FS, on Parts) (*Environment, error) {
	e := &Environment{Labels: labels.Options{Instance: "docker-flow"}}
	var faults []error
	var variables []variable
	if on.Proxy {
		variables = proxyVariables()
	}
	if on.Proxy && on.HAProxy {
		variables = withHAProxy(variables)
	}
	if on.Listener {
		variables = append(variables, listenerVariables()...)
	}
	for _, v := range variables {
		if err := e.take(v, env, secrets); err != nil {
			faults = append(faults, err)
		}
	}
	if on.Proxy {
		faults = append(faults, e.finishProxy(env, secrets))
	}
	if on.Proxy && on.HAProxy {
		faults = append(faults, e.finishHAProxy(env, secrets))
	}
	if on.Listener {
		faults = append(faults, e.finishListener(secrets))
	}
	return e, errors.Join(faults...)
}

func (e *Environment) take(v variable, env map[string]string, secrets fs.FS) error {
	value, given := env[v.name]
	if text, there := secretOf(secrets, "dfp_"+v.name); v.secret && there {
		value, given = text, true
	}
	if !given || value == "" && v.status != kept || slices.Contains(v.harmless, value) {
		return nil
	}
	switch v.status {
	case ignored:
		e.Notices = append(e.Notices, v.name+": "+v.meaning)
	case refused:
		return fmt.Errorf("%s: %s", v.name, v.meaning)
	case kept:
		if err := v.read(e, value); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// secretOf reads the Docker secret of a name in lower case.
func secretOf(secrets fs.FS, name string) (text string, there bool) {
	data, err := fs.ReadFile(secrets, strings.ToLower(name))
	return strings.TrimSpace(string(data)), err == nil
}

// finishProxy reads what depends on several variables.
func (e *Environment) finishProxy(env map[string]string, secrets fs.FS) error {
	if e.users != nil {
		e.Labels.Users = labels.ParseUsers("USERS", *e.users, e.encrypted)
	}
	e.Labels.Secrets = map[string][]route.User{}
	if entries, err := fs.ReadDir(secrets, "."); err == nil {
		for _, entry := range entries {
			name, ok := strings.CutPrefix(entry.Name(), "dfp_users_")
			if !ok || name == "pass_encrypted" {
				continue
			}
			text, err := fs.ReadFile(secrets, entry.Name())
			if err != nil {
				return fmt.Errorf("secret %s: %w", entry.Name(), err)
			}
			e.Labels.Secrets[name] = labels.ParseUsers(name, string(text), false)
		}
	}
	e.Settings = dockerflow.Settings(e.Labels)
	services, faulty := e.Settings.EnvironmentServices(env, e.mode)
	e.Services = services
	for _, reason := range faulty {
		e.Notices = append(e.Notices, "DFP_SERVICE: "+reason)
	}
	return nil
}

// finishListener adds the URLs in secrets to those in variables.
func (e *Environment) finishListener(secrets fs.FS) error {
	var faults []error
	more := &Environment{}
	for _, v := range listenerVariables() {
		text, there := secretOf(secrets, v.name)
		if !there || !v.appended {
			continue
		}
		if err := v.read(more, text); err != nil {
			faults = append(faults, fmt.Errorf("secret %s: %w", strings.ToLower(v.name), err))
		}
	}
	e.CreateService = receivers(append(e.createService, more.createService...), e.createMethods)
	e.RemoveService = receivers(append(e.removeService, more.removeService...), e.removeMethods)
	e.CreateNode = receivers(append(e.createNode, more.createNode...), nil)
	e.RemoveNode = receivers(append(e.removeNode, more.removeNode...), nil)
	return errors.Join(faults...)
}

// ListenersOf adds the ports that the environment asks for to the listeners of the
// configuration, which 80 and 443 stand for wherever they listen.
func (e *Environment) ListenersOf(configured []route.Listener) []route.Listener {
	list := slices.Clone(configured)
	e.Labels.Ports = map[uint16]string{}
	taken := map[string]bool{}
	var plain, secure *route.Listener
	for i := range configured {
		l := &configured[i]
		if _, port, err := net.SplitHostPort(l.Address); err == nil {
			taken[port] = true
		}
		if l.TLS {
			secure = l
			e.Labels.Ports[443] = l.Name
		} else {
			plain = l
			e.Labels.Ports[80] = l.Name
		}
	}
	for _, l := range e.ports {
		port := strings.TrimPrefix(l.Address, ":")
		if taken[port] || port == "80" && plain != nil || port == "443" && secure != nil {
			continue
		}
		taken[port] = true
		like := plain
		if l.TLS {
			like = secure
		}
		if like != nil {
			l.TrustedProxies, l.Certificates, l.TLSOptions, l.Hosts = like.TrustedProxies, like.Certificates, like.TLSOptions, like.Hosts
		}
		list = append(list, l)
	}
	for i := range list {
		if list[i].TLS {
			list[i].ClientCAFile = e.clientCA
		}
	}
	return list
}

// receivers puts URLs and methods together; the last method holds for the rest.
func receivers(urls, methods []string) []dockerflow.Receiver {
	var list []dockerflow.Receiver
	for i, u := range urls {
		r := dockerflow.Receiver{URL: u}
		if len(methods) > 0 {
			r.Method = methods[min(i, len(methods)-1)]
		}
		list = append(list, r)
	}
	return list
}

// The readers of values.

func readText(place func(*Environment) *string) func(*Environment, string) error {
	return func(e *Environment, value string) error { *place(e) = value; return nil }
}

// readSwitch takes what is no boolean for no, as the original does.
func readSwitch(place func(*Environment) *bool) func(*Environment, string) error {
	return func(e *Environment, value string) error {
		*place(e), _ = strconv.ParseBool(value)
		return nil
	}
}

func readSeconds(unit time.Duration, place func(*Environment) *time.Duration) func(*Environment, string) error {
	return func(e *Environment, value string) error {
		n, err := strconv.Atoi(value)
		if value == "" {
			return nil
		}
		if err != nil || n < 0 || n > 1_000_000_000 {
			return errors.New("not a number")
		}
		*place(e) = time.Duration(n) * unit
		return nil
	}
}

// items cuts a list at its commas, without what is empty.
func items(value string) []string {
	parts := strings.Split(value, ",")
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
	}
	return slices.DeleteFunc(parts, func(part string) bool { return part == "" })
}

func readList(place func(*Environment) *[]string) func(*Environment, string) error {
	return func(e *Environment, value string) error {
		*place(e) = append(*place(e), items(value)...)
		return nil
	}
}

// readURLs reads a list of URLs, in place of those of another variable.
func readURLs(place func(*Environment) *[]string) func(*Environment, string) error {
	return func(e *Environment, value string) error {
		all := items(value)
		for _, item := range all {
			u, err := url.Parse(item)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return errors.New("not a list of http:// or https:// URLs")
			}
		}
		if len(all) > 0 {
			*place(e) = all
		}
		return nil
	}
}

// readPorts reads items like "80", "443:ssl" and "443 accept-proxy:ssl".
func readPorts(e *Environment, value string) error {
	for _, item := range items(value) {
		words, secure := strings.CutSuffix(item, ":ssl")
		fields := strings.Fields(words)
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseUint(fields[0], 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port", fields[0])
		}
		l := route.Listener{Name: fmt.Sprint("http-", n), Address: fmt.Sprint(":", n), TLS: secure}
		if secure {
			l.Name = fmt.Sprint("https-", n)
		}
		for _, word := range fields[1:] {
			if word != "accept-proxy" {
				return fmt.Errorf("port %d: the word %q is HAProxy's; only accept-proxy and :ssl are understood", n, word)
			}
			l.ProxyProtocol = true
		}
		e.ports = append(e.ports, l)
	}
	return nil
}
