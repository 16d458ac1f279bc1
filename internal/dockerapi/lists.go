package dockerapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/moby/moby/client"
)

// The calls here are made without the maintained client, which would decode answers whole.
// A list of a Swarm has megabytes of which Fairway wants little.

// Seen is what a caller remembers of the newest answer to one list call and its filter. An
// answer that is the same, byte for byte, is not decoded: the call returns no list, and
// changed is false. The zero value remembers nothing; with nil every answer is decoded. Two
// calls at once must not use one.
type Seen struct {
	sum  [sha256.Size]byte
	size int
}

// same reports whether body is what was seen last, and remembers it.
func (s *Seen) same(body []byte) bool {
	now := Seen{sum: sha256.Sum256(body), size: len(body)}
	was := *s
	*s = now
	return now == was
}

// The largest answers taken: a list that is larger than any Swarm's, and an error.
const (
	maxList  = 256 << 20
	maxError = 4 << 10
)

// getList makes the call GET path and translates each element of the answer.
func getList[Wire, Fact any](ctx context.Context, c *Client, path string, query url.Values, seen *Seen, translate func(Wire) Fact) (list []Fact, changed bool, err error) {
	what, _, _ := strings.Cut(path, "/")
	ctx, end := c.begin(ctx, "list "+what, c.timeout, &err)
	defer end()
	defer func() {
		if err != nil && seen != nil {
			*seen = Seen{}
		}
	}()
	answer, err := c.get(ctx, "/"+path, query)
	if err != nil {
		return nil, false, err
	}
	defer answer.Close()
	from := io.Reader(answer)
	if seen != nil {
		// The last answer's size, and a little, spares growing step by step.
		body := bytes.NewBuffer(make([]byte, 0, seen.size+seen.size/16+bytes.MinRead))
		if n, err := body.ReadFrom(io.LimitReader(answer, maxList+1)); err != nil {
			return nil, false, err
		} else if n > maxList {
			return nil, false, fmt.Errorf("the answer has more than %d MiB", maxList>>20)
		}
		if seen.same(body.Bytes()) {
			return nil, false, nil
		}
		from = body
	}
	list = make([]Fact, 0)
	if err := eachOf(from, func(w Wire) { list = append(list, translate(w)) }); err != nil {
		return nil, false, err
	}
	return list, true, nil
}

// filtered is the query for what passes filters.
func filtered(filters client.Filters) url.Values {
	text, _ := json.Marshal(filters) // texts alone are in it
	return url.Values{"filters": {string(text)}}
}

// eachOf calls the function with each element of a list as it comes, never the whole list.
func eachOf[Wire any](answer io.Reader, each func(Wire)) error {
	decoder := json.NewDecoder(io.LimitReader(answer, maxList))
	switch t, err := decoder.Token(); {
	case err != nil:
		return err
	case t == nil:
		return nil // null stands for an empty list
	case t != json.Delim('['):
		return errors.New("the answer is no list")
	}
	for decoder.More() {
		var w Wire
		if err := decoder.Decode(&w); err != nil {
			return err
		}
		each(w)
	}
	_, err := decoder.Token() // the closing bracket, or what is missing
	return err
}

// agree agrees on an API version with the engine, once. The maintained client does so behind
// a lock without a deadline; here no call waits longer than its own deadline.
func (c *Client) agree(ctx context.Context) error {
	if c.agreed.Load() {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.agreed.Load() {
		return nil
	}
	if _, err := c.probe.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return withoutURL(err)
	}
	c.agreed.Store(true)
	return nil
}

// get makes the call GET path and returns the body of the answer, which the caller closes.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	if err := c.agree(ctx); err != nil {
		return nil, err
	}
	r, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	r.URL.RawQuery = query.Encode()
	response, err := c.http.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, refusal(response)
	}
	return response.Body, nil
}

// request makes a request of the API version that was agreed on.
func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	scheme, host := "http", client.DummyHost
	if c.way.tls != nil {
		scheme = "https"
	}
	if address, ok := strings.CutPrefix(c.way.address, "tcp://"); ok {
		host = address
	}
	r, err := http.NewRequestWithContext(ctx, method, scheme+"://"+host+"/v"+c.probe.ClientVersion()+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", userAgent)
	return r, nil
}

// withoutURL drops the URL from an error: its filters explain nothing.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// refusal makes an error of an answer that is not a list.
func refusal(r *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxError))
	if err != nil {
		return fmt.Errorf("%s: %w", r.Status, err)
	}
	var message struct{ Message string }
	if json.Unmarshal(text, &message) == nil && message.Message != "" {
		return errors.New(message.Message)
	}
	return errors.New(r.Status)
}
