package condition

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"syscall"
	"time"

	"fairway/internal/clock"
	"fairway/internal/route"

	"golang.org/x/sync/errgroup"
)

// The pace at which endpoints without an active check are connected to.
const (
	lookEvery     = time.Second      // between two looks at what is due
	afterAccepted = 30 * time.Second // until the next connection to one that accepts
	afterRefused  = 5 * time.Second  // to one that does not
	connectTime   = 2 * time.Second  // bounds a connection
	connectAtOnce = 32
	// acceptedAtOnce bounds how many of those that accepted are due in one look, so that
	// thousands of endpoints cost no more than some: they are connected to less often.
	acceptedAtOnce = 10
)

// connector connects to the endpoints of the live table, each soon after it appears and
// from time to time, closes the connection at once, and keeps how it went. Endpoints with
// an active check are left to that. Its methods may be called from any goroutine.
type connector struct {
	dial func(ctx context.Context, address string) error

	mu       sync.Mutex
	attempts map[string]Attempt // by address
	changes  int                // grows with each attempt that went otherwise than the one before

	table     *route.Table    // of the look before
	addresses map[string]bool // watched in it
}

func newConnector() *connector { return &connector{dial: dialTCP, attempts: map[string]Attempt{}} }

func dialTCP(ctx context.Context, address string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// newest returns how the newest connections went, by address.
func (c *connector) newest() map[string]Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.attempts)
}

// run connects to what is due in the live table until ctx ends.
func (c *connector) run(ctx context.Context, live func() *route.Table) {
	for clock.Sleep(ctx, lookEvery) == nil {
		if t := live(); t != nil {
			c.round(ctx, t)
		}
	}
}

// round connects to everything in a table that is due, and forgets what it has not.
func (c *connector) round(ctx context.Context, t *route.Table) {
	var running errgroup.Group
	running.SetLimit(connectAtOnce)
	for _, address := range c.due(t, time.Now()) {
		running.Go(func() error {
			a := c.try(ctx, address)
			if ctx.Err() != nil {
				return nil
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if before, tried := c.attempts[address]; !tried || before.Error != a.Error {
				c.changes++
			}
			c.attempts[address] = a
			return nil
		})
	}
	_ = running.Wait()
}

// due are the addresses in a table that are to be connected to at a moment; what is not in
// it is forgotten. One goroutine at a time may call it.
func (c *connector) due(t *route.Table, now time.Time) (due []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table != t {
		c.table, c.addresses = t, watched(t)
		maps.DeleteFunc(c.attempts, func(address string, _ Attempt) bool { return !c.addresses[address] })
	}
	accepted := 0
	for address := range c.addresses {
		a, tried := c.attempts[address]
		switch age := now.Sub(a.At); {
		case !tried, a.Error != "" && age >= afterRefused:
			due = append(due, address)
		case a.Error == "" && age >= afterAccepted && accepted < acceptedAtOnce:
			accepted++
			due = append(due, address)
		}
	}
	return due
}

// changed is another number once an attempt went otherwise than the one before.
func (c *connector) changed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// watched are the addresses of endpoints that requests may be sent to and that have no
// active check.
func watched(t *route.Table) map[string]bool {
	all := map[string]bool{}
	for _, b := range t.Backends {
		for _, e := range b.Endpoints {
			if b.Health == nil && e.State == route.EndpointReady && e.Weight > 0 {
				all[e.Address] = true
			}
		}
	}
	return all
}

// Connect connects to an address now, for who asks once.
func Connect(ctx context.Context, address string) Attempt { return newConnector().try(ctx, address) }

// try connects to an address now.
func (c *connector) try(ctx context.Context, address string) Attempt {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	err := c.dial(ctx, address)
	return Attempt{At: time.Now(), Error: inWords(err)}
}

// inWords says why a connection failed; empty for nil.
func inWords(err error) string {
	var unknown *net.DNSError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way to the host"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Sprintf("no answer within %v", connectTime)
	case errors.As(err, &unknown):
		return "the name is not known"
	}
	return err.Error()
}
