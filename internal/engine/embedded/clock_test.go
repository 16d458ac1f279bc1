package embedded

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"fairway/internal/engine/embedded/http1"
)

// TestTimeOfTheAnswer: when the head of an answer is there the clock shows that time, not when the
// request was sent: a connection is put back with it, where there is no body.
func TestTimeOfTheAnswer(t *testing.T) {
	answered := make(chan time.Time, 1)
	addr := rawApp(t, func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
		answered <- time.Now()
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	pool := http1.NewPool(http1.PoolLimits{Idle: time.Hour, Most: 1, Head: maxAnswerHead}, func(context.Context, string) (net.Conn, error) {
		return net.Dial("tcp", addr)
	})
	defer pool.CloseIdle(true)
	peer, err := pool.Get(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{out: outgoing{method: "GET", target: "/", host: "a.example"}}
	x.clock = http1.NewClock()
	r := &trip{a: &attempt{x: x}, peer: peer}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	if now, at := x.clock.Now(), <-answered; now.Before(at) {
		t.Errorf("the clock is %v behind the answer", at.Sub(now))
	}
	peer.Done(false, x.clock.Now())
}

// TestTimeOfTheConnect: the time that endpoints get to be connected to begins behind what the client said
// first, not when it was accepted.
func TestTimeOfTheConnect(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	s.pass("db", "", nil, newPeer(t, echo("e")))
	s.apply()
	live := s.engine.live.Load()
	tunnel := &tunnel{dispatch: dispatch{e: s.engine, live: live, route: live.lookup(s.routes["db"]), q: &request{connection: true}, clock: http1.NewClock()}}
	waited := time.Now()
	c, err := tunnel.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer tunnel.done(t.Context())
	if now := tunnel.clock.Now(); now.Before(waited) {
		t.Errorf("the clock is %v behind", waited.Sub(now))
	}
}
