package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

const (
	// streamSilence is the longest silence of a stream; the server says something every 15 s.
	streamSilence = 45 * time.Second
	// maxEvent bounds one event of a stream in bytes.
	maxEvent = 1 << 20
)

// ErrStreamEnded means that a stream has ended, as one does when Fairway stops.
var ErrStreamEnded = errors.New("the stream has ended")

// stream reads server-sent events and calls got with each until ctx ends, got fails or the
// stream ends, which is ErrStreamEnded.
func (c *Client) stream(ctx context.Context, path string, query url.Values, got func(event string, data []byte) error) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(streamSilence, cancel)
	defer silent.Stop()
	address := c.base + path
	if text := query.Encode(); text != "" {
		address += "?" + text
	}
	req, err := http.NewRequestWithContext(reading, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("admin request: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.Patient(0).http.Do(req)
	if err != nil {
		return c.noAnswer(ctx, err)
	}
	defer res.Body.Close()
	if mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || mediaType != "text/event-stream" {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxEvent)) // what there is of it
		return answer{res.StatusCode, mediaType, body}.problem()
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	event := ""
	for lines.Scan() {
		silent.Reset(streamSilence)
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			if err := got(event, value); err != nil {
				return fmt.Errorf("answer of %s: %w", c.shown, err)
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case reading.Err() != nil:
		return fmt.Errorf("%w: nothing came for %v", ErrStreamEnded, streamSilence)
	case lines.Err() != nil:
		return fmt.Errorf("%w: %w", ErrStreamEnded, cause(lines.Err()))
	}
	return ErrStreamEnded
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
