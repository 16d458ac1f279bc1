package render

import (
	"errors"

	"fairway/internal/route"
)

// cache is what makes the next rendering cheaper.
type cache struct{}

// Render writes the configuration that means t. previous is the configuration that
// runs, nil when none does: what it has is kept as far as that saves a reload. The
// error is a fault of the options, or a table that is more than this engine takes;
// it names the part.
func Render(_ *route.Table, _ *Config, _ Options) (*Config, error) {
	return nil, errors.New("render: not yet")
}

// Unsupported says why a route with its backend (nil for none) cannot be served on
// HAProxy exactly as the table means it; empty when it can.
func Unsupported(_ *route.Route, _ *route.Backend, _ Capabilities) string { return "" }
