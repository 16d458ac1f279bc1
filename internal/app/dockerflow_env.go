package app

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
	"fairway/internal/compile"
	"fairway/internal/discovery/certificates"
	"fairway/internal/dockerflow"
	"fairway/internal/route"
)

// flowFate is what becomes of a variable of Docker Flow.
type flowFate string

const (
	flowKept    flowFate = "kept"
	flowIgnored flowFate = "ignored" // with a notice in the log, unless the value says what holds anyway
	flowRefused flowFate = "refused" // Fairway does not start, for less would be protected than was
)

// flowVariable is one variable of Docker Flow Proxy, or of its Swarm Listener.
type flowVariable struct {
	name string
	// secret tells that the Docker secret dfp_<name>, in lower case, is read as
	// well; it wins, even when it is empty.
	secret bool
	// appended tells that the URLs in the Docker secret of the same name, in lower
	// case, come on top; see finishListener.
	appended bool
	fate     flowFate
	// harmless are values of a variable that is not kept that mean what holds
	// anyway; nothing is said about them.
	harmless []string
	// meaning says, for people, what becomes of it.
	meaning string
	// read takes the value over.
	read func(e *flowEnvironment, value string) error
}

// flowEnvironment is what the variables of Docker Flow say, in Fairway's terms.
type flowEnvironment struct {
	settings dockerflow.Settings
	compile  compile.DockerFlow
	limits   engineLimits
	haproxy  flowHAProxy
	debug    bool
	ports    []flowPort
	clientCA string

	serviceName  string
	port         string
	checkAddress bool
	listeners    []string
	pullInterval time.Duration
	repeat       bool
	preferred    []string
	mode         string // of services in the environment
	services     []*catalog.Service
	encrypted    bool
	users        *string

	announcing                   dockerflow.Announcing
	createService, removeService []string
	createNode, removeNode       []string
	createMethods, removeMethods []string
	retries                      int
	retryInterval                time.Duration

	// notices are told in the log: what is ignored and why.
	notices []string
}

// flowPort is a port that is to be listened on.
type flowPort struct {
	number uint16
	tls    bool
	proxy  bool // a PROXY protocol header comes first
}

// flowFaces says which faces are on, and so whose variables are read; and whether
// HAProxy is the engine.
type flowFaces struct{ proxy, listener, haproxy bool }

// readFlowEnvironment translates the variables of the faces that are on. secrets
// holds the Docker secrets, /run/secrets. The error tells everything that cannot be
// read or must be refused.
func readFlowEnvironment(env map[string]string, secrets fs.FS, on flowFaces) (*flowEnvironment, error) {
	e := &flowEnvironment{settings: dockerflow.Settings{Instance: "docker-flow"}}
	var faults []error
	proxyVariables := flowProxyVariables()
	if on.haproxy {
		proxyVariables = withHAProxy(proxyVariables)
	}
	for _, part := range []struct {
		on        bool
		variables []flowVariable
	}{{on.proxy, proxyVariables}, {on.listener, flowListenerVariables()}} {
		if !part.on {
			continue
		}
		for _, v := range part.variables {
			if err := e.take(v, env, secrets); err != nil {
				faults = append(faults, err)
			}
		}
	}
	if on.proxy {
		faults = append(faults, e.finishProxy(env, secrets))
	}
	if on.proxy && on.haproxy {
		faults = append(faults, e.finishHAProxy(env, secrets))
	}
	if on.listener {
		faults = append(faults, e.finishListener(secrets))
	}
	return e, errors.Join(faults...)
}

// take reads one variable.
func (e *flowEnvironment) take(v flowVariable, env map[string]string, secrets fs.FS) error {
	value, given := env[v.name]
	if v.secret {
		if text, err := fs.ReadFile(secrets, "dfp_"+strings.ToLower(v.name)); err == nil {
			value, given = strings.TrimSpace(string(text)), true
		}
	}
	if !given || value == "" && v.fate != flowKept || slices.Contains(v.harmless, value) {
		return nil
	}
	switch v.fate {
	case flowIgnored:
		e.notices = append(e.notices, v.name+": "+v.meaning)
	case flowRefused:
		return fmt.Errorf("%s: %s", v.name, v.meaning)
	case flowKept:
		if err := v.read(e, value); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// finishProxy reads what depends on several variables.
func (e *flowEnvironment) finishProxy(env map[string]string, secrets fs.FS) error {
	if e.users != nil {
		e.compile.Users = compile.ParseUsers("USERS", *e.users, e.encrypted)
	}
	e.compile.Separator = e.settings.Separator
	e.compile.HTTPSOnly = e.settings.HTTPSOnly
	e.compile.FilterInstance, e.compile.Instance = e.settings.FilterInstance, e.settings.Instance
	e.compile.Secrets = map[string][]route.User{}
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
			e.compile.Secrets[name] = compile.ParseUsers(name, string(text), false)
		}
	}
	services, refused := e.settings.EnvironmentServices(env, e.mode)
	e.services = services
	for _, reason := range refused {
		e.notices = append(e.notices, "DFP_SERVICE: "+reason)
	}
	return nil
}

// finishListener adds the URLs in secrets to those in variables.
func (e *flowEnvironment) finishListener(secrets fs.FS) error {
	var faults []error
	for name, list := range map[string]*[]string{
		"df_notify_create_service_url": &e.createService, "df_notify_remove_service_url": &e.removeService,
		"df_notify_create_node_url": &e.createNode, "df_notify_remove_node_url": &e.removeNode,
	} {
		text, err := fs.ReadFile(secrets, name)
		if err != nil {
			continue // there is no such secret
		}
		var more []string
		if err := readURLs(func(*flowEnvironment) *[]string { return &more })(e, strings.TrimSpace(string(text))); err != nil {
			faults = append(faults, fmt.Errorf("secret %s: %w", name, err))
		}
		*list = append(*list, more...)
	}
	return errors.Join(faults...)
}

// listenersOf adds the ports that the environment asks for to the listeners of the
// configuration. The usual ports stand for the configured listeners wherever those
// listen.
func (e *flowEnvironment) listenersOf(configured []route.Listener) []route.Listener {
	list := slices.Clone(configured)
	e.compile.Ports = map[uint16]string{}
	taken := map[string]bool{}
	var plain, secure *route.Listener
	for i := range configured {
		l := &configured[i]
		if _, port, err := net.SplitHostPort(l.Address); err == nil {
			taken[port] = true
		}
		if l.TLS {
			secure = l
			e.compile.Ports[443] = l.Name
		} else {
			plain = l
			e.compile.Ports[80] = l.Name
		}
	}
	for _, p := range e.ports {
		digits := strconv.Itoa(int(p.number))
		if taken[digits] || p.number == 80 && plain != nil || p.number == 443 && secure != nil {
			continue
		}
		taken[digits] = true
		l := route.Listener{Name: "http-" + digits, Address: ":" + digits, TLS: p.tls, ProxyProtocol: p.proxy}
		like := plain
		if p.tls {
			l.Name, like = "https-"+digits, secure
		}
		if like != nil {
			l.TrustedProxies, l.Certificates = like.TrustedProxies, like.Certificates
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

// certificateDirs are the directories in which Docker Flow Proxy finds certificates.
func certificateDirs() []certificates.Dir {
	return []certificates.Dir{{Path: "/certs"}, {Path: "/run/secrets", Prefixes: []string{"cert-", "cert_"}}}
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

func readText(place func(*flowEnvironment) *string) func(*flowEnvironment, string) error {
	return func(e *flowEnvironment, value string) error { *place(e) = value; return nil }
}

// readSwitch takes what is no boolean for no, as the original does.
func readSwitch(place func(*flowEnvironment) *bool) func(*flowEnvironment, string) error {
	return func(e *flowEnvironment, value string) error {
		*place(e), _ = strconv.ParseBool(value)
		return nil
	}
}

func readSeconds(unit time.Duration, place func(*flowEnvironment) *time.Duration) func(*flowEnvironment, string) error {
	return func(e *flowEnvironment, value string) error {
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

func readList(place func(*flowEnvironment) *[]string) func(*flowEnvironment, string) error {
	return func(e *flowEnvironment, value string) error {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*place(e) = append(*place(e), part)
			}
		}
		return nil
	}
}

// readURLs reads a list of URLs, in place of those of another variable.
func readURLs(place func(*flowEnvironment) *[]string) func(*flowEnvironment, string) error {
	return func(e *flowEnvironment, value string) error {
		var all []string
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			u, err := url.Parse(part)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return errors.New("not a list of http:// or https:// URLs")
			}
			all = append(all, part)
		}
		if len(all) > 0 {
			*place(e) = all
		}
		return nil
	}
}

// readPorts reads items like "80", "443:ssl" and "443 accept-proxy:ssl".
func readPorts(e *flowEnvironment, value string) error {
	for item := range strings.SplitSeq(value, ",") {
		words, secure := strings.CutSuffix(strings.TrimSpace(item), ":ssl")
		fields := strings.Fields(words)
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseUint(fields[0], 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port", fields[0])
		}
		p := flowPort{number: uint16(n), tls: secure}
		for _, word := range fields[1:] {
			if word != "accept-proxy" {
				return fmt.Errorf("port %d: the word %q is HAProxy's; only accept-proxy and :ssl are understood", n, word)
			}
			p.proxy = true
		}
		e.ports = append(e.ports, p)
	}
	return nil
}
