package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"fairway/internal/clock"
)

// ErrLost is the reason why what a lock guards must end: Consul has given it to another, or
// may do so before it can be asked again.
var ErrLost = errors.New("consul: the lock is lost")

// LockOptions say how a lock is held. The zero value is fit for work of minutes.
type LockOptions struct {
	// TTL is how long Consul keeps the lock for a holder that says nothing; zero is 15 s.
	// Consul takes 10 s and more, and may take twice as long.
	TTL time.Duration
	// Delay is how long Consul gives the lock to none after its holder was lost, so that
	// work under way can end; zero is 15 s.
	Delay time.Duration
	// Hold is how long the lock is held at most, unless Extend is called: a holder that
	// hangs gives it up. Zero is 30 min.
	Hold time.Duration
	// Name is what people see of the session.
	Name string
}

// Lock is a lock that this process holds, until its context ends.
type Lock struct {
	c            *Client
	key, session string
	ttl          time.Duration
	ctx          context.Context
	cancel       context.CancelCauseFunc
	ended        chan struct{} // closed once nothing is renewed any more

	mu    sync.Mutex
	until time.Time
}

// TryLock takes a lock, or returns nil where another holds it. Consul that cannot be reached
// is an error.
func (c *Client) TryLock(ctx context.Context, key string, opts LockOptions) (*Lock, error) {
	session, began, err := c.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	if got, err := c.acquire(ctx, key, session); !got {
		c.drop(ctx, session)
		return nil, err
	}
	return c.hold(key, session, began, opts), nil
}

// Lock waits until it has the lock, and ends with ctx. After a minute in which Consul could
// not be asked it returns the error.
func (c *Client) Lock(ctx context.Context, key string, opts LockOptions) (*Lock, error) {
	const patience = time.Minute
	asked, pause := time.Now(), 500*time.Millisecond
	for {
		// A session lives only as long as it may get the lock: waiting needs none.
		index, free, err := c.free(ctx, key)
		if err == nil && free {
			var l *Lock
			if l, err = c.TryLock(ctx, key, opts); l != nil {
				return l, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("consul: waiting for the lock %s: %w", key, context.Cause(ctx))
		case err == nil:
			asked = time.Now()
		case isRefusal(err) || time.Since(asked) > patience:
			return nil, err
		}
		if err == nil && !free {
			_, _, _ = c.Await(ctx, key, index, 10*time.Second)
			pause = 500 * time.Millisecond
			continue
		}
		// Free and not to be had is the delay after a lost holder, which no index shows.
		_ = clock.Sleep(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, 2*time.Second)
	}
}

// isRefusal reports whether asking again is of no use.
func isRefusal(err error) bool {
	var said *Error
	return errors.As(err, &said) && said.Status < 500 && said.Status != http.StatusTooManyRequests
}

// free reports whether no session holds a lock, and the index to wait for a change with.
func (c *Client) free(ctx context.Context, key string) (uint64, bool, error) {
	pair, index, err := c.Await(ctx, key, 0, 0)
	if errors.Is(err, ErrNotFound) {
		return index, true, nil
	}
	return index, err == nil && pair.Session == "", err
}

// open makes a session. It has no check of a node: that a node is well says nothing
// about this process, and a client of several agents has no one node.
func (c *Client) open(ctx context.Context, opts LockOptions) (id string, began time.Time, err error) {
	began = time.Now()
	out, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/session/create", body: struct {
		Name, TTL, LockDelay, Behavior string
		NodeChecks                     []string
	}{
		cmp.Or(opts.Name, "fairway"), cmp.Or(opts.TTL, defaultTTL).String(), cmp.Or(opts.Delay, 15*time.Second).String(), "delete", []string{},
	}})
	if err != nil {
		return "", began, err
	}
	var made struct{ ID string }
	if err := decode(out.body, &made); err != nil {
		return "", began, err
	}
	return made.ID, began, nil
}

const defaultTTL = 15 * time.Second

// drop ends a session, also when ctx is over.
func (c *Client) drop(ctx context.Context, session string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*c.timeout) // one may hang
	defer cancel()
	// A session that stays ends by its TTL.
	_, _ = c.do(ctx, call{method: http.MethodPut, path: "/v1/session/destroy/" + session, again: true})
}

func (c *Client) acquire(ctx context.Context, key, session string) (bool, error) {
	return c.put(ctx, key, nil, map[string][]string{"acquire": {session}})
}

func (c *Client) hold(key, session string, began time.Time, opts LockOptions) *Lock {
	l := &Lock{c: c, key: key, session: session, ttl: cmp.Or(opts.TTL, defaultTTL), ended: make(chan struct{})}
	l.until = time.Now().Add(cmp.Or(opts.Hold, 30*time.Minute))
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	go l.renew(began)
	return l
}

// renew keeps the session until the lock's context ends, and ends that in doubt: a third
// of the TTL before Consul may give the lock away.
func (l *Lock) renew(last time.Time) {
	defer close(l.ended)
	for {
		l.mu.Lock()
		until := l.until
		l.mu.Unlock()
		doubt := last.Add(l.ttl - l.ttl/3)
		now := time.Now()
		switch {
		case now.After(until):
			l.cancel(fmt.Errorf("%w: it was held for too long", ErrLost))
			l.c.drop(context.Background(), l.session)
			return
		case now.After(doubt):
			l.cancel(fmt.Errorf("%w: Consul did not answer for %s", ErrLost, now.Sub(last).Round(time.Second)))
			return
		}
		if clock.Sleep(l.ctx, min(l.ttl/4, time.Until(until)+time.Millisecond)) != nil {
			return
		}
		began := time.Now()
		ctx, cancel := context.WithDeadline(l.ctx, doubt.Add(time.Millisecond))
		out, err := l.c.do(ctx, call{method: http.MethodPut, path: "/v1/session/renew/" + l.session, again: true}, http.StatusNotFound)
		cancel()
		switch {
		case err == nil && out.status == http.StatusNotFound:
			l.cancel(fmt.Errorf("%w: its session is over", ErrLost))
			return
		case err == nil:
			last = began
		}
	}
}

// Context ends when the lock is lost (its cause is ErrLost) or given back. What the lock
// guards works under it.
func (l *Lock) Context() context.Context { return l.ctx }

// Extend allows the lock to be held for d from now. It returns ErrLost after the end.
func (l *Lock) Extend(d time.Duration) error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
	return nil
}

// Put writes a key in one transaction with the check that the lock is still held, or returns
// ErrLost and has written nothing. The value must fit a transaction: about 380 KiB.
func (l *Lock) Put(ctx context.Context, key string, value []byte, flags uint64) error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	done, err := l.c.transact(ctx, l.check(), operation{Verb: "set", Key: key, Value: value, Flags: flags})
	if err == nil && !done {
		err = fmt.Errorf("%w: %s was not written", ErrLost, key)
		l.cancel(err)
	}
	return err
}

func (l *Lock) check() operation {
	return operation{Verb: "check-session", Key: l.key, Session: l.session}
}

// Unlock gives the lock back and waits until nothing of it is left here. It asks for at most
// 15 s, which an election may take, and once for a lock that is lost. Where Consul cannot be
// reached, the lock ends by its TTL, and the error says why.
func (l *Lock) Unlock(ctx context.Context) error {
	l.cancel(context.Canceled)
	<-l.ended
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	for {
		// The key goes while it is still ours: another could have it a moment later. A lock
		// that was lost has nothing to remove.
		_, err := l.c.transact(ctx, l.check(), operation{Verb: "delete", Key: l.key})
		if err == nil || isRefusal(err) || errors.Is(context.Cause(l.ctx), ErrLost) {
			l.c.drop(ctx, l.session)
			return err
		}
		if clock.Sleep(ctx, time.Second) != nil {
			return err
		}
	}
}
