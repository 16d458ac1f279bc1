package paced

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowBody is a request body over a pipe whose reads end when the deadline passes.
type slowBody struct {
	http.ResponseWriter
	in  *io.PipeReader
	out *io.PipeWriter
}

func newSlowBody() *slowBody {
	b := &slowBody{ResponseWriter: httptest.NewRecorder()}
	b.in, b.out = io.Pipe()
	return b
}

// SetReadDeadline ends the reads when the deadline is not in the future.
func (b *slowBody) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		return b.out.CloseWithError(os.ErrDeadlineExceeded)
	}
	return nil
}

// TestBodyPauses: a client may pause for the limit, not for longer, and not again and
// again without sending something worth mentioning in between. Time that the endpoint
// takes is not the client's.
func TestBodyPauses(t *testing.T) {
	const kB = 1000
	for _, tt := range []struct {
		name  string
		limit time.Duration // zero: a minute
		send  func(say func(bytes int))
		cut   time.Duration // when the client is cut off; zero: not at all
	}{
		{name: "a pause of 15 s", send: func(say func(int)) { say(1); time.Sleep(15 * time.Second); say(1) }},
		{name: "a pause of 59 s", send: func(say func(int)) { say(1); time.Sleep(59 * time.Second); say(1) }},
		{name: "a pause of 61 s", send: func(say func(int)) { say(1); time.Sleep(61 * time.Second); say(1) }, cut: time.Minute},
		{name: "nothing at all", send: func(func(int)) { time.Sleep(time.Hour) }, cut: time.Minute},
		{name: "a bad line", send: func(say func(int)) {
			for range 100 {
				say(20 * kB)
				time.Sleep(50 * time.Second)
			}
		}},
		{name: "a slow line", send: func(say func(int)) {
			for range 3600 {
				say(300)
				time.Sleep(time.Second)
			}
		}},
		{name: "a byte a second", send: func(say func(int)) {
			for range 3600 {
				say(1)
				time.Sleep(time.Second)
			}
		}, cut: time.Minute},
		{name: "a byte now and then", send: func(say func(int)) {
			for range 100 {
				say(1)
				time.Sleep(50 * time.Second)
			}
		}, cut: time.Minute},
		{name: "much, then nothing", send: func(say func(int)) { say(1000 * kB); time.Sleep(time.Hour) }, cut: time.Minute},
		{name: "a route that allows more", limit: 10 * time.Minute, send: func(say func(int)) { say(1); time.Sleep(9 * time.Minute); say(1) }},
		{name: "a route that allows less", limit: 5 * time.Second, send: func(say func(int)) { say(1); time.Sleep(6 * time.Second); say(1) }, cut: 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := newSlowBody()
				b := New(body.in, http.NewResponseController(body), time.Minute, 240)
				if tt.limit > 0 {
					b.Allow(tt.limit)
				}
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					tt.send(func(bytes int) { _, _ = io.WriteString(body.out, strings.Repeat("x", bytes)) })
					_ = body.out.Close()
				}()
				began := time.Now()
				_, err := io.Copy(io.Discard, b)
				took := time.Since(began).Round(time.Second)
				<-sent
				switch {
				case tt.cut == 0 && (err != nil || b.TooSlow()):
					t.Errorf("cut off after %v: %v", took, err)
				case tt.cut > 0 && (!errors.Is(err, os.ErrDeadlineExceeded) || !b.TooSlow() || took != tt.cut):
					t.Errorf("read for %v with %v, want to be cut off after %v", took, err, tt.cut)
				}
			})
		})
	}
}

// TestBodyWaitsForTheEndpoint: time between two reads is the endpoint's.
func TestBodyWaitsForTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := newSlowBody()
		b := New(body.in, http.NewResponseController(body), time.Minute, 240)
		go func() {
			_, _ = io.WriteString(body.out, strings.Repeat("x", 10))
			_ = body.out.Close()
		}()
		for range 10 {
			if _, err := b.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
	})
}

// TestIsStream: gRPC needs HTTP/2.
func TestIsStream(t *testing.T) {
	if !IsStream(2, "application/grpc+proto") || IsStream(1, "application/grpc") || IsStream(2, "application/octet-stream") {
		t.Error("a stream is not known")
	}
}

// TestStreamsMayRest: both sides of what is a stream may take their time.
func TestStreamsMayRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newSlowBody()
		b := New(in.in, http.NewResponseController(in), time.Minute, 240)
		b.Relax()
		go func() {
			for range 3 {
				time.Sleep(time.Hour)
				_, _ = io.WriteString(in.out, "x")
			}
			_ = in.out.Close()
		}()
		if got, err := io.ReadAll(b); string(got) != "xxx" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}
