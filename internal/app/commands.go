package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"fairway/internal/api"
	"fairway/internal/control"
)

// commands shows the commands of operators to the admin API.
type commands struct{ control *control.Control }

// Commands lists those in force.
func (c commands) Commands() []api.Command {
	var list []api.Command
	for _, command := range c.control.Commands() {
		list = append(list, shownCommand(command))
	}
	return list
}

// Give puts one in force.
func (c commands) Give(ctx context.Context, n api.NewCommand, operator string) (api.CommandResult, error) {
	var err error
	o := control.Order{
		Kind: control.CommandKind(n.Kind), Entry: n.Entry, Release: control.Release(n.Until),
		LiveEndpoints: n.Endpoints == api.EndpointsLive, Operator: operator, Message: n.Message,
	}
	switch {
	case n.Endpoints != "" && n.Endpoints != api.EndpointsLive && n.Endpoints != api.EndpointsRecorded:
		return api.CommandResult{}, refused(fmt.Sprintf("endpoints are %q or %q", api.EndpointsRecorded, api.EndpointsLive))
	case n.Kind == api.CommandWeight && n.Weight == nil:
		return api.CommandResult{}, refused("which weight?")
	case n.Weight != nil:
		o.Weight = *n.Weight
	}
	if n.For != "" {
		if o.For, err = time.ParseDuration(n.For); err != nil {
			return api.CommandResult{}, refused("for: write a duration such as 30s")
		}
	}
	switch o.Kind {
	case control.CommandDrain, control.CommandWeight, control.CommandPause:
		if o.Subject, err = c.control.Resolve(o.Kind, n.Subject); err != nil {
			return shownResult(control.Result{}, err)
		}
	}
	return shownResult(c.control.Give(ctx, o))
}

// TakeBack ends one.
func (c commands) TakeBack(ctx context.Context, id, operator, message string) (api.CommandResult, error) {
	return shownResult(c.control.TakeBack(ctx, id, operator, message))
}

// refused is the answer to a command that makes no sense.
func refused(why string) *api.Error { return failure(http.StatusBadRequest, why) }

func failure(status int, why string) *api.Error {
	return &api.Error{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: why}
}

func shownResult(r control.Result, err error) (api.CommandResult, error) {
	switch {
	case errors.Is(err, control.ErrRefused):
		return api.CommandResult{}, refused(err.Error())
	case errors.Is(err, control.ErrNotNow), errors.Is(err, control.ErrNoHistory):
		return api.CommandResult{}, failure(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, control.ErrWithdrawn):
		return api.CommandResult{}, failure(http.StatusConflict, err.Error())
	case err != nil:
		return api.CommandResult{}, err
	}
	out := api.CommandResult{Command: shownCommand(r.Command), Entry: r.Entry.Number, Remarks: r.Remarks}
	if !r.Recorded {
		out.Remarks = append(out.Remarks, "it is in force, but its table is not in the history yet")
	}
	return out, nil
}

func shownCommand(c control.Command) api.Command {
	out := api.Command{
		ID: c.ID, Kind: string(c.Kind), Text: c.String(),
		Service: c.Subject.Service, Instance: c.Subject.Instance, Source: c.Subject.Source, Node: c.Subject.Node,
		Ends: c.Until, Operator: c.Operator, Message: c.Message, Since: c.Since,
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
	out.Operator = cmp.Or(out.Operator, "an unnamed operator")
	return out
}
