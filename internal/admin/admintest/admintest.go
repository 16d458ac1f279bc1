// Package admintest serves the admin API and the pages of a Fairway in a given situation.
// Only tests import it.
package admintest

import (
	"context"
	"testing"
	"time"

	"fairway/internal/admin"
	"fairway/internal/admin/ui"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/condition"
	"fairway/internal/condition/situations"
	"fairway/internal/control"
	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
	"fairway/internal/plan"
	"fairway/internal/route"
)

// fixed is a Fairway in one situation.
type fixed struct {
	condition.World
}

func (f *fixed) Changed() <-chan struct{}            { return nil }
func (f *fixed) Newest() *catalog.Snapshot           { return f.World.Snapshot }
func (f *fixed) Table() *route.Table                 { return f.Live }
func (f *fixed) Status() control.Status              { return control.Status{Pending: f.Pending} }
func (f *fixed) Name() string                        { return "embedded" }
func (f *fixed) Traffic() []traffic.Totals           { return nil }
func (f *fixed) Endpoints() []traffic.EndpointStatus { return f.World.Endpoints }
func (f *fixed) Sources() []catalog.SourceStatus     { return f.World.Sources }

// Connect connects as the situation says.
func (f *fixed) Connect(_ context.Context, address string) condition.Attempt {
	return f.Connected[address]
}

// Report judges the situation.
func (f *fixed) Report() *condition.Report { return condition.Judge(f.World, nil) }

// Serve serves a situation until the test ends, and returns the URL.
func Serve(t testing.TB, s situations.Situation) (url string) {
	t.Helper()
	f := &fixed{s.World(t)}
	pages, err := ui.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &metrics.Set{}
	condition.NewKeeper(func(time.Time) condition.World { return f.World }).Measure(m)
	server, err := admin.New(admin.Options{
		Listen: "127.0.0.1:0", Catalogue: f, Tables: f, Sources: f.Sources, Engine: f, Conditions: f,
		Diagnose:   plan.Doctor{Compiler: compile.New(compile.Settings{}), Snapshot: f.Newest, Table: f.Table}.Diagnose,
		ShownLabel: compile.ShownLabels(), Pages: pages, Metrics: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + server.Addr().String()
}
