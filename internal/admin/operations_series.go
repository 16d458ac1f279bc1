package admin

import (
	"fmt"
	"net/http"
	"time"

	"fairway/internal/api"
)

// Series are the readings that are kept. The errors are *api.Error where they are
// to be told.
type Series interface {
	// Groups returns what is kept, sorted by name.
	Groups() []api.SeriesGroup
	// Query returns the readings of one subject; From and To are set.
	Query(group, subject string, q api.SeriesQuery) (api.Series, error)
}

// seriesOperations are those on readings that are kept.
func (s *Server) seriesOperations() []operation {
	return []operation{
		{path: "/v1/series", serve: s.seriesGroups},
		{path: "/v1/series/{group}/{subject...}", params: []string{"from", "to", "step"}, serve: s.series},
	}
}

// readings returns them, or says that there are none.
func (s *Server) readings() (Series, error) {
	if s.options.Series == nil {
		return nil, status(http.StatusServiceUnavailable, "no readings are kept here; series.every says how often")
	}
	return s.options.Series, nil
}

func (s *Server) seriesGroups(w http.ResponseWriter, _ *http.Request) error {
	kept, err := s.readings()
	if err != nil {
		return err
	}
	return answer(w, list(s.view(), kept.Groups()))
}

func (s *Server) series(w http.ResponseWriter, r *http.Request) error {
	kept, err := s.readings()
	if err != nil {
		return err
	}
	query := r.URL.Query()
	q := api.SeriesQuery{To: time.Now()}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if text := query.Get(name); text != "" {
			if *to, err = time.Parse(time.RFC3339, text); err != nil {
				return status(http.StatusBadRequest, fmt.Sprintf("query parameter %q: want a time such as 2026-05-01T12:00:00Z", name))
			}
		}
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Hour)
	}
	if text := query.Get("step"); text != "" {
		if q.Step, err = time.ParseDuration(text); err != nil || q.Step < 0 {
			return status(http.StatusBadRequest, `query parameter "step": want a duration such as 1m`)
		}
	}
	if !q.From.Before(q.To) {
		return status(http.StatusBadRequest, "the time to begin is not before the time to end")
	}
	found, err := kept.Query(r.PathValue("group"), r.PathValue("subject"), q)
	if err != nil {
		return err
	}
	return answer(w, found)
}
