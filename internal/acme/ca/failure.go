package ca

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// listening notes when the authority wants to be asked again, and bounds its answers.
type listening struct {
	next http.RoundTripper

	mu    sync.Mutex
	again time.Time
}

// RoundTrip is the transport's.
func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
		l.mu.Lock()
		l.again = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		l.mu.Unlock()
	}
	return resp, nil
}

// maxRetryAfter bounds what an authority may ask for: one that is out of its mind must not
// keep names without certificates for ever.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the header of that name; zero for none.
func retryAfter(text string, now time.Time) time.Time {
	at, err := http.ParseTime(text)
	if seconds, bad := strconv.ParseUint(text, 10, 31); bad == nil {
		at, err = now.Add(time.Duration(seconds)*time.Second), nil
	}
	if err != nil || !at.After(now) {
		return time.Time{}
	}
	if latest := now.Add(maxRetryAfter); at.After(latest) {
		return latest
	}
	return at
}

// maxText bounds the words of an authority that are kept, in bytes.
const maxText = 600

// failure says what an error means. It is the context's own error where that has ended by
// itself.
func (c *Client) failure(ctx context.Context, err error, heard *listening) error {
	switch lost := context.Cause(ctx); {
	case lost != nil && !errors.Is(lost, ctx.Err()):
		err = fmt.Errorf("storage: %w", lost)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	}
	f := &Failure{Kind: Unavailable, Text: err.Error()}
	if heard != nil {
		heard.mu.Lock()
		f.RetryAfter = heard.again
		heard.mu.Unlock()
	}
	problem, unproved := acme.Problem{}, (*Failure)(nil)
	switch {
	case errors.As(err, &unproved):
		f.Kind, f.Text = unproved.Kind, unproved.Text
	case errors.As(err, &problem):
		f.Text = words(problem)
		switch {
		case problem.Type == acme.ProblemTypeRateLimited || problem.Status == http.StatusTooManyRequests:
			f.Kind = Limited
		case problem.Status < 500 && problem.Type != acme.ProblemTypeServerInternal:
			f.Kind = Refused
		case problem.Resource != nil: // of this name's authorization
			f.Kind = Refused
		}
	case strings.Contains(err.Error(), "no solvers available"):
		f.Kind, f.Text = Refused, "the certificate authority offers none of the challenges that can be answered: "+strings.Join(c.o.Challenges, ", ")
	case errors.Is(err, context.DeadlineExceeded):
		f.Text = "it took too long: " + f.Text
	}
	if len(f.Text) > maxText {
		f.Text = strings.ToValidUTF8(f.Text[:maxText], "") + "…"
	}
	return f
}

// words are what a problem document says.
func words(p acme.Problem) string {
	said := []string{}
	add := func(p acme.Problem) {
		kind := strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace)
		switch {
		case p.Detail != "" && kind != "":
			said = append(said, kind+": "+p.Detail)
		case p.Detail+kind != "":
			said = append(said, p.Detail+kind)
		}
	}
	add(p)
	for i := range p.Subproblems {
		if p.Subproblems[i].Detail != p.Detail {
			add(p.Subproblems[i].Problem)
		}
	}
	if len(said) == 0 {
		return "the certificate authority answered " + strconv.Itoa(p.Status) + " without a reason"
	}
	return strings.Join(said, "; ")
}
