package admin

import (
	"context"
	"net/http"
	"slices"

	"fairway/internal/api"
	"fairway/internal/route"
)

// Planner says what a change would do.
type Planner interface {
	// Plan makes up what would be. The errors that are told are *api.Error.
	Plan(ctx context.Context, r api.PlanRequest) (Planned, error)
}

// Planned is what would be.
type Planned struct {
	// Before and After are what is compiled and what would be, without what a plan
	// cannot know. They are no tables that could be served.
	Before, After *route.Table
	// Lines returns the lines of the engine's own configuration that would differ,
	// as a unified diff without values that are secret; nil where it has none.
	Lines func() ([]string, error)
	// Place says where a label of a service is written, or the service itself for
	// an empty label; no file when that is not known.
	Place func(service, label string) (file string, line int)
	// Remarks say what is not in the plan.
	Remarks []string
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) error {
	var ask api.PlanRequest
	if err := readBody(r, &ask); err != nil {
		return err
	}
	if s.options.Planner == nil {
		return status(http.StatusServiceUnavailable, "nothing can be planned here")
	}
	planned, err := s.options.Planner.Plan(r.Context(), ask)
	if err != nil {
		return err
	}
	out := plan(planned)
	if planned.Lines != nil {
		if out.Lines, err = planned.Lines(); err != nil {
			s.log.Error("the lines of a plan could not be made", "error", err)
			out.Remarks = append(out.Remarks, "the lines of the engine's configuration could not be made")
		}
	}
	return answer(w, out)
}

// plan says what differs between what is and what would be, without what is
// secret.
func plan(p Planned) api.Plan {
	d := diff(0, 0, p.Before, p.After)
	out := api.Plan{
		Listeners: d.Listeners, Routes: plain(d.Routes), Backends: d.Backends, Names: diffNames(p.Before, p.After),
		Problems: []api.PlanProblem{}, Solved: []api.Problem{}, Remarks: append([]string{}, p.Remarks...),
	}
	was, is := problemSet(p.Before), problemSet(p.After)
	for _, problem := range p.After.Problems {
		if !was[problem] {
			file, line := p.Place(problem.Service, problem.Label)
			out.Problems = append(out.Problems, api.PlanProblem{Problem: shownProblem(problem), File: file, Line: line})
		}
	}
	for _, problem := range p.Before.Problems {
		if !is[problem] {
			out.Solved = append(out.Solved, shownProblem(problem))
		}
	}
	out.Changes = len(out.Listeners)+len(out.Routes)+len(out.Backends)+len(out.Problems)+len(out.Solved) > 0
	return out
}

// plain leaves out the lines that say nothing in a plan.
func plain(changes []api.DiffChange) []api.DiffChange {
	for i, c := range changes {
		changes[i].Lines = slices.DeleteFunc(c.Lines, func(line string) bool { return line == "+ claim 0" || line == "- claim 0" })
	}
	return changes
}

// diffNames says which host names come and go.
func diffNames(a, b *route.Table) []api.DiffChange {
	was, is := names(a), names(b)
	out := []api.DiffChange{}
	for name := range was {
		if !is[name] {
			out = append(out, api.DiffChange{Kind: string(route.Removed), ID: name, Lines: []string{}})
		}
	}
	for name := range is {
		if !was[name] {
			out = append(out, api.DiffChange{Kind: string(route.Added), ID: name, Lines: []string{}})
		}
	}
	slices.SortFunc(out, func(a, b api.DiffChange) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// names returns the host names of a table.
func names(t *route.Table) map[string]bool {
	set := map[string]bool{}
	for _, r := range t.Routes {
		for _, m := range r.Matches {
			if m.Host.Kind == route.HostExact || m.Host.Kind == route.HostWildcard || m.Host.Kind == route.HostDeep {
				set[m.Host.String()] = true
			}
		}
	}
	return set
}
