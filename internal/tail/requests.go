// Package tail prints what comes one after the other: requests that are over, and the lines
// that containers write.
package tail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// Errors prints the last errors of routes, with the columns that c has room for.
func Errors(c *console.Console, list []api.Request) {
	t := c.Columns("AT", "STATUS", "REQUEST", "ERROR", "+ROUTE", "+INSTANCE", "+CLIENT", "+ID")
	for _, r := range list {
		t.Add(r.At, statusCell(r), request(r), r.Error, cmp.Or(r.Route, "-"), cmp.Or(r.Instance, "-"), cmp.Or(r.Client, "-"), cmp.Or(r.ID, "-"))
	}
	t.Print()
}

// request says what was asked for; where the path is not shown, what is.
func request(r api.Request) string { return r.Method + " " + r.Host + r.Path }

func statusCell(r api.Request) console.Cell {
	switch text := fmt.Sprint(r.Status); {
	case r.Status == 0:
		return console.Bad.Cell("-")
	case r.Aborted || r.Status >= 500:
		return console.Bad.Cell(text)
	case r.Status >= 400:
		return console.Doubt.Cell(text)
	default:
		return console.Good.Cell(text)
	}
}

// Requests prints requests as they are over until ctx ends, which is no error. name is a
// service or a route; empty for all.
func Requests(ctx context.Context, c *console.Console, a *api.Client, name string, q api.RequestQuery) error {
	q.Service = name
	follow := func() error {
		return a.Requests(ctx, q, func(r api.Request) { printRequest(c, r) }, func(n uint64) {
			c.Note("%s left out: they came faster than they were printed.", human.Plural(int(min(n, 1<<30)), "request")) //nolint:gosec // it is bounded
		})
	}
	err := follow()
	if IsNotFound(err) && name != "" {
		q.Service, q.Route = "", name
		if second := follow(); !IsNotFound(second) {
			err = second
		}
	}
	return ended(ctx, err)
}

// ended is the error of a stream; that it was interrupted is none.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// IsNotFound reports whether err says that there is no such thing.
func IsNotFound(err error) bool {
	var refused *api.Error
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

func printRequest(c *console.Console, r api.Request) {
	if c.Format == "json" {
		printJSON(c, r)
		return
	}
	status := statusCell(r)
	_, clock, _ := strings.Cut(c.Time(r.At), " ") // with its mark where it is in UTC
	line := c.Paint(console.Faint, clock) + "  " + c.Paint(status.Colour, fmt.Sprintf("%3s", status.Text)) +
		fmt.Sprintf("  %6.0f ms  ", r.Milliseconds) + human.Escape(request(r))
	if r.Instance != "" {
		line += c.Paint(console.Faint, "  → "+r.Instance)
	}
	if r.Error != "" {
		line += "  " + c.Paint(status.Colour, r.Error)
	}
	if c.Wide() {
		line += c.Paint(console.Faint, "  route "+cmp.Or(r.Route, "-")+", client "+cmp.Or(r.Client, "-")+", id "+cmp.Or(r.ID, "-"))
	}
	c.Raw(line)
}

// printJSON prints a thing on a line of its own.
func printJSON(c *console.Console, v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types of package api always encode
	}
	c.Raw(string(console.EscapeJSON(line)))
}
