// Package enginetest is the behaviour suite of engines: it says what a
// route.Table means, once, in requests and answers. An engine is right when Run
// passes; where two engines differ, one of them fails here.
//
// Most cases are data, in testdata/*.txtar; see the README beside that folder
// for their form. Cases that stream, that look at connections or that change
// tables under way are Go, one file for each subject.
//
// Every case starts an engine of its own and endpoints of its own on loopback,
// and never looks inside the engine. Cases are written from the meaning of the
// table (the doc comments of package route and internal/engine/README.md), not
// from what an engine happens to do.
package enginetest

import (
	"context"
	"net"
	"testing"

	"fairway/internal/route"
)

// Engine is what the suite needs of an engine.
type Engine interface {
	// Apply makes a table live, as in control.Engine.
	Apply(ctx context.Context, t *route.Table) error
	// Addr returns the address that the listener of this name is bound to: the
	// real port where the table says 0. nil when there is no such listener.
	Addr(listener string) net.Addr
}

// Run puts an engine through the suite. start returns a new engine without a
// table, with its default limits, and arranges with t.Cleanup that it stops; it
// is called from several goroutines, once for each case.
func Run(t *testing.T, start func(t *testing.T) Engine) {
	t.Helper()
	groups := []struct {
		name  string
		cases []goCase
	}{
		{"guard", guardCases()},
		{"stream", streamCases()},
		{"http2", http2Cases()},
		{"retry", retryCases()},
		{"drain", drainCases()},
		{"swap", swapCases()},
		{"tls", tlsCases()},
		{"filter", filterCases()},
		{"balance", balanceCases()},
	}
	t.Run("data", func(t *testing.T) {
		for _, c := range dataCases(t) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(newWorld(t, start))
			})
		}
	})
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newWorld(t, start))
				})
			}
		})
	}
}

// goCase is a case that is written in Go.
type goCase struct {
	name string
	run  func(w *world)
}
