package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"fairway/internal/api"
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

// Commands is what operators ask for. The errors are those of package history, or
// an *api.Error.
type Commands interface {
	// Commands returns those in force, in the order in which they take effect.
	Commands() []api.Command
	// Give puts one in force, in the name of an operator.
	Give(ctx context.Context, n api.NewCommand, operator string) (api.CommandResult, error)
	// TakeBack ends one.
	TakeBack(ctx context.Context, id, operator, message string) (api.CommandResult, error)
}

const (
	defaultEntries = 50
	maxEntries     = 1000
	maxPlanBody    = 4 << 20
)

// historyOperations are those on the history and on commands.
func (s *Server) historyOperations() []operation {
	return []operation{
		{path: "/v1/history", params: []string{"before", "limit", "service"}, serve: s.entries},
		{path: "/v1/history/{number}", serve: s.entry},
		{path: "/v1/diff", params: []string{"from", "to"}, serve: s.diff},
		{path: "/v1/commands", serve: s.commands},
		{method: http.MethodPost, path: "/v1/commands", role: api.RoleOperator, serve: s.giveCommand},
		{method: http.MethodDelete, path: "/v1/commands/{id}", role: api.RoleOperator, params: []string{"message"}, serve: s.takeCommandBack},
		{method: http.MethodPost, path: "/v1/plan", role: api.RoleViewer, asks: true, body: maxPlanBody, serve: s.plan},
	}
}

// historyError says what is told of an error of the history or of a command.
func historyError(err error) error {
	if _, told := errors.AsType[*api.Error](err); told {
		return err
	}
	for _, known := range []struct {
		err  error
		code int
	}{
		{history.ErrNotFound, http.StatusNotFound},
		{history.ErrFull, http.StatusInsufficientStorage},
		{history.ErrUnavailable, http.StatusServiceUnavailable},
		{history.ErrDamaged, http.StatusInternalServerError},
	} {
		if errors.Is(err, known.err) {
			return status(known.code, err.Error())
		}
	}
	return err
}

// historyInfo says how the history is doing; nil when there is none.
func (s *Server) historyInfo() *api.HistoryInfo {
	if s.options.History == nil {
		return nil
	}
	st := s.options.History.Status()
	return &api.HistoryInfo{Entries: st.Entries, Newest: st.Newest, Bytes: st.Bytes, Alarm: st.Alarm, Since: st.Since.UTC()}
}

// record returns the history, or says that there is none.
func (s *Server) record() (History, error) {
	if s.options.History == nil {
		return nil, status(http.StatusServiceUnavailable, "there is no history here")
	}
	return s.options.History, nil
}

func (s *Server) entries(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	record, err := s.record()
	if err != nil {
		return err
	}
	limit, before := uint64(defaultEntries), uint64(0)
	for _, p := range []struct {
		name string
		to   *uint64
		most uint64
	}{{"limit", &limit, maxEntries}, {"before", &before, ^uint64(0)}} {
		if text := q.Get(p.name); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil || n < 1 || n > p.most {
				return status(http.StatusBadRequest, fmt.Sprintf("query parameter %q: want a number from 1 to %d", p.name, p.most))
			}
			*p.to = n
		}
	}
	v := s.view()
	items := []api.Entry{}
	for uint64(len(items)) < limit {
		found, err := record.Entries(before, defaultEntries)
		if err != nil {
			return historyError(err)
		}
		for _, e := range found {
			before = e.Number
			if uint64(len(items)) < limit && v.concerns(e, q.Get("service")) {
				items = append(items, v.entry(e))
			}
		}
		if len(found) < defaultEntries {
			break
		}
	}
	return answer(w, list(v, items))
}

// concerns says whether an entry has to do with a service; an empty name means
// every one.
func (v *view) concerns(e history.Entry, service string) bool {
	return service == "" || slices.ContainsFunc(e.Cause.Changes, func(c history.Change) bool {
		return c.Service != "" && v.isService(service, c.Service)
	})
}

func (v *view) entry(e history.Entry) api.Entry {
	out := api.Entry{
		Number: e.Number, Time: e.Time.UTC(), Cause: e.Cause.Text,
		Operator: e.Cause.Operator, Command: e.Cause.Command, Message: e.Cause.Message,
		Seen: make([]api.Seen, len(e.Cause.Changes)), Omitted: e.Cause.Omitted,
		Revision: e.Revision, Hash: e.Hash, Live: e.Hash == v.table.Hash,
		Routes: api.Counts(e.Routes), Backends: api.Counts(e.Backends),
	}
	for i, c := range e.Cause.Changes {
		out.Seen[i] = api.Seen{
			Kind: string(c.Kind), Source: c.Source, Service: c.Service, Instance: c.Instance,
			Label: c.Label, From: c.From, To: c.To,
		}
	}
	return out
}

func (s *Server) entry(w http.ResponseWriter, r *http.Request) error {
	record, err := s.record()
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil || number == 0 {
		return status(http.StatusNotFound, "no such entry; their numbers begin at 1")
	}
	e, err := record.Entry(number)
	if err != nil {
		return historyError(err)
	}
	before := history.Recorded{Table: &route.Table{}}
	if earlier, err := record.Entries(number, 1); err == nil && len(earlier) == 1 {
		if before, err = record.Entry(earlier[0].Number); err != nil {
			return historyError(err)
		}
	}
	v := s.view()
	return answer(w, api.EntryDetail{Entry: v.entry(e.Entry), Diff: diff(before.Number, number, before.Table, e.Table)})
}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) error {
	v := s.view()
	var numbers [2]uint64
	var tables [2]*route.Table
	for i, name := range []string{"from", "to"} {
		text := r.URL.Query().Get(name)
		if text == "" || text == "live" {
			tables[i] = v.table
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return status(http.StatusBadRequest, fmt.Sprintf("query parameter %q: want the number of an entry, or live", name))
		}
		record, err := s.record()
		if err != nil {
			return err
		}
		e, err := record.Entry(n)
		if err != nil {
			return historyError(err)
		}
		numbers[i], tables[i] = n, e.Table
	}
	return answer(w, diff(numbers[0], numbers[1], tables[0], tables[1]))
}

func (s *Server) commands(w http.ResponseWriter, _ *http.Request) error {
	items := []api.Command{}
	if s.options.Commands != nil {
		items = append(items, s.options.Commands.Commands()...)
	}
	return answer(w, list(s.view(), items))
}

// operator is the name of who asks, for the history.
func operator(r *http.Request) string {
	who := identityOf(r.Context())
	if who.Name == "" {
		return "somebody on this machine"
	}
	return who.Name
}

func (s *Server) giveCommand(w http.ResponseWriter, r *http.Request) error {
	var n api.NewCommand
	if err := readBody(r, &n); err != nil {
		return err
	}
	return s.commanded(w, r, func(c Commands) (api.CommandResult, error) { return c.Give(r.Context(), n, operator(r)) })
}

func (s *Server) takeCommandBack(w http.ResponseWriter, r *http.Request) error {
	message := r.URL.Query().Get("message")
	return s.commanded(w, r, func(c Commands) (api.CommandResult, error) {
		return c.TakeBack(r.Context(), r.PathValue("id"), operator(r), message)
	})
}

// commanded answers what became of a command.
func (s *Server) commanded(w http.ResponseWriter, r *http.Request, do func(Commands) (api.CommandResult, error)) error {
	if s.options.Commands == nil {
		return status(http.StatusServiceUnavailable, "there is no history here, which commands are kept in")
	}
	result, err := do(s.options.Commands)
	if err != nil {
		return historyError(err)
	}
	if result.Remarks == nil {
		result.Remarks = []string{}
	}
	remark(r.Context(), result.Command.Text)
	return answer(w, result)
}
