package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"fairway/internal/api"
)

// Notifications is what happened and whom it was told. The errors are *api.Error
// where they are to be told.
type Notifications interface {
	// Events returns those that a query keeps, the newest first.
	Events(q api.EventQuery) []api.Event
	// Channels returns the channels, sorted by name.
	Channels() []api.Channel
	// Pending returns what waits for a channel.
	Pending(channel string, limit int) ([]api.Event, error)
	// Test sends a test event on a channel.
	Test(ctx context.Context, channel string) error
}

// Rules says how the rules stand.
type Rules interface {
	Rules() []api.RuleState
}

const (
	defaultEvents = 100
	maxEvents     = 2000
)

// notifyOperations are those on events, channels and rules.
func (s *Server) notifyOperations() []operation {
	return []operation{
		{path: "/v1/events", params: []string{"kind", "subject", "standing", "limit"}, serve: s.events},
		{path: "/v1/notify/channels", serve: s.channels},
		{path: "/v1/notify/channels/{name}/pending", params: []string{"limit"}, serve: s.pendingEvents},
		{method: http.MethodPost, path: "/v1/notify/channels/{name}/test", role: api.RoleOperator, serve: s.testChannel},
		{path: "/v1/rules", serve: s.rules},
	}
}

// notifications returns them, or says that there are none.
func (s *Server) notifications() (Notifications, error) {
	if s.options.Notifications == nil {
		return nil, status(http.StatusServiceUnavailable, "there are no notifications here")
	}
	return s.options.Notifications, nil
}

// limitOf reads how many are asked for.
func limitOf(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return defaultEvents, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxEvents {
		return 0, status(http.StatusBadRequest, fmt.Sprintf("query parameter %q: want a number from 1 to %d", "limit", maxEvents))
	}
	return n, nil
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	n, err := s.notifications()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	standing, err := boolean(q, "standing")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	return answer(w, list(s.view(), n.Events(api.EventQuery{Kind: q.Get("kind"), Subject: q.Get("subject"), Standing: standing, Limit: limit})))
}

func (s *Server) channels(w http.ResponseWriter, _ *http.Request) error {
	n, err := s.notifications()
	if err != nil {
		return err
	}
	return answer(w, list(s.view(), n.Channels()))
}

func (s *Server) pendingEvents(w http.ResponseWriter, r *http.Request) error {
	n, err := s.notifications()
	if err != nil {
		return err
	}
	limit, err := limitOf(r.URL.Query())
	if err != nil {
		return err
	}
	found, err := n.Pending(r.PathValue("name"), limit)
	if err != nil {
		return err
	}
	return answer(w, list(s.view(), found))
}

func (s *Server) testChannel(w http.ResponseWriter, r *http.Request) error {
	n, err := s.notifications()
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := n.Test(r.Context(), name); err != nil {
		return err
	}
	return done(w, r, "a test event was delivered on channel "+name)
}

func (s *Server) rules(w http.ResponseWriter, _ *http.Request) error {
	items := []api.RuleState{}
	if s.options.Rules != nil {
		items = s.options.Rules.Rules()
	}
	return answer(w, list(s.view(), items))
}
