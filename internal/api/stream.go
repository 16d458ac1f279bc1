package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"fairway/internal/api/events"
)

// streamSilence is the longest silence of a stream; the server says something every 15 s.
const streamSilence = 45 * time.Second

// ErrStreamEnded means that a stream has ended, as one does when Fairway stops.
var ErrStreamEnded = events.ErrEnded

// stream calls got with each event of a stream until ctx ends, got fails or the stream does.
func (c *Client) stream(ctx context.Context, path string, query url.Values, got func(event string, data []byte) error) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(DefaultTimeout, cancel) // for the beginning of an answer
	defer late.Stop()
	req, err := c.request(reading, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.Patient(0).http.Do(req)
	if err != nil {
		return c.noAnswer(ctx, err)
	}
	if mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || mediaType != "text/event-stream" {
		defer res.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // what there is of it
		return answer{res.StatusCode, mediaType, body}.problem()
	}
	late.Stop()
	if err := events.Read(res.Body, streamSilence, got); ctx.Err() == nil {
		return fmt.Errorf("%s: %w", c.shown, err)
	}
	return ctx.Err()
}

// each calls got with the thing that an event holds.
func each[T any](data []byte, got func(T)) error {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	got(v)
	return nil
}
