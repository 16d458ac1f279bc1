package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/notify"
)

const (
	defaultEvents = 100
	maxEvents     = 2000
)

// notifyOperations are those on events, channels and rules.
func (s *Server) notifyOperations() []operation {
	limit := number("limit", maxEvents, "How many; 100 by default.")
	all := where(s.options.Notifications != nil, "there are no notifications here",
		list("/v1/events", s.events).with(
			text("kind", "A kind of event, or how several kinds begin."), text("subject", "Subject of an event, or its name."),
			boolean("standing", "Keeps events that began what is not over."), limit,
			text("severity", "good, bad, warning or neutral."), param{name: "since", form: aTime, help: "Keeps events since this time."}),
		list("/v1/notify/channels", func(*request) ([]api.Channel, error) { return s.options.Notifications.Channels(), nil }),
		list("/v1/notify/channels/{name}/pending", s.pendingEvents).with(limit),
		act(http.MethodPost, "/v1/notify/channels/{name}/test", s.testChannel).by(api.RoleOperator).refuses(http.StatusBadGateway))
	return append(all, list("/v1/rules", s.rules))
}

func (s *Server) events(r *request) (items []api.Event, err error) {
	found := s.options.Notifications.Recent()
	if r.flag("standing") {
		found = s.options.Notifications.Standing()
		slices.Reverse(found)
	}
	prefix := r.text("kind")
	if kinds := show.All(notify.Kinds(), func(k notify.Kind) string { return string(k) }); !slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(k, prefix) }) {
		return nil, api.Errorf(http.StatusBadRequest, "kind: no event is of the kind %q; there are %s", prefix, strings.Join(kinds, ", "))
	}
	severity, since := r.text("severity"), r.time("since")
	if all := []string{"", api.SeverityGood, api.SeverityBad, api.SeverityWarning, api.SeverityNeutral}; !slices.Contains(all, severity) {
		return nil, api.Errorf(http.StatusBadRequest, "query parameter \"severity\": want good, bad, warning or neutral")
	}
	for _, e := range found {
		if severity != "" && string(e.Kind.Severity()) != severity || e.At.Before(since) {
			continue
		}
		about := r.wants("subject", e.Subject) || r.wants("subject", e.Name)
		if len(items) < r.limit(defaultEvents) && strings.HasPrefix(string(e.Kind), prefix) && about {
			items = append(items, show.Event(e))
		}
	}
	return items, nil
}

func (s *Server) pendingEvents(r *request) ([]api.Event, error) {
	found, err := s.options.Notifications.Pending(r.PathValue("name"), r.limit(defaultEvents))
	return show.All(found, show.Event), err
}

func (s *Server) testChannel(r *request) (api.Done, error) {
	name := r.PathValue("name")
	switch err := s.options.Notifications.Try(r.Context(), name); {
	case errors.Is(err, notify.ErrNoChannel):
		return api.Done{}, err
	case err != nil:
		return api.Done{}, api.Errorf(http.StatusBadGateway, "%v", err)
	}
	return r.done("a test event was delivered on channel %s", name)
}

func (s *Server) rules(*request) ([]api.RuleState, error) {
	if s.options.Rules == nil {
		return nil, nil
	}
	return s.options.Rules.States(), nil
}
