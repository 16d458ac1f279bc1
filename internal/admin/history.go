package admin

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/history"
	"fairway/internal/plan"
	"fairway/internal/route"
)

// History says what was. *history.Store is one.
type History interface {
	// Entries returns at most limit entries below before (0: all), the newest first.
	Entries(before uint64, limit int) ([]history.Entry, error)
	// Entry returns an entry with its table.
	Entry(number uint64) (history.Recorded, error)
	// Status says how it is doing.
	Status() api.HistoryInfo
}

// Commands is what operators ask for. *control.Control is one.
type Commands interface {
	// Commands returns those in force, in the order in which they take effect.
	Commands() []control.Command
	// Resolve finds what a command of a kind is about.
	Resolve(kind control.CommandKind, text string) (catalog.Subject, error)
	// Preview says what one would do.
	Preview(command control.Command) (control.Preview, error)
	// Give puts one in force.
	Give(ctx context.Context, command control.Command) (control.Result, error)
	// TakeBack ends one.
	TakeBack(ctx context.Context, id, operator, message string) (control.Result, error)
}

const (
	defaultEntries = 50
	maxEntries     = 1000
	maxPlanBody    = 4 << 20
	noHistory      = "there is no history here"
)

// historyOperations are those on the history and on commands.
func (s *Server) historyOperations() []operation {
	const full, conflict = http.StatusInsufficientStorage, http.StatusConflict
	entry := func(name string) param {
		return param{name: name, form: anEntry, help: "Number of an entry, or live, which is meant by default."}
	}
	return slices.Concat(
		where(s.options.History != nil, noHistory,
			list("/v1/history", s.entries).with(
				number("before", 0, "Keeps entries with a lower number."), number("limit", maxEntries, "How many; 50 by default."), byService,
				text("operator", "Name of an operator: keeps what that one did; * keeps what any did."),
				boolean("routes", "Keeps entries that changed routes."),
				boolean("significant", "Leaves out entries that only followed the states and addresses of instances, or whether a source answers; the newest entry stays."),
				text("q", "Words: keeps entries that have all of them in their cause, message, operator or what was seen.")),
			get("/v1/history/{number}", s.entry)),
		where(s.options.Commands != nil, control.ErrNoHistory.Error(),
			post("/v1/commands", s.giveCommand).by(api.RoleOperator).refuses(http.StatusNotFound, conflict, full),
			post("/v1/preview", s.previewCommand).by(api.RoleViewer).onlyAsks().refuses(http.StatusNotFound),
			act(http.MethodDelete, "/v1/commands/{id}", s.takeCommandBack).by(api.RoleOperator).
				with(text("message", "Why, for the history.")).refuses(conflict, full)),
		where(s.options.Planner != nil, "nothing can be planned here",
			post("/v1/plan", s.plan).by(api.RoleViewer).onlyAsks().upTo(maxPlanBody).refuses(http.StatusNotFound)),
		[]operation{
			get("/v1/diff", s.diff).with(entry("from"), entry("to")).refuses(http.StatusNotFound, http.StatusServiceUnavailable),
			list("/v1/commands", s.commands),
		})
}

func (s *Server) entries(r *request) (items []api.Entry, err error) {
	limit, before, v := r.limit(defaultEntries), r.number("before", 0), r.view()
	words := strings.Fields(strings.ToLower(r.text("q")))
	significant, newest := r.flag("significant"), before == 0
	for len(items) < limit {
		found, err := s.options.History.Entries(before, defaultEntries)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			before = e.Number
			minor := significant && !newest && !isSignificant(e)
			newest = false
			if !minor && len(items) < limit && concerns(v, e, r.text("service")) && wanted(e, r.text("operator"), r.flag("routes"), words) {
				items = append(items, v.Entry(e))
			}
		}
		if len(found) < defaultEntries {
			break
		}
	}
	return items, nil
}

// concerns says whether an entry has to do with a service; empty means every one.
func concerns(v *show.View, e history.Entry, service string) bool {
	return service == "" || slices.ContainsFunc(e.Cause.Changes, func(c history.Change) bool {
		return c.Service != "" && v.IsService(service, c.Service)
	})
}

// isSignificant is false for an entry that followed the states and addresses of instances
// or whether a source answers, and changed no route.
func isSignificant(e history.Entry) bool {
	minor := []history.ChangeKind{history.InstanceState, history.InstanceAddress, history.SourceState}
	return e.Cause.Operator != "" || e.Routes != (history.Counts{}) || len(e.Cause.Changes) == 0 ||
		slices.ContainsFunc(e.Cause.Changes, func(c history.Change) bool { return !slices.Contains(minor, c.Kind) })
}

// wanted says whether an entry is by an operator ("*" for any), changed routes and has
// all words, where that is asked for.
func wanted(e history.Entry, operator string, routes bool, words []string) bool {
	c := e.Cause
	if operator == "*" && c.Operator == "" || operator != "" && operator != "*" && operator != c.Operator {
		return false
	}
	if routes && e.Routes == (history.Counts{}) {
		return false
	}
	texts := []string{strconv.FormatUint(e.Number, 10), c.Text, c.Operator, c.Command, c.Message}
	for _, change := range c.Changes {
		texts = append(texts, change.Service, change.Instance, change.Label, change.From, change.To)
	}
	all := strings.ToLower(strings.Join(texts, " "))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
}

func (s *Server) entry(r *request) (api.EntryDetail, error) {
	n, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil || n == 0 {
		return api.EntryDetail{}, api.Errorf(http.StatusNotFound, "no such entry; their numbers begin at 1")
	}
	e, err := s.options.History.Entry(n)
	if err != nil {
		return api.EntryDetail{}, err
	}
	before := history.Recorded{Table: &route.Table{}}
	if earlier, err := s.options.History.Entries(n, 1); err == nil && len(earlier) == 1 {
		if before, err = s.options.History.Entry(earlier[0].Number); err != nil {
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
		if s.options.History == nil {
			return api.Diff{}, api.Errorf(http.StatusServiceUnavailable, noHistory)
		}
		var err error
		if sides[i], err = s.options.History.Entry(n); err != nil {
			return api.Diff{}, err
		}
	}
	return show.Diff(sides[0].Number, sides[1].Number, sides[0].Table, sides[1].Table), nil
}

func (s *Server) commands(*request) ([]api.Command, error) {
	if s.options.Commands == nil {
		return nil, nil
	}
	return show.All(s.options.Commands.Commands(), show.Command), nil
}

func (s *Server) giveCommand(r *request, n api.NewCommand) (api.CommandResult, error) {
	command, err := s.newCommand(r, n)
	if err != nil {
		return api.CommandResult{}, err
	}
	result, err := s.options.Commands.Give(r.Context(), command)
	return commanded(r, result, result.Command.String(), err)
}

func (s *Server) previewCommand(r *request, n api.NewCommand) (api.CommandPreview, error) {
	command, err := s.newCommand(r, n)
	if err != nil {
		return api.CommandPreview{}, err
	}
	preview, err := s.options.Commands.Preview(command)
	if err != nil {
		return api.CommandPreview{}, err
	}
	return show.Preview(preview), nil
}

// newCommand reads what is asked for.
func (s *Server) newCommand(r *request, n api.NewCommand) (o control.Command, err error) {
	o = control.Command{Kind: control.CommandKind(n.Kind), Operator: r.operator(), Message: n.Message}
	switch {
	case n.Endpoints != "" && n.Endpoints != api.EndpointsLive && n.Endpoints != api.EndpointsRecorded:
		return o, api.Errorf(http.StatusBadRequest, "endpoints are %q or %q", api.EndpointsRecorded, api.EndpointsLive)
	case n.Kind == api.CommandWeight && n.Weight == nil:
		return o, api.Errorf(http.StatusBadRequest, "which weight?")
	case n.Weight != nil:
		o.Weight = *n.Weight
	}
	if n.For != "" {
		if o.Wait, err = time.ParseDuration(n.For); err != nil {
			return o, api.Errorf(http.StatusBadRequest, "for: write a duration such as 30s")
		}
	}
	if len(n.Allow) > 0 && n.Kind != api.CommandMaintenance {
		return o, api.Errorf(http.StatusBadRequest, "allow is for maintenance alone")
	}
	for _, text := range n.Allow {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return o, api.Errorf(http.StatusBadRequest, "allow %q: write an address or a prefix such as 10.0.0.0/8", text)
		}
		o.Allow = append(o.Allow, route.UnmappedPrefix(prefix).Masked())
	}
	switch o.Kind {
	case control.CommandRollback, control.CommandPin:
		o.Hold = &control.Hold{Entry: n.Entry, Release: control.Release(n.Until), RecordedEndpoints: n.Endpoints == api.EndpointsRecorded}
	case control.CommandDrain, control.CommandWeight, control.CommandPause, control.CommandMaintenance:
		o.Subject, err = s.options.Commands.Resolve(o.Kind, n.Subject)
	}
	return o, err
}

func (s *Server) takeCommandBack(r *request) (api.CommandResult, error) {
	result, err := s.options.Commands.TakeBack(r.Context(), r.PathValue("id"), r.operator(), r.text("message"))
	return commanded(r, result, result.Command.Ended(), err)
}

// commanded answers what became of a command, which text says in words.
func commanded(r *request, result control.Result, text string, err error) (api.CommandResult, error) {
	if err != nil {
		return api.CommandResult{}, err
	}
	out := api.CommandResult{Command: show.Command(result.Command), Text: text, Entry: result.Entry.Number, Remarks: append([]string{}, result.Remarks...)}
	if !result.Recorded {
		out.Remarks = append(out.Remarks, "it is in force, but its table is not in the history yet")
	}
	r.remark = text
	return out, nil
}

// plan says what a change would do, without what is secret.
func (s *Server) plan(_ *request, ask api.PlanRequest) (api.Plan, error) {
	planned, err := s.options.Planner.Plan(ask)
	if err != nil && statusOf(err) == 0 {
		err = api.Errorf(http.StatusBadRequest, "%v", err)
	}
	if err != nil {
		return api.Plan{}, err
	}
	out := shownPlan(planned)
	if planned.Lines != nil {
		if out.Lines, err = planned.Lines(); err != nil {
			s.log.Error("the lines of a plan could not be made", "error", err)
			out.Remarks = append(out.Remarks, "the lines of the engine's configuration could not be made")
		}
	}
	return out, nil
}

func shownPlan(p *plan.Plan) api.Plan {
	d := show.Diff(0, 0, p.Before, p.After)
	out := api.Plan{
		Listeners: d.Listeners, Routes: d.Routes, Backends: d.Backends, Names: show.DiffNames(p.Before, p.After),
		Problems: []api.PlanProblem{}, Solved: []api.Problem{}, Remarks: append([]string{}, p.Remarks...),
	}
	had, has := map[route.Problem]bool{}, map[route.Problem]bool{}
	for _, problem := range p.Before.Problems {
		had[problem] = true
	}
	for _, problem := range p.After.Problems {
		has[problem] = true
		if !had[problem] {
			file, line := p.Position(problem.Service, problem.Label)
			out.Problems = append(out.Problems, api.PlanProblem{Problem: show.Problem(problem), File: file, Line: line})
		}
	}
	for _, problem := range p.Before.Problems {
		if !has[problem] {
			out.Solved = append(out.Solved, show.Problem(problem))
		}
	}
	out.Changes = len(out.Listeners)+len(out.Routes)+len(out.Backends)+len(out.Problems)+len(out.Solved) > 0
	out.Summary = show.PlanSummary(out)
	return out
}
