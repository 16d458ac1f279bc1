package admin

import (
	"net/http"
	"reflect"

	"fairway/internal/admin/requests"
	"fairway/internal/admin/show"
	"fairway/internal/api"
)

// maxErrors bounds a list of last errors, most of which an engine keeps twenty of a route.
const maxErrors = 1000

// requestOperations are those on requests that are over.
func (s *Server) requestOperations() []operation {
	byRoute, limit := text("route", "ID of a route."), number("limit", maxErrors, "How many; 100 by default.")
	return where(s.options.Requests != nil, "no requests are reported here",
		list("/v1/errors", s.lastErrors).with(byService, byRoute, limit).refuses(http.StatusNotFound),
		list("/v1/routes/{route}/errors", s.lastErrors).with(limit),
		raw("/v1/requests", s.followRequests).streaming(reflect.TypeFor[api.Request]()).by(api.RoleOperator).refuses(http.StatusNotFound).with(
			byService, byRoute, text("status", "Status such as 404, or class such as 5xx."), boolean("failed", "Keeps what failed.")))
}

// sees says whether the caller has a role.
func (r *request) sees(role string) bool { return api.MayAct(r.who.Role, role) }

func (s *Server) lastErrors(r *request) ([]api.Request, error) {
	q := requests.Query{Service: r.text("service"), Route: r.text("route"), Limit: r.limit(100), Operator: r.sees(api.RoleOperator)}
	if id := r.PathValue("route"); id != "" {
		q.Route = id
	}
	found := requests.Errors(r.view(), s.options.Requests, q)
	if len(found) > 0 {
		return found, nil
	}
	return nil, r.missing(q.Service, q.Route)
}

// missing is the error for a service or a route that is not there; empty is none.
func (r *request) missing(service, route string) error {
	if route != "" && r.view().Table.Route(route) == nil {
		return r.server.missing("route", route)
	}
	if service == "" {
		return nil
	}
	for _, known := range r.view().Snapshot.Services {
		if r.view().IsService(service, known.ID) {
			return nil
		}
	}
	return r.server.missing("service", service)
}

// followRequests streams "request" for each request that is over from now on, and "lost"
// for those that the client was too slow for.
func (s *Server) followRequests(r *request) error {
	filter, err := requests.NewFilter(r.text("status"), r.flag("failed"))
	if err != nil {
		return api.Errorf(http.StatusBadRequest, "%v", err)
	}
	if err := r.missing(r.text("service"), r.text("route")); err != nil {
		return err
	}
	out, err := s.open(r)
	if err != nil {
		return err
	}
	defer out.Close()
	requests.Follow(out, s.options.Requests, filter, s.options.Tables.Changed, func() *show.View {
		v := s.newest()
		filter.Restrict(v, r.text("service"), r.text("route"))
		return v
	})
	return nil
}
