package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/history"
	"fairway/internal/route"
)

// History says what was. *history.Store is one.
type History interface {
	// Entries returns at most limit entries with a number below before, the newest
	// first; zero for before begins at the newest.
	Entries(before uint64, limit int) ([]history.Entry, error)
	// Entry returns an entry with its table.
	Entry(number uint64) (history.Recorded, error)
	// Status says how it is doing.
	Status() history.Status
}

// Commands is what operators ask for. *control.Control is one.
type Commands interface {
	// Commands returns those in force, in the order in which they take effect.
	Commands() []control.Command
	// Resolve finds what a command of a kind is about.
	Resolve(kind control.CommandKind, text string) (catalog.Subject, error)
	// Give puts one in force.
	Give(ctx context.Context, o control.Order) (control.Result, error)
	// TakeBack ends one.
	TakeBack(ctx context.Context, id, operator, message string) (control.Result, error)
}

const (
	defaultEntries = 50
	maxEntries     = 1000
	maxPlanBody    = 4 << 20
)

// historyOperations are those on the history and on commands.
func (s *Server) historyOperations() []operation {
	const unavailable, full, conflict = http.StatusServiceUnavailable, http.StatusInsufficientStorage, http.StatusConflict
	entry := func(name string) param {
		return param{name: name, form: anEntry, help: "Number of an entry, or live, which is meant by default."}
	}
	return []operation{
		list("/v1/history", s.entries).refuses(unavailable).with(
			number("before", 0, "Keeps entries with a lower number."), number("limit", maxEntries, "How many; 50 by default."), byService),
		get("/v1/history/{number}", s.entry).refuses(unavailable),
		get("/v1/diff", s.diff).with(entry("from"), entry("to")).refuses(http.StatusNotFound, unavailable),
		list("/v1/commands", s.commands),
		post("/v1/commands", s.giveCommand).by(api.RoleOperator).refuses(http.StatusNotFound, conflict, unavailable, full),
		act(http.MethodDelete, "/v1/commands/{id}", s.takeCommandBack).by(api.RoleOperator).
			with(text("message", "Why, for the history.")).refuses(conflict, unavailable, full),
		post("/v1/plan", s.plan).by(api.RoleViewer).onlyAsks().upTo(maxPlanBody).refuses(http.StatusNotFound, unavailable),
	}
}

// record returns the history, or says that there is none.
func (s *Server) record() (History, error) {
	if s.options.History == nil {
		return nil, api.Errorf(http.StatusServiceUnavailable, "there is no history here")
	}
	return s.options.History, nil
}

func (s *Server) entries(r *request) (items []api.Entry, err error) {
	record, err := s.record()
	if err != nil {
		return nil, err
	}
	limit, before, v := r.limit(defaultEntries), r.number("before", 0), r.view()
	for len(items) < limit {
		found, err := record.Entries(before, defaultEntries)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			before = e.Number
			if len(items) < limit && concerns(v, e, r.text("service")) {
				items = append(items, v.Entry(e))
			}
		}
		if len(found) < defaultEntries {
			break
		}
	}
	return items, nil
}

// concerns says whether an entry has to do with a service; an empty name means
// every one.
func concerns(v *show.View, e history.Entry, service string) bool {
	return service == "" || slices.ContainsFunc(e.Cause.Changes, func(c history.Change) bool {
		return c.Service != "" && v.IsService(service, c.Service)
	})
}

func (s *Server) entry(r *request) (api.EntryDetail, error) {
	record, err := s.record()
	if err != nil {
		return api.EntryDetail{}, err
	}
	n, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil || n == 0 {
		return api.EntryDetail{}, api.Errorf(http.StatusNotFound, "no such entry; their numbers begin at 1")
	}
	e, err := record.Entry(n)
	if err != nil {
		return api.EntryDetail{}, err
	}
	before := history.Recorded{Table: &route.Table{}}
	if earlier, err := record.Entries(n, 1); err == nil && len(earlier) == 1 {
		if before, err = record.Entry(earlier[0].Number); err != nil {
			return api.EntryDetail{}, err
		}
	}
	return api.EntryDetail{Entry: r.view().Entry(e.Entry), Diff: show.Diff(before.Number, n, before.Table, e.Table)}, nil
}

func (s *Server) diff(r *request) (api.Diff, error) {
	var sides [2]history.Recorded
	for i, name := range []string{"from", "to"} {
		n := r.number(name, 0)
		if n == 0 {
			sides[i].Table = r.view().Table
			continue
		}
		record, err := s.record()
		if err != nil {
			return api.Diff{}, err
		}
		if sides[i], err = record.Entry(n); err != nil {
			return api.Diff{}, err
		}
	}
	return show.Diff(sides[0].Number, sides[1].Number, sides[0].Table, sides[1].Table), nil
}

func (s *Server) commands(*request) (items []api.Command, err error) {
	if s.options.Commands == nil {
		return nil, nil
	}
	for _, c := range s.options.Commands.Commands() {
		items = append(items, show.Command(c))
	}
	return items, nil
}

func (s *Server) giveCommand(r *request, n api.NewCommand) (api.CommandResult, error) {
	o := control.Order{
		Kind: control.CommandKind(n.Kind), Entry: n.Entry, Release: control.Release(n.Until),
		LiveEndpoints: n.Endpoints == api.EndpointsLive, Operator: r.operator(), Message: n.Message,
	}
	switch {
	case n.Endpoints != "" && n.Endpoints != api.EndpointsLive && n.Endpoints != api.EndpointsRecorded:
		return api.CommandResult{}, api.Errorf(http.StatusBadRequest, "endpoints are %q or %q", api.EndpointsRecorded, api.EndpointsLive)
	case n.Kind == api.CommandWeight && n.Weight == nil:
		return api.CommandResult{}, api.Errorf(http.StatusBadRequest, "which weight?")
	case n.Weight != nil:
		o.Weight = *n.Weight
	}
	var err error
	if n.For != "" {
		if o.For, err = time.ParseDuration(n.For); err != nil {
			return api.CommandResult{}, api.Errorf(http.StatusBadRequest, "for: write a duration such as 30s")
		}
	}
	return s.commanded(r, func(c Commands) (control.Result, error) {
		if o.Kind == control.CommandDrain || o.Kind == control.CommandWeight || o.Kind == control.CommandPause {
			if o.Subject, err = c.Resolve(o.Kind, n.Subject); err != nil {
				return control.Result{}, err
			}
		}
		return c.Give(r.Context(), o)
	})
}

func (s *Server) takeCommandBack(r *request) (api.CommandResult, error) {
	return s.commanded(r, func(c Commands) (control.Result, error) {
		return c.TakeBack(r.Context(), r.PathValue("id"), r.operator(), r.text("message"))
	})
}

// commanded answers what became of a command.
func (s *Server) commanded(r *request, do func(Commands) (control.Result, error)) (api.CommandResult, error) {
	if s.options.Commands == nil {
		return api.CommandResult{}, control.ErrNoHistory
	}
	result, err := do(s.options.Commands)
	if err != nil {
		return api.CommandResult{}, err
	}
	out := api.CommandResult{Command: show.Command(result.Command), Entry: result.Entry.Number, Remarks: append([]string{}, result.Remarks...)}
	if !result.Recorded {
		out.Remarks = append(out.Remarks, "it is in force, but its table is not in the history yet")
	}
	r.remark = out.Command.Text
	return out, nil
}
