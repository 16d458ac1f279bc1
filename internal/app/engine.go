package app

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/admin"
	"fairway/internal/engine/embedded"
	"fairway/internal/route"
)

// engine is what makes tables live; see control.Engine for Apply.
type engine interface {
	Name() string
	Apply(ctx context.Context, t *route.Table) error
	// Addr is where a listener is bound, or nil.
	Addr(listener string) net.Addr
	// Stop drains until ctx ends.
	Stop(ctx context.Context) error
}

// engineLimits are times that the environment may set for any engine; zero is the
// engine's default.
type engineLimits struct {
	DialTimeout, ResponseTimeout time.Duration
	HeaderTimeout, IdleTimeout   time.Duration
}

// newEngine makes the engine that the configuration names, and what shows its
// endpoints.
func (a *App) newEngine(accessLog io.Writer, metrics prometheus.Registerer) (engine, admin.Engine, error) {
	if a.cfg.Engine != EngineEmbedded {
		return nil, nil, errors.New("engine haproxy: not in this version")
	}
	limits := a.flow.env.limits
	e, err := embedded.New(embedded.Options{
		Logger:          a.log.With("part", "engine"),
		AccessLog:       accessLog,
		Registerer:      metrics,
		DialTimeout:     limits.DialTimeout,
		ResponseTimeout: limits.ResponseTimeout,
		HeaderTimeout:   limits.HeaderTimeout,
		IdleTimeout:     limits.IdleTimeout,
	})
	if err != nil {
		return nil, nil, err
	}
	return e, embeddedEndpoints{e}, nil
}
