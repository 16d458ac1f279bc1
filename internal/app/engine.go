package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"fairway/internal/engine/embedded"
	"fairway/internal/engine/embedded/terminate"
	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy"
	"fairway/internal/engine/haproxy/lua"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
	"fairway/internal/notify/observe"
	"fairway/internal/route"
)

// engine is what makes tables live; see control.Engine for Apply.
type engine interface {
	Name() string
	Apply(ctx context.Context, t *route.Table) error
	// Addr is where a listener is bound, or nil.
	Addr(listener string) net.Addr
	// UserFile reports what is wrong with the user file of a filter.
	UserFile(a *route.BasicAuth) (unreadable string, faults []string)
	// Endpoints and Traffic are what it knows of endpoints and has counted of routes, and
	// EndpointTotals what it has counted of endpoints.
	Endpoints() []traffic.EndpointStatus
	EndpointTotals() []traffic.EndpointTotals
	Traffic() []traffic.Totals
	// Requests is where requests that are over are reported.
	Requests() *traffic.Log
	// Stop drains until ctx ends.
	Stop(ctx context.Context) error
}

// newEngine makes the engine, and what says which routes it cannot serve, nil for none.
func (a *App) newEngine(accessLog io.Writer, m *metrics.Set) (engine, func(*route.Route, *route.Backend) string, error) {
	limits, log := a.flow.env.Limits, a.log.With("part", "engine")
	sources, _ := a.cfg.errorPages()
	var takes func(page string) error
	if a.cfg.Engine == EngineHAProxy {
		takes = lua.CheckPage
	}
	pages, err := errorpage.Open(sources, takes, log)
	if err != nil {
		return nil, nil, err
	}
	if len(sources) > 0 {
		a.parts = append(a.parts, pages.Run)
	}
	if a.cfg.Engine == EngineHAProxy {
		h := &a.cfg.HAProxy
		dir, err := filepath.Abs(filepath.Join(a.cfg.StateDir, "haproxy"))
		if err != nil {
			return nil, nil, err
		}
		if err := a.flow.env.CheckExtra(context.Background(), h.Path); err != nil {
			return nil, nil, fmt.Errorf("variables of Docker Flow: %w", err)
		}
		e, err := haproxy.New(haproxy.Options{
			Dir:          dir,
			Program:      h.Path,
			MasterSocket: h.MasterSocket,
			AdminSocket:  h.Socket,
			Logger:       log,
			AccessLog:    accessLog,
			Metrics:      m,
			UserDirs:     a.flow.userDirs(&a.cfg),
			Pages:        pages,
			OnChange:     a.recompile,
			OnDrained:    a.reportDrained,
			Render: render.Options{
				AccessLog:       accessLog != nil,
				Spares:          noneAt(h.Spares),
				HardStopAfter:   h.HardStopAfter,
				Threads:         h.Threads,
				MaxConnections:  h.MaxConnections,
				DialTimeout:     limits.DialTimeout,
				ResponseTimeout: limits.ResponseTimeout,
				HeaderTimeout:   limits.HeaderTimeout,
				IdleTimeout:     limits.IdleTimeout,
				ClientTimeout:   cmp.Or(a.flow.env.HAProxy.ClientTimeout, a.cfg.BodyTimeout),
				TunnelTimeout:   a.flow.env.HAProxy.TunnelTimeout,
				Extra:           a.flow.env.HAProxy.Extra,
			},
		})
		if err != nil {
			return nil, nil, err
		}
		return e, e.Unsupported, nil
	}
	e, err := embedded.New(embedded.Options{
		Logger:    log,
		AccessLog: accessLog,
		Metrics:   m,

		MaxConns:          a.cfg.MaxConnections,
		MaxConnsPerSource: a.cfg.MaxConnectionsPerClient,

		DialTimeout:     limits.DialTimeout,
		ResponseTimeout: limits.ResponseTimeout,
		HeaderTimeout:   limits.HeaderTimeout,
		IdleTimeout:     limits.IdleTimeout,
		BodyTimeout:     a.cfg.BodyTimeout,
		UserDirs:        a.flow.userDirs(&a.cfg),
		Pages:           pages,
		OnChange:        a.recompile,
		OnDrained:       a.reportDrained,
		Automatic:       terminate.Automatic{Challenge: a.acme.Challenge(), Demand: a.acme.OnDemand()},
	})
	if err != nil {
		return nil, nil, err
	}
	return e, nil, nil
}

// noneAt makes -1 of zero, which options of the renderer take for their default.
func noneAt(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// maxDrained is how many endpoints that have left wait to be reported.
const maxDrained = 1024

// reportDrained passes on how an endpoint has left, unless too many wait.
func (a *App) reportDrained(d traffic.Drained) {
	select {
	case a.drained <- observe.Drained{Service: d.Service, Requests: d.Requests, Failed: d.Failed, Took: d.Took}:
	default:
	}
}

// stopEngine drains until ctx ends, or leaves HAProxy to the next Fairway. One that could
// not start leaves what it found, and nothing else.
func (a *App) stopEngine(ctx context.Context) error {
	if h, ok := a.engine.(*haproxy.Engine); ok {
		if a.failed && !h.Started() || !a.failed && !a.cfg.HAProxy.StopWithFairway && a.outlive != nil && a.outlive() {
			return h.Leave(ctx)
		}
	}
	return a.engine.Stop(ctx)
}
