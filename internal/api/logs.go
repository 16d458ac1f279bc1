package api

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// LogLine is a line that an instance has written.
type LogLine struct {
	At time.Time `json:"at"` // by the clock of its machine
	// Text is without colours; other control characters are visible as Go escapes them.
	Text string `json:"text"`
	// Stderr is true for standard error; never with a terminal.
	Stderr bool `json:"stderr,omitempty"`
}

// LogEnd is the end of a log that was followed; Error is empty when the instance has ended.
type LogEnd struct {
	Error string `json:"error,omitempty"`
}

// LogQuery says which lines of an instance are wanted.
type LogQuery struct {
	Source string // of the instance; empty where its name or ID says enough
	Tail   int    // how many lines that are there already; zero means the default
}

func (q LogQuery) values(follow bool) url.Values {
	return url.Values{"source": text(q.Source), "tail": given(q.Tail), "follow": given(follow)}
}

func logPath(instance string) string { return "/v1/instances/" + url.PathEscape(instance) + "/logs" }

// Log lists the newest lines that an instance, by its ID or name, has written, the oldest first.
func (c *Client) Log(ctx context.Context, instance string, q LogQuery) (List[LogLine], error) {
	return list[LogLine](ctx, c, logPath(instance), q.values(false))
}

// FollowLog calls got with lines of an instance until it ends, which is no error, or ctx does.
func (c *Client) FollowLog(ctx context.Context, instance string, q LogQuery, got func(LogLine)) error {
	ended := errors.New("ended")
	end := LogEnd{}
	err := c.stream(ctx, logPath(instance), q.values(true), func(event string, data []byte) error {
		switch event {
		case "line":
			return each(data, got)
		case "end":
			if err := each(data, func(e LogEnd) { end = e }); err != nil {
				return err
			}
			return ended
		}
		return nil
	})
	switch {
	case !errors.Is(err, ended):
		return err
	case end.Error != "":
		return errors.New(end.Error)
	}
	return nil
}
