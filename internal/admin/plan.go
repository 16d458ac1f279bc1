package admin

import (
	"net/http"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/plan"
	"fairway/internal/route"
)

// plan says what a change would do, without what is secret.
func (s *Server) plan(_ *request, ask api.PlanRequest) (api.Plan, error) {
	if s.options.Planner == nil {
		return api.Plan{}, api.Errorf(http.StatusServiceUnavailable, "nothing can be planned here")
	}
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
		Listeners: d.Listeners, Routes: show.WithoutClaims(d.Routes), Backends: d.Backends, Names: show.DiffNames(p.Before, p.After),
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
	return out
}
