package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/admin/meter"
	"fairway/internal/condition"
	"fairway/internal/control"
	"fairway/internal/engine/certs"
	"fairway/internal/route"
)

// newConditions makes what judges how everything is doing.
func (a *App) newConditions() *condition.Keeper {
	rates := meter.New(a.engine)
	covers := &coverage{store: certs.New(a.log.With("part", "condition"))}
	keeper := condition.NewKeeper(func(now time.Time) condition.World {
		live := a.control.Table()
		w := condition.World{
			Now: now, Snapshot: a.feed.Newest(), Live: live, Pending: a.control.Status().Pending,
			Sources: a.collector.Sources(), Endpoints: a.engine.Endpoints(),
			Rates: map[string]condition.Rate{}, Covers: covers.of(live, now),
		}
		_, w.Compiled = a.control.Compiled()
		if measured := rates.Read(now); measured != nil {
			for _, r := range measured.Routes {
				w.Rates[r.Route] = condition.Rate{Requests: r.Rate, Errors: r.Errors}
			}
		}
		for _, c := range a.control.Commands() {
			if c.Hold != nil {
				w.Holds = append(w.Holds, holdOf(c))
			}
		}
		return w
	})
	a.parts = append(a.parts, func(ctx context.Context) error { return keeper.Run(ctx, a.control.Table) })
	return keeper
}

// holdOf is a rollback or pin as conditions show it.
func holdOf(c control.Command) condition.Hold {
	text := fmt.Sprintf("rollback to entry %d", c.Hold.Entry)
	if c.Kind == control.CommandPin {
		text = fmt.Sprintf("pin of entry %d", c.Hold.Entry)
	}
	text += " by " + cmp.Or(c.Operator, "an unnamed operator")
	if c.Message != "" {
		text += " (" + c.Message + ")"
	}
	h := condition.Hold{Command: text, Since: c.Since, Undo: "fairway unpin"}
	if c.Hold.Release == control.ReleaseByLabels {
		h.Services = map[string]bool{}
		for id := range c.Hold.Services {
			h.Services[id] = true
		}
	}
	return h
}

// coverage knows the names of the certificates of a table's listeners.
type coverage struct {
	store *certs.Store

	mu    sync.Mutex
	table *route.Table
	read  time.Time
	names map[string]bool
	known bool
}

// rereadNames is how often certificates are looked at again while the table stays.
const rereadNames = time.Minute

// of returns what says whether a certificate covers a host; nil where requests come by a
// trusted proxy, which may end TLS.
func (c *coverage) of(t *route.Table, now time.Time) func(host string) bool {
	if t == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table != t || now.Sub(c.read) >= rereadNames {
		c.table, c.read = t, now
		c.look(t)
	}
	if !c.known {
		return nil
	}
	names := c.names
	return func(host string) bool {
		_, parent, _ := strings.Cut(host, ".")
		return names[host] || names["*."+parent]
	}
}

func (c *coverage) look(t *route.Table) {
	c.names, c.known = map[string]bool{}, true
	c.store.Keep(t.Listeners)
	c.store.Reload()
	tls := slices.ContainsFunc(t.Listeners, func(l route.Listener) bool { return l.TLS })
	for _, l := range t.Listeners {
		pairs, err := c.store.Pairs(l.Certificates)
		if err != nil || !tls && len(l.TrustedProxies) > 0 {
			c.known = false
			return
		}
		for _, p := range pairs {
			for _, name := range p.Names {
				c.names[name] = true
			}
		}
	}
}
