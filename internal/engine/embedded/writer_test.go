package embedded

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/route/field"
)

// slowReader is a client that takes a piece only after a while, over a connection
// with a deadline.
type slowReader struct {
	client
	takes time.Duration

	mu       sync.Mutex
	deadline time.Time
	cut      bool // a deadline was over while a piece was being written
}

func (w *slowReader) WriteWithin(now time.Time, limit time.Duration) error {
	t := now.Add(limit)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *slowReader) Write(p []byte) (int, error) {
	time.Sleep(w.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = w.cut || !w.deadline.IsZero() && !time.Now().Before(w.deadline)
	return len(p), nil
}

// TestReadersMustTakeEachPieceInTime: the limit is for one piece; the pauses between
// them are the endpoint's, however long.
func TestReadersMustTakeEachPieceInTime(t *testing.T) {
	const limit = time.Minute
	for _, major := range []int{1, 2} {
		for _, tt := range []struct {
			takes, rests time.Duration
			cut          bool
		}{
			{takes: time.Second, rests: time.Hour},
			{takes: limit / 2, rests: limit / 2},
			{takes: limit / 2, rests: time.Millisecond},
			{takes: 2 * limit, rests: 0, cut: true},
		} {
			synctest.Test(t, func(t *testing.T) {
				client := &slowReader{takes: tt.takes}
				w := &responseWriter{}
				clock := http1.NewClock()
				w.init(client, limit, major, &clock)
				for range 10 {
					if _, err := w.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tt.rests)
					clock.Waited()
				}
				synctest.Wait()
				if client.cut != tt.cut {
					t.Errorf("HTTP/%d, a reader that takes %v for a piece and waits %v for the next: cut off %v", major, tt.takes, tt.rests, client.cut)
				}
			})
		}
	}
}

// earlyClient notes an answer with 1xx, which takes a while.
type earlyClient struct {
	slowReader
	fields field.List
}

// Early notes the fields.
func (c *earlyClient) Early(_ int, fields field.List) error {
	c.fields = fields.Clone()
	_, err := c.Write(nil)
	return err
}

// TestEarlyAnswer: it has a limit of its own, and no length.
func TestEarlyAnswer(t *testing.T) {
	const limit = time.Minute
	for _, major := range []int{1, 2} {
		for takes, cut := range map[time.Duration]bool{limit / 2: false, 2 * limit: true} {
			synctest.Test(t, func(t *testing.T) {
				client := &earlyClient{slowReader: slowReader{takes: takes}}
				w := &responseWriter{}
				clock := http1.NewClock()
				w.init(client, limit, major, &clock)
				time.Sleep(time.Hour)
				clock.Waited()
				if err := w.Early(103, field.List{{Name: "Content-Length", Value: "5"}, {Name: "Link", Value: "a"}}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if client.cut != cut {
					t.Errorf("HTTP/%d, a reader that takes %v: cut off %v", major, takes, client.cut)
				}
				if len(client.fields) != 1 || client.fields[0].Name != "Link" {
					t.Errorf("HTTP/%d: the fields are %v", major, client.fields)
				}
			})
		}
	}
}
