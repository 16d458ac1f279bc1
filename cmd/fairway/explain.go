package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/app"
)

type explainCommand struct {
	Request []string `arg:"" name:"request" help:"URL, after an HTTP method where that is not GET. http:// may be left out."`
	Headers []string `name:"header" short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Header of the request. Repeatable. Do not give real credentials."`
	Client  string   `name:"client" placeholder:"IP" help:"Client address of the request."`
}

// Run prints the explanation.
func (e *explainCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	method, url := http.MethodGet, e.Request[len(e.Request)-1]
	if len(e.Request) > 2 {
		return usageError{errors.New("want a URL, or a method and a URL: fairway explain POST " + url)}
	}
	if len(e.Request) == 2 {
		method = strings.ToUpper(e.Request[0])
	}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	for _, h := range e.Headers {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return usageError{errors.New("--header: write 'NAME: VALUE'")}
		}
	}
	x, err := a.Explain(ctx, api.ExplainRequest{Method: method, URL: url, Headers: e.Headers, Client: e.Client})
	reached := x.Outcome == api.OutcomeRouted && x.Winner.Route.Condition.State != api.StateDown || x.Outcome == api.OutcomeAnswered
	return noIf(show(c, x, err, c.Explanation), !reached)
}

type doctorCommand struct {
	Name   string `arg:"" help:"A service, container or other instance, by name or ID."`
	Config string `name:"config" placeholder:"PATH" help:"Configuration file that names the sources to read when no Fairway answers."`
}

// Run prints the diagnoses.
func (d *doctorCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Doctor(ctx, d.Name)
	if errors.Is(err, api.ErrNoAnswer) && c.admin == "" {
		c.Note("%v", err)
		c.Note("Reading the sources directly.")
		var loaded *app.Loaded
		if loaded, err = c.load(d.Config, nil); err != nil {
			return err
		}
		found.Items, err = app.Doctor(ctx, loaded.Config, app.Options{Environ: c.environ}, d.Name)
	}
	if err != nil {
		return err
	}
	if len(found.Items) == 0 {
		c.Fail(fmt.Errorf("nothing is called %q", d.Name))
		return errNo
	}
	return noIf(list(c, found, nil, c.Diagnoses), slices.ContainsFunc(found.Items, func(d api.Diagnosis) bool { return !d.Served }))
}
