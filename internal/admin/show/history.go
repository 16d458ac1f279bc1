package show

import (
	"cmp"
	"maps"
	"slices"

	"fairway/internal/api"
	"fairway/internal/control"
	"fairway/internal/history"
)

// Entry is an entry of the history.
func (v *View) Entry(e history.Entry) api.Entry {
	return api.Entry{
		Number: e.Number, Time: e.Time.UTC(), Cause: e.Cause.Text,
		Operator: e.Cause.Operator, Command: e.Cause.Command, Message: e.Cause.Message,
		Seen: All(e.Cause.Changes, seen), Omitted: e.Cause.Omitted,
		Revision: e.Revision, Hash: e.Hash, Live: e.Hash == v.Table.Hash,
		Routes: api.Counts(e.Routes), Backends: api.Counts(e.Backends),
	}
}

func seen(c history.Change) api.Seen {
	return api.Seen{
		Kind: string(c.Kind), Source: c.Source, Service: c.Service, Instance: c.Instance, Label: c.Label, From: c.From, To: c.To,
	}
}

// Command is a command in force.
func Command(c control.Command) api.Command {
	out := api.Command{
		ID: c.ID, Kind: string(c.Kind), Text: c.String(),
		Service: c.Subject.Service, Instance: c.Subject.Instance, Source: c.Subject.Source, Node: c.Subject.Node,
		Ends: c.Until, Operator: cmp.Or(c.Operator, "an unnamed operator"), Message: c.Message, Since: c.Since,
	}
	switch c.Kind {
	case control.CommandWeight:
		out.Weight = &c.Weight
	case control.CommandPause:
		out.Wait = c.Wait.String()
	}
	if h := c.Hold; h != nil {
		out.Entry, out.Until, out.Endpoints = h.Entry, string(h.Release), api.EndpointsRecorded
		if h.LiveEndpoints {
			out.Endpoints = api.EndpointsLive
		}
		out.Services = slices.Sorted(maps.Keys(h.Services))
	}
	return out
}
