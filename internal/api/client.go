package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultTimeout bounds a call whose ClientOptions name no timeout.
const DefaultTimeout = 10 * time.Second

// maxAnswer bounds an answer in bytes; ten thousand services stay far below.
const maxAnswer = 256 << 20

// ClientOptions are what NewClient needs.
type ClientOptions struct {
	// URL is http://HOST:PORT, https://HOST:PORT or unix:///PATH, without a further path.
	URL   string
	Token string // is sent as a bearer token; empty sends none
	// TLS judges the certificate of https://; nil is the machine's authorities.
	TLS *tls.Config
	// Transport carries the calls instead of connections of the client's own.
	Transport http.RoundTripper
	// Timeout bounds a call to the last byte; zero means DefaultTimeout.
	Timeout time.Duration
}

// Client talks to one Fairway, from any goroutine. Errors wrap ErrNoAnswer when nothing
// answers, and are *Error when the answer is no.
type Client struct {
	shown string // the URL as it was given, for messages
	base  string // scheme and host of every request
	token string
	http  *http.Client
}

// NewClient checks the options; it does not connect.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("admin URL: not a URL") // the parser's text repeats what may hold a password
	}
	if u.User != nil {
		return nil, errors.New("admin URL: user and password are not allowed, give a token")
	}
	c := &Client{shown: o.URL, token: o.Token}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("admin URL %q: want %s://HOST:PORT", o.URL, u.Scheme)
		}
		c.base = u.Scheme + "://" + u.Host
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("admin URL %q: want unix:///PATH", o.URL)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
		c.base = "http://localhost"
	default:
		return nil, fmt.Errorf("admin URL %q: want http://, https:// or unix://", o.URL)
	}
	c.http = &http.Client{
		Transport: transport,
		Timeout:   cmp.Or(o.Timeout, DefaultTimeout),
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.Transport != nil {
		c.http.Transport = o.Transport
	}
	return c, nil
}

// Close gives up idle connections. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Routes lists the routes of the live table. It takes every field of Query.
func (c *Client) Routes(ctx context.Context, q Query) (List[Route], error) {
	return list[Route](ctx, c, "/v1/routes", q.values())
}

// Services lists what exists, served or not. It takes Service, Source and Host.
func (c *Client) Services(ctx context.Context, q Query) (List[Service], error) {
	return list[Service](ctx, c, "/v1/services", q.values())
}

// Service returns the services of an ID or a name; an *Error with 404 for none.
func (c *Client) Service(ctx context.Context, name string) (List[Service], error) {
	return list[Service](ctx, c, "/v1/services/"+url.PathEscape(name), nil)
}

// Problems lists the refused labels and routes. It takes Service and Source.
func (c *Client) Problems(ctx context.Context, q Query) (List[Problem], error) {
	return list[Problem](ctx, c, "/v1/problems", q.values())
}

// Sources lists the sources and how they are doing.
func (c *Client) Sources(ctx context.Context) (List[Source], error) {
	return list[Source](ctx, c, "/v1/sources", nil)
}

// Nodes lists the machines that run instances. It takes Source.
func (c *Client) Nodes(ctx context.Context, q Query) (List[Node], error) {
	return list[Node](ctx, c, "/v1/nodes", q.values())
}

// Explain says which route takes a request, and why.
func (c *Client) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	return get[Explanation](ctx, c, "/v1/explain", url.Values{
		"url": {r.URL}, "method": text(r.Method), "client": text(r.Client), "listener": text(r.Listener), "header": r.Headers,
	})
}

// Doctor says why what has this name or ID is served or not; an *Error with 404 for none.
func (c *Client) Doctor(ctx context.Context, name string) (List[Diagnosis], error) {
	return list[Diagnosis](ctx, c, "/v1/doctor/"+url.PathEscape(name), nil)
}

// Info says what is running.
func (c *Client) Info(ctx context.Context) (Info, error) {
	return get[Info](ctx, c, "/v1/info", nil)
}

// Ready says whether requests are served; that they are not is no error.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	res, err := c.do(ctx, http.MethodGet, "/ready", nil, nil)
	if err != nil {
		return Readiness{}, err
	}
	notYet := res.status == http.StatusServiceUnavailable && res.contentType == "application/json"
	if notYet || res.status == http.StatusOK {
		return decode[Readiness](c, res)
	}
	return Readiness{}, res.problem()
}

// text is a query parameter; empty is left out, as nil is by url.Values.
func text(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// given is a query parameter; what is zero is left out.
func given[T int | uint64 | bool](v T) []string {
	if v == *new(T) {
		return nil
	}
	return []string{fmt.Sprint(v)}
}

// moment is a query parameter; the zero time is left out.
func moment(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return []string{t.UTC().Format(time.RFC3339)}
}

func (q Query) values() url.Values {
	return url.Values{"service": text(q.Service), "source": text(q.Source), "host": text(q.Host), "state": text(q.State), "live": given(q.Live), "notices": given(q.Notices)}
}

func list[T any](ctx context.Context, c *Client, path string, query url.Values) (List[T], error) {
	return get[List[T]](ctx, c, path, query)
}

// Get asks c for what an operation answers, for packages with wire types of their own.
func Get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return get[T](ctx, c, path, query)
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return call[T](ctx, c, http.MethodGet, path, query, nil)
}

// Post asks for an operation that changes something, without a body.
func Post[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return call[T](ctx, c, http.MethodPost, path, query, nil)
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return call[T](ctx, c, http.MethodPost, path, nil, body)
}

func remove[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return call[T](ctx, c, http.MethodDelete, path, query, nil)
}

// call asks for an operation. body is sent as JSON; nil sends none.
func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, error) {
	res, err := c.do(ctx, method, path, query, body)
	if err == nil && res.status != http.StatusOK {
		err = res.problem()
	}
	if err != nil {
		var none T
		return none, err
	}
	return decode[T](c, res)
}

func decode[T any](c *Client, res answer) (T, error) {
	var v T
	if res.contentType != "application/json" {
		return v, fmt.Errorf("what answers at %s is not Fairway's admin API (--admin): it sent %q", c.shown, res.contentType)
	}
	if err := json.Unmarshal(res.body, &v); err != nil {
		return v, fmt.Errorf("answer of %s: %w", c.shown, err)
	}
	return v, nil
}

// answer is a response that has been read.
type answer struct {
	status      int
	contentType string // media type without parameters
	body        []byte
}

// problem makes an error of an answer. A body that is no problem is not repeated.
func (a answer) problem() error {
	e := &Error{}
	if a.contentType != ProblemContentType || json.Unmarshal(a.body, e) != nil || e.Title == "" {
		e = &Error{Type: "about:blank", Title: http.StatusText(a.status)}
	}
	e.Status = a.status
	return e
}

// request makes a request; body is sent as JSON, nil sends none.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	address := c.base + path
	if text := query.Encode(); text != "" {
		address += "?" + text
	}
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("admin request: %w", err)
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return nil, fmt.Errorf("admin request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (answer, error) {
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return answer{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, c.noAnswer(ctx, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("answer of %s broke off: %w", c.shown, cause(err))
	}
	if len(text) > maxAnswer {
		return answer{}, fmt.Errorf("answer of %s is longer than %d bytes", c.shown, maxAnswer)
	}
	mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // empty for none
	return answer{status: res.StatusCode, contentType: mediaType, body: text}, nil
}

// noAnswer says why a call did not come through, unless the caller has ended it.
func (c *Client) noAnswer(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w at %s: is `fairway run` started? (--admin): %w", ErrNoAnswer, c.shown, cause(err))
}

// cause takes off the URL of package net/http, which may hold what is explained.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
