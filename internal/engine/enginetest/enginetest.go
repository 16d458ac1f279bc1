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
	"slices"
	"strings"
	"testing"

	"fairway/internal/engine/enginetest/overquic"
	"fairway/internal/engine/errorpage"
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

// quicEngine is an engine that serves HTTP/3, too.
type quicEngine interface {
	// AddrQUIC is Addr for HTTP/3.
	AddrQUIC(listener string) net.Addr
}

// quicCases are cases that mean the same over HTTP/3.
func quicCases(t testing.TB) []goCase {
	t.Helper()
	var cases []goCase
	own := goCase{"server name and host", func(w *world) { namesAndHosts(w, "h3") }}
	for _, c := range append(slices.Concat(dataCases(t), http2Cases()), own) {
		if overquic.Means(c.name) {
			cases = append(cases, goCase{c.name, func(w *world) {
				w.quic = true
				c.run(w)
			}})
		}
	}
	return cases
}

// Run puts an engine through the suite. start returns a new engine without a
// table, with its default limits, and arranges with t.Cleanup that it stops; it
// is called from several goroutines, once for each case.
func Run(t *testing.T, start func(t *testing.T) Engine) {
	t.Helper()
	all := groups(t)
	if _, ok := start(t).(quicEngine); ok {
		all = append(all, group{"http3", quicCases(t)})
	}
	for _, g := range all {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newWorld(t, func() Engine { return start(t) }))
				})
			}
		})
	}
}

// group is the cases on one subject.
type group struct {
	name  string
	cases []goCase
}

// groups are all the cases there are.
func groups(t testing.TB) []group {
	t.Helper()
	return []group{
		{"data", dataCases(t)},
		{"match", matchCases()},
		{"guard", guardCases()},
		{"guard2", guard2Cases()},
		{"answer", answerCases()},
		{"wire", wireCases()},
		{"early", earlyCases()},
		{"stream", streamCases()},
		{"http2", http2Cases()},
		{"retry", retryCases()},
		{"drain", drainCases()},
		{"swap", swapCases()},
		{"tls", tlsCases()},
		{"client certificate", clientCertCases()},
		{"tls host", tlsHostCases()},
		{"tcp", tcpCases()},
		{"filter", filterCases()},
		{"balance", balanceCases()},
		{"chain", chainCases()},
		{"random", randomCases()},
	}
}

// goCase is a case that can be played.
type goCase struct {
	name string
	run  func(w *world)
}

// Pages are the pages of errors that engines of the suite have.
func Pages() *errorpage.Store {
	brand := errorpage.Set{"503": "<style>b{color:red}</style>\n<b>{status} {reason}</b> on {host}, \"quoted\\\" {request_id} {other} é\n", "4xx": "brand {status}"}
	return errorpage.Fixed(map[string]errorpage.Set{"brand": brand, "long": {"default": "<i>{host}</i>" + strings.Repeat("é", 2000)}}) // HAProxy sends no more
}
