package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/discovery"
	"fairway/internal/discovery/certificates"
	"fairway/internal/discovery/posted"
	"fairway/internal/dockerflow"
	"fairway/internal/dockerflow/env"
)

// dockerFlow is what Fairway does for those who know Docker Flow: labels, variables
// and the two HTTP APIs, each as far as it is asked for.
type dockerFlow struct {
	cfg DockerFlowConfig
	env *env.Environment
	log *slog.Logger
	// The sources behind the proxy's API; nil without it.
	posted       *posted.Source
	certificates *certificates.Source
	found        []catalog.Certificate // at start

	proxy, listener *flowAPI      // nil when off
	waiting         func() string // what the proxy's API still lacks; nil when off
}

// flowAPI is one of the two on its address. run is what it does besides answering.
type flowAPI struct {
	socket net.Listener
	server *http.Server
	run    func(context.Context) error
}

func (c DockerFlowProxyConfig) on() bool    { return c.Listen != "" && c.Listen != Off }
func (c DockerFlowListenerConfig) on() bool { return c.Listen != "" && c.Listen != Off }

// readDockerFlow translates the environment. secrets holds the Docker secrets.
func readDockerFlow(cfg *Config, environ []string, secrets fs.FS) (*dockerFlow, error) {
	f := &dockerFlow{cfg: cfg.DockerFlow}
	on := env.Parts{Proxy: f.cfg.Proxy.on() || f.cfg.Labels, Listener: f.cfg.Listener.on(), HAProxy: cfg.Engine == EngineHAProxy}
	var err error
	if f.env, err = env.Read(environment(environ), secrets, on); err != nil {
		return nil, fmt.Errorf("variables of Docker Flow: %w", err)
	}
	return f, nil
}

// newDockerFlow also makes the sources. The state directory exists.
func newDockerFlow(cfg *Config, environ []string, secrets fs.FS, log *slog.Logger) (*dockerFlow, error) {
	f, err := readDockerFlow(cfg, environ, secrets)
	if err != nil {
		return nil, err
	}
	f.log = log.With("part", "dockerflow")
	for _, notice := range f.env.Notices {
		f.log.Warn("variable of Docker Flow is left out", "reason", notice)
	}
	if !f.cfg.Proxy.on() {
		return f, nil
	}
	if f.posted, err = posted.New(posted.Options{Path: filepath.Join(cfg.StateDir, "posted.json"), Logger: f.log}); err != nil {
		return nil, err
	}
	if _, err := f.posted.Replace("environment", f.env.Services); err != nil {
		return nil, err
	}
	f.certificates, err = certificates.New(certificates.Options{
		Dir: f.cfg.Proxy.Certificates, More: certificateDirs(), Preferred: f.env.Preferred, Logger: f.log,
	})
	if err != nil {
		return nil, err
	}
	if f.found, err = f.certificates.Read(); err != nil {
		f.log.Error("certificates cannot be read, trying again", "error", err)
	}
	return f, nil
}

// sources are the sources behind the APIs; a nil f has none.
func (f *dockerFlow) sources() []discovery.Source {
	if f == nil || f.posted == nil {
		return nil
	}
	return []discovery.Source{f.posted, f.certificates}
}

// settings are what the compiler needs: the listeners of the configuration and those
// that the environment asks for, and how labels of Docker Flow are read, if at all.
func (f *dockerFlow) settings(cfg *Config) compile.Settings {
	s := compile.Settings{Listeners: f.env.ListenersOf(cfg.Listeners()), HTTPSPort: httpsPort(cfg.ListenTLS), UserDirs: append([]string{}, cfg.LabelFiles...)}
	for _, text := range cfg.TCPPorts {
		if ports, err := parsePortRange(text); err == nil {
			s.TCPPorts = append(s.TCPPorts, ports)
		}
	}
	s.Reserved = cfg.ownPorts()
	if f.cfg.Proxy.on() || f.cfg.Labels {
		if cfg.Engine == EngineHAProxy {
			f.env.Labels.Snippets = cfg.HAProxy.Snippets
		}
		s.DockerFlow = &f.env.Labels
	}
	return s
}

// userDirs are the directories below which the engine opens user files: those that
// labels may name, and that of the secrets of Docker Flow.
func (f *dockerFlow) userDirs(cfg *Config) []string {
	dirs := slices.Clone(cfg.LabelFiles)
	if f.cfg.Proxy.on() || f.cfg.Labels {
		dirs = append(dirs, compile.FlowSecrets)
	}
	return dirs
}

// bind makes the APIs and binds their addresses.
func (f *dockerFlow) bind(e engine, feed *catalog.Feed, tables dockerflow.Tables, metrics prometheus.Gatherer, shown func(key, value string) string, l *lifecycle) error {
	if f.cfg.Proxy.on() {
		o := f.env.ProxyOptions
		if _, own, err := net.SplitHostPort(f.cfg.Proxy.Listen); err == nil && o.Port == "" && own != "0" {
			o.Port = own
		}
		o.Posted, o.Certificates, o.Catalogue, o.Tables = f.posted, f.certificates, feed, tables
		o.Metrics, o.Statistics, o.HAProxy = promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}), statisticsOf(e, tables), asHAProxy(e)
		o.ShownLabel, o.Logger = shown, f.log
		p, err := dockerflow.NewProxy(o)
		if err != nil {
			return err
		}
		f.waiting = p.Waiting
		if f.proxy, err = newFlowAPI(f.cfg.Proxy.Listen, p, p.Run, l); err != nil {
			return fmt.Errorf("dockerflow.proxy.listen: %w", err)
		}
	}
	if f.cfg.Listener.on() {
		o := f.env.ListenerOptions
		o.Catalogue, o.ShownLabel, o.Logger = feed, shown, f.log
		d, err := dockerflow.NewListener(o)
		if err != nil {
			return err
		}
		if f.listener, err = newFlowAPI(f.cfg.Listener.Listen, d, d.Run, l); err != nil {
			return fmt.Errorf("dockerflow.listener.listen: %w", err)
		}
	}
	return nil
}

// newFlowAPI binds the address of an API.
func newFlowAPI(address string, handler http.Handler, run func(context.Context) error, l *lifecycle) (*flowAPI, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	f := &flowAPI{socket: socket, run: run, server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}}
	l.onStop("API of Docker Flow", func(context.Context) error {
		_ = socket.Close() // closed already when it was served
		return f.server.Close()
	})
	return f, nil
}

// run serves the APIs until ctx ends.
func (f *dockerFlow) run(ctx context.Context, g *errgroup.Group) {
	for _, api := range []*flowAPI{f.proxy, f.listener} {
		if api == nil {
			continue
		}
		g.Go(func() error { return api.run(ctx) })
		g.Go(func() error {
			if err := api.server.Serve(api.socket); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("API of Docker Flow: %w", err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			stopping, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			return api.server.Shutdown(stopping)
		})
	}
}

// DockerFlowAddr returns the address of an API, "proxy" or "listener", or nil when it
// is off.
func (a *App) DockerFlowAddr(name string) net.Addr {
	f := map[string]*flowAPI{"proxy": a.flow.proxy, "listener": a.flow.listener}[name]
	if f == nil {
		return nil
	}
	return f.socket.Addr()
}

// certificateDirs are the directories in which Docker Flow Proxy finds certificates.
func certificateDirs() []certificates.Dir {
	return []certificates.Dir{{Path: "/certs"}, {Path: secretsPath, Prefixes: []string{"cert-", "cert_"}}}
}

// secretsPath is where Docker mounts secrets.
const secretsPath = compile.FlowSecrets

// secretsDir holds the Docker secrets.
func secretsDir() fs.FS { return os.DirFS(secretsPath) }

// dockerFlow checks the addresses of the APIs.
func (v *validation) dockerFlow(c *Config) {
	for _, api := range []struct{ key, address string }{
		{"dockerflow.proxy.listen", c.DockerFlow.Proxy.Listen},
		{"dockerflow.listener.listen", c.DockerFlow.Listener.Listen},
	} {
		if api.address == "" || api.address == Off {
			continue
		}
		v.address(api.key, api.address)
		if overlap(api.address, c.Admin.Listen) && api.address != c.Admin.Listen {
			v.add(api.key, api.address, "takes the port of admin.listen, "+c.Admin.Listen+"; give that another one, such as 127.0.0.1:9000, or off")
		}
	}
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
