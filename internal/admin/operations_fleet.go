package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
)

// Fleet is the HAProxies elsewhere. The errors of all its parts are *api.Error
// where there is something to tell.
type Fleet struct {
	Documents FleetDocuments
	Rollouts  FleetRollouts
	Hosts     FleetHosts
	Repairs   FleetRepairs
}

// FleetDocuments keeps documents with their revisions.
type FleetDocuments interface {
	Documents() ([]api.FleetDocument, error)
	Revisions(document string, limit int) ([]api.FleetRevision, error)
	// Revision returns a revision with its content; zero is the newest.
	Revision(document string, number uint64) (api.FleetRevision, error)
	// Put appends a revision, in the name of who.
	Put(document string, n api.NewFleetRevision, who string) (api.FleetRevision, error)
}

// FleetRollouts puts revisions on hosts.
type FleetRollouts interface {
	Start(ctx context.Context, document string, n api.NewFleetRollout, who string) (api.FleetRollout, error)
	// Rollout returns the newest one, Rollouts those that have ended.
	Rollout(document string) (api.FleetRollout, error)
	Rollouts(document string) ([]api.FleetRollout, error)
	Stop(document, who string) error
}

// FleetHosts looks at hosts.
type FleetHosts interface {
	// Hosts says how the hosts are from what was seen last; of all documents for
	// an empty name.
	Hosts(document string) ([]api.FleetHost, error)
	Check(ctx context.Context, document string, n api.NewFleetCheck) ([]api.FleetCheck, error)
	Plan(ctx context.Context, document string, revision uint64, hosts []string) (api.FleetPlan, error)
	Diff(document string, from, to uint64) (api.FleetDiff, error)
}

// FleetRepairs deals with what was edited by hand.
type FleetRepairs interface {
	Drift(ctx context.Context, document string, hosts []string) (api.FleetPlan, error)
	Repair(ctx context.Context, document string, n api.NewFleetRepair, who string) (api.FleetRepair, error)
}

// Limits of the fleet's operations.
const (
	// maxDocumentBody is room for a configuration of 16 MiB in base64.
	maxDocumentBody = 24 << 20
	// fleetTime is how long operations may take that ask every host.
	fleetTime        = 5 * time.Minute
	defaultRevisions = 50
	maxRevisions     = 1000
)

// fleetOperations are those on documents and the hosts that have them. What has
// the contents of documents is for operators: there are passwords in some.
func (s *Server) fleetOperations() []operation {
	const document = "/v1/fleet/documents/{document}"
	all := []operation{
		{path: "/v1/fleet/documents", serve: s.fleetDocuments},
		{path: "/v1/fleet/hosts", params: []string{"document"}, serve: s.fleetHosts},
		{path: document + "/revisions", params: []string{"limit"}, serve: s.fleetRevisions},
		{path: document + "/revisions/{number}", role: api.RoleOperator, serve: s.fleetRevision},
		{method: http.MethodPost, path: document + "/revisions", role: api.RoleOperator, body: maxDocumentBody, serve: s.putFleetRevision},
		{path: document + "/diff", role: api.RoleOperator, params: []string{"from", "to"}, serve: s.fleetDiff},
		{method: http.MethodPost, path: document + "/check", role: api.RoleOperator, asks: true, body: maxDocumentBody, serve: s.checkFleet},
		{path: document + "/plan", role: api.RoleOperator, params: []string{"revision", "hosts"}, serve: s.fleetPlan},
		{path: document + "/drift", role: api.RoleOperator, params: []string{"hosts"}, serve: s.fleetDrift},
		{method: http.MethodPost, path: document + "/drift", role: api.RoleOperator, serve: s.repairFleet},
		{path: document + "/rollout", serve: s.fleetRollout},
		{method: http.MethodPost, path: document + "/rollout", role: api.RoleOperator, serve: s.startRollout},
		{method: http.MethodDelete, path: document + "/rollout", role: api.RoleOperator, serve: s.stopRollout},
		{path: document + "/rollouts", serve: s.fleetRollouts},
	}
	for i := range all {
		serve := all[i].serve
		all[i].serve = func(w http.ResponseWriter, r *http.Request) error {
			if s.options.Fleet == nil {
				return status(http.StatusServiceUnavailable, "there is no fleet here; fleet.file names one")
			}
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(fleetTime)) // without it the usual one holds
			return serve(w, r)
		}
	}
	return all
}

// items answers with a list.
func items[T any](s *Server, w http.ResponseWriter, found []T, err error) error {
	if err != nil {
		return err
	}
	if found == nil {
		found = []T{}
	}
	return answer(w, list(s.view(), found))
}

// one answers with one thing.
func one[T any](w http.ResponseWriter, found T, err error) error {
	if err != nil {
		return err
	}
	return answer(w, found)
}

// number reads a query parameter that is a number; zero for none.
func number(r *http.Request, name string, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, status(http.StatusBadRequest, fmt.Sprintf("query parameter %q: want a number from 1 to %d", name, most))
	}
	return n, nil
}

// hostsOf reads the query parameter hosts: names with commas between them.
func hostsOf(r *http.Request) []string {
	return strings.FieldsFunc(r.URL.Query().Get("hosts"), func(c rune) bool { return c == ',' })
}

func (s *Server) fleetDocuments(w http.ResponseWriter, _ *http.Request) error {
	found, err := s.options.Fleet.Documents.Documents()
	return items(s, w, found, err)
}

func (s *Server) fleetHosts(w http.ResponseWriter, r *http.Request) error {
	found, err := s.options.Fleet.Hosts.Hosts(r.URL.Query().Get("document"))
	return items(s, w, found, err)
}

func (s *Server) fleetRevisions(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", maxRevisions)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = defaultRevisions
	}
	found, err := s.options.Fleet.Documents.Revisions(r.PathValue("document"), int(limit)) //nolint:gosec // at most maxRevisions
	return items(s, w, found, err)
}

func (s *Server) fleetRevision(w http.ResponseWriter, r *http.Request) error {
	var n uint64
	if text := r.PathValue("number"); text != "newest" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil || n == 0 {
			return status(http.StatusNotFound, "no such revision; write newest, or a number from 1")
		}
	}
	found, err := s.options.Fleet.Documents.Revision(r.PathValue("document"), n)
	return one(w, found, err)
}

func (s *Server) putFleetRevision(w http.ResponseWriter, r *http.Request) error {
	var n api.NewFleetRevision
	if err := readBody(r, &n); err != nil {
		return err
	}
	made, err := s.options.Fleet.Documents.Put(r.PathValue("document"), n, operator(r))
	return one(w, made, err)
}

func (s *Server) fleetDiff(w http.ResponseWriter, r *http.Request) error {
	from, err := number(r, "from", ^uint64(0))
	if err != nil {
		return err
	}
	to, err := number(r, "to", ^uint64(0))
	if err != nil {
		return err
	}
	found, err := s.options.Fleet.Hosts.Diff(r.PathValue("document"), from, to)
	return one(w, found, err)
}

func (s *Server) checkFleet(w http.ResponseWriter, r *http.Request) error {
	var n api.NewFleetCheck
	if err := readBody(r, &n); err != nil {
		return err
	}
	found, err := s.options.Fleet.Hosts.Check(r.Context(), r.PathValue("document"), n)
	return items(s, w, found, err)
}

func (s *Server) fleetPlan(w http.ResponseWriter, r *http.Request) error {
	revision, err := number(r, "revision", ^uint64(0))
	if err != nil {
		return err
	}
	found, err := s.options.Fleet.Hosts.Plan(r.Context(), r.PathValue("document"), revision, hostsOf(r))
	return one(w, found, err)
}

func (s *Server) fleetDrift(w http.ResponseWriter, r *http.Request) error {
	found, err := s.options.Fleet.Repairs.Drift(r.Context(), r.PathValue("document"), hostsOf(r))
	return one(w, found, err)
}

func (s *Server) repairFleet(w http.ResponseWriter, r *http.Request) error {
	var n api.NewFleetRepair
	if err := readBody(r, &n); err != nil {
		return err
	}
	done, err := s.options.Fleet.Repairs.Repair(r.Context(), r.PathValue("document"), n, operator(r))
	return one(w, done, err)
}

func (s *Server) fleetRollout(w http.ResponseWriter, r *http.Request) error {
	found, err := s.options.Fleet.Rollouts.Rollout(r.PathValue("document"))
	return one(w, found, err)
}

func (s *Server) startRollout(w http.ResponseWriter, r *http.Request) error {
	var n api.NewFleetRollout
	if err := readBody(r, &n); err != nil {
		return err
	}
	begun, err := s.options.Fleet.Rollouts.Start(r.Context(), r.PathValue("document"), n, operator(r))
	return one(w, begun, err)
}

func (s *Server) stopRollout(w http.ResponseWriter, r *http.Request) error {
	err := s.options.Fleet.Rollouts.Stop(r.PathValue("document"), operator(r))
	return one(w, api.Done{Text: "the rollout is being reverted"}, err)
}

func (s *Server) fleetRollouts(w http.ResponseWriter, r *http.Request) error {
	found, err := s.options.Fleet.Rollouts.Rollouts(r.PathValue("document"))
	return items(s, w, found, err)
}
