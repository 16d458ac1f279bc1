package app

import (
	"strconv"
	"strings"
	"time"
)

// The names of engines.
const (
	EngineEmbedded = "embedded"
	EngineHAProxy  = "haproxy"
)

// HAProxyConfig is the keys below haproxy. They mean nothing to other engines.
type HAProxyConfig struct {
	Path            string        `name:"path" placeholder:"PATH" derived:"haproxy in PATH, else in the usual places" help:"HAProxy binary, 2.6 or newer, with Lua."`
	MasterSocket    string        `name:"master-socket" placeholder:"PATH" help:"Master socket of an external HAProxy on this machine that runs haproxy.cfg in state-dir/haproxy; none is started then. Needs haproxy.socket."`
	Socket          string        `name:"socket" placeholder:"PATH" help:"Runtime socket of that HAProxy, with level admin."`
	StopWithFairway bool          `name:"stop-with-fairway" preset:"false" help:"Stop HAProxy with Fairway, instead of leaving it for the next Fairway to take over. Ctrl-C and the end of a container always stop it."`
	HardStopAfter   time.Duration `name:"hard-stop-after" placeholder:"DURATION" preset:"30m" help:"Maximum time for connections of an old worker after a reload."`
	Spares          int           `name:"spares" placeholder:"N" preset:"50" help:"Number of services that may come without a reload, until a reload for another reason. Each costs some 10 kB."`
	Threads         int           `name:"threads" placeholder:"N" derived:"one for each CPU" help:"Number of threads of a worker."`
	Snippets        []string      `name:"snippets" placeholder:"SERVICE" sep:"," help:"Services whose labels may hold lines of HAProxy's configuration (com.df.backendExtra); * for all. Such lines can bypass the protection of other services. Repeatable."`
	MaxConnections  int           `name:"max-connections" placeholder:"N" derived:"as many as the limit of open files allows" help:"Maximum number of connections of a worker."`
}

func (v *validation) engine(c *Config) {
	v.number("max-connections", c.MaxConnections, 0, 10_000_000)
	v.number("max-connections-per-client", c.MaxConnectionsPerClient, 0, 10_000_000)
	switch c.Engine {
	case EngineEmbedded:
		return
	case EngineHAProxy:
	default:
		v.add("engine", c.Engine, "no such engine; write embedded or haproxy")
		return
	}
	h := &c.HAProxy
	for _, s := range []struct{ key, path, needs, other string }{
		{"haproxy.master-socket", h.MasterSocket, "haproxy.socket", h.Socket},
		{"haproxy.socket", h.Socket, "haproxy.master-socket", h.MasterSocket},
	} {
		switch {
		case s.path == "":
		case !strings.HasPrefix(s.path, "/"):
			v.add(s.key, s.path, "write the absolute path of a unix socket")
		case s.other == "":
			v.add(s.key, s.path, "needs "+s.needs)
		}
	}
	if h.Path != "" {
		v.readable("haproxy.path", h.Path)
	}
	v.duration("haproxy.hard-stop-after", h.HardStopAfter, time.Second, 24*time.Hour)
	v.number("haproxy.spares", h.Spares, 0, 10_000)
	v.number("haproxy.threads", h.Threads, 0, 64)
	v.number("haproxy.max-connections", h.MaxConnections, 0, 10_000_000)
}

func (v *validation) number(key string, n, low, high int) {
	if n < low || n > high {
		v.add(key, strconv.Itoa(n), "must be between "+strconv.Itoa(low)+" and "+strconv.Itoa(high))
	}
}
