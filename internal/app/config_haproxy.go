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
	Path            string        `name:"path" placeholder:"PATH" derived:"haproxy in PATH, else in the usual places" help:"The haproxy program to start, 2.6 or newer, with Lua."`
	MasterSocket    string        `name:"master-socket" placeholder:"PATH" help:"Master socket of an HAProxy that somebody else runs on this machine with haproxy.cfg in state-dir/haproxy; none is started then. Needs haproxy.socket."`
	Socket          string        `name:"socket" placeholder:"PATH" help:"Runtime socket of that HAProxy, with level admin."`
	StopWithFairway bool          `name:"stop-with-fairway" preset:"false" help:"End HAProxy with Fairway, instead of leaving it to serve until the next Fairway takes it over. Ctrl-C, and the end of a container, end it in any case."`
	HardStopAfter   time.Duration `name:"hard-stop-after" placeholder:"DURATION" preset:"30m" help:"How long what runs in an old worker may go on after a reload."`
	Spares          int           `name:"spares" placeholder:"N" preset:"50" help:"How many services may come without a reload, until one is made for other reasons. Each costs some 10 kB."`
	Threads         int           `name:"threads" placeholder:"N" derived:"one for each CPU" help:"How many threads a worker has."`
	Snippets        []string      `name:"snippets" placeholder:"SERVICE" sep:"," help:"Services whose labels may hold lines of HAProxy's configuration (com.df.backendExtra); * for all. Such lines can undo what protects other services. Repeatable."`
	MaxConnections  int           `name:"max-connections" placeholder:"N" derived:"as many as the limit of open files allows" help:"How many connections a worker takes."`
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
