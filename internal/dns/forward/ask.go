package forward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/api/names"

	"github.com/miekg/dns"
)

// downAfter is how many questions in a row have no answer where a resolver is down.
const downAfter = 3

// server is one resolver, with what is known of it.
type server struct {
	at   netip.AddrPort
	back atomic.Bool // a probe came back
	loop atomic.Bool // it sends questions to Fairway

	mu     sync.Mutex
	smooth time.Duration // how long an answer takes
	down   time.Time     // until when it is asked last
	failed int           // questions without an answer, since the newest that had one
}

// rank orders resolvers: those that answer first, the quick ones before.
func (s *server) rank(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.down) {
		return time.Hour + s.smooth
	}
	return s.smooth.Truncate(5 * time.Millisecond) // the order of the file, unless it matters
}

func (s *server) note(took time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.failed++
		s.down = time.Now().Add(downFor)
		return
	}
	s.down, s.failed = time.Time{}, 0
	if s.smooth == 0 {
		s.smooth = took
	}
	s.smooth += (took - s.smooth) / 8
}

func (s *server) show(domain string) names.Resolver {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := "up"
	switch {
	case s.loop.Load():
		state = "loop"
	case s.failed >= downAfter:
		state = "down"
	}
	return names.Resolver{Address: s.at.String(), Domain: domain, State: state, Seconds: s.smooth.Seconds()}
}

// ask asks the resolvers for at most bound: the first, then the others when it takes long or fails.
func ask(ctx context.Context, question *dns.Msg, list []*server, bound time.Duration) (*dns.Msg, error) {
	if len(list) == 0 {
		return nil, errNone
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	type result struct {
		m   *dns.Msg
		err error
	}
	results := make(chan result, len(list))
	next := 0
	start := func() {
		s := list[next]
		next++
		go func() {
			began := time.Now()
			m, err := s.query(ctx, question)
			if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
				s.note(time.Since(began), err == nil)
			}
			results <- result{m, err}
		}()
	}
	start()
	hedge := time.NewTimer(secondAt)
	defer hedge.Stop()
	var errs []error
	var worst *dns.Msg // an answer that says that it failed
	for open := 1; open > 0; {
		select {
		case r := <-results:
			open--
			if r.err == nil && r.m.Rcode != dns.RcodeServerFailure && r.m.Rcode != dns.RcodeRefused {
				return r.m, nil
			}
			if r.err == nil {
				worst = r.m
			} else {
				errs = append(errs, r.err)
			}
			if next < len(list) {
				start()
				open++
			}
		case <-hedge.C:
			if next < len(list) {
				list[0].note(0, false) // the next question goes to another first
				start()
				open++
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("no resolver answered within %s", bound)
		}
	}
	if worst != nil {
		return worst, nil
	}
	return nil, errors.Join(errs...)
}

// query asks one resolver, and again over TCP for an answer that did not fit.
func (s *server) query(ctx context.Context, question *dns.Msg) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(question.Question[0].Name, question.Question[0].Qtype)
	m.CheckingDisabled, m.AuthenticatedData = question.CheckingDisabled, question.AuthenticatedData
	opt := question.IsEdns0()
	m.SetEdns0(maxUDP, opt != nil && opt.Do()) // without the client's own options
	r, err := s.exchange(ctx, m, "udp")
	if err == nil && r.Truncated {
		r, err = s.exchange(ctx, m, "tcp")
	}
	return r, err
}

// exchange sends a message from a new port with a new ID, and takes the answer to it alone.
func (s *server) exchange(ctx context.Context, m *dns.Msg, network string) (*dns.Msg, error) {
	m = m.Copy()
	m.Id = dns.Id()
	c := &dns.Client{Net: network, Timeout: patience, UDPSize: maxUDP}
	conn, err := c.DialContext(ctx, s.at.String())
	if err != nil {
		return nil, fmt.Errorf("resolver %s: %w", s.at, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // another one was quicker
	r, _, err := c.ExchangeWithConnContext(ctx, m, conn)
	switch {
	case err != nil:
		return nil, fmt.Errorf("resolver %s: %w", s.at, err)
	case !r.Response || len(r.Question) != 1 || !strings.EqualFold(r.Question[0].Name, m.Question[0].Name) || r.Question[0].Qtype != m.Question[0].Qtype:
		return nil, fmt.Errorf("resolver %s: the answer is to another question", s.at)
	}
	return r, nil
}
