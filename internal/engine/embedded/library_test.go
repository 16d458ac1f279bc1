package embedded

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// roundTripper is a function that takes the place of net/http.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls it.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestLibraryCallsLate: what net/http says of a request after that is over reaches no client:
// the exchange may be that of another client by then. A body that it reads then is still its own.
func TestLibraryCallsLate(t *testing.T) {
	s := newSite(t, Options{})
	s.serve("a.example", newH2App(t, false, func(http.ResponseWriter, *http.Request) {}).addr())
	s.backends["a.example"].Scheme = route.SchemeH2C
	s.apply()
	if res := s.get("a.example", "/"); res.StatusCode != 200 {
		t.Fatalf("answered %d", res.StatusCode)
	}
	traces := make(chan *httptrace.ClientTrace, 1)
	bodies := make(chan io.Reader, 1)
	s.engine.transports.all.Range(func(_, v any) bool {
		v.(*transport).library.RegisterProtocol("http", roundTripper(func(r *http.Request) (*http.Response, error) {
			traces <- httptrace.ContextClientTrace(r.Context())
			bodies <- r.Body
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		return true
	})
	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nthis")
	trace, body := <-traces, <-bodies
	_ = c.Close()
	testkit.Eventually(t, "the connection is over", func() bool {
		open := int64(0)
		for l := range s.engine.live.Load().listeners {
			open += l.open.Load()
		}
		return open == 0
	})
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("it reached an exchange that was over: %v", p)
		}
	}()
	c = s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nthat")
	<-traces
	if text, err := io.ReadAll(body); string(text) != "this" || err != nil {
		t.Errorf("read %q (%v)", text, err)
	}
	_ = c.Close()
	trace.GotFirstResponseByte()
	if err := trace.Got1xxResponse(http.StatusEarlyHints, nil); err != nil {
		t.Error(err)
	}
}
