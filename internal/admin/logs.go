package admin

import (
	"fmt"
	"net/http"
	"reflect"
	"time"

	"fairway/internal/admin/logs"
	"fairway/internal/api"
	"fairway/internal/catalog"
)

// maxTail bounds the lines of a log that are there already.
const maxTail = 2000

// logOperations are those on what instances write. They are audited: logs may hold anything.
func (s *Server) logOperations() []operation {
	return where(s.options.Logs != nil, "no logs of containers are read here",
		raw("/v1/instances/{instance}/logs", s.instanceLogs).giving(reflect.TypeFor[api.List[api.LogLine]]()).by(api.RoleOperator).
			refuses(http.StatusBadGateway).with(
			bySource, number("tail", maxTail, "How many of the newest lines; 100 by default."),
			boolean("follow", "Answers with a stream of server-sent events, which goes on with the lines that come.")))
}

// instance is the one of an ID or a name.
func (s *Server) instance(r *request, name string) (found *catalog.Instance, err error) {
	for _, svc := range r.view().Snapshot.Services {
		for _, in := range svc.Instances {
			if in.ID != name && in.Name != name || !r.wants("source", in.Source) {
				continue
			}
			if found != nil {
				return nil, api.Errorf(http.StatusBadRequest, "several instances are called %q: give an ID, or a source", name)
			}
			found = in
		}
	}
	if found == nil {
		return nil, s.missing("no instance %q", name)
	}
	return found, nil
}

func (s *Server) instanceLogs(r *request) error {
	in, err := s.instance(r, r.PathValue("instance"))
	if err != nil {
		return err
	}
	tail, follow := int(r.number("tail", 100)), r.flag("follow") //nolint:gosec // it has a bound
	s.record(r, time.Now(), http.StatusOK, fmt.Sprintf("reads the log of %s at %s", in.Name, in.Source))
	if !follow {
		lines, err := logs.Newest(r.Context(), s.options.Logs, in, tail)
		if err != nil {
			return api.Errorf(http.StatusBadGateway, "%v", err)
		}
		send(r.w, http.StatusOK, "application/json", listOf(r, lines))
		return nil
	}
	out, err := s.open(r)
	if err != nil {
		return err
	}
	defer out.Close()
	logs.Follow(out, s.options.Logs, in, tail)
	return nil
}
