package events

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRead: events come in order, with what may stand between them, until the stream ends, what
// takes them fails or nothing comes.
func TestRead(t *testing.T) {
	text := ":\n\nevent: a\ndata: {\"x\": 1}\n\nid: 7\nevent: b\ndata: 2\n\n"
	for _, c := range []struct {
		name, want string
		body       io.Reader
		fail       error
		is         error
	}{
		{name: "an end", body: strings.NewReader(text), want: `a {"x": 1} b 2 `, is: ErrEnded},
		{name: "a line that is too long", body: strings.NewReader("data: " + strings.Repeat("x", maxLine) + "\n"), is: ErrEnded},
		{name: "enough", body: strings.NewReader(text), want: `a {"x": 1} `, fail: io.ErrShortBuffer, is: io.ErrShortBuffer},
	} {
		got := ""
		err := Read(io.NopCloser(c.body), time.Minute, func(event string, data []byte) error {
			got += event + " " + string(data) + " "
			return c.fail
		})
		if got != c.want || !errors.Is(err, c.is) {
			t.Errorf("%s: %q and %v, want %q and %v", c.name, got, err, c.want, c.is)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		go func() {
			for range 3 { // a sign of life keeps it open
				time.Sleep(40 * time.Second)
				_, _ = io.WriteString(w, ":\n\n")
			}
		}()
		began := time.Now()
		if err := Read(r, time.Minute, nil); !errors.Is(err, ErrEnded) || time.Since(began) != 3*time.Minute {
			t.Errorf("silence: %v after %v", err, time.Since(began))
		}
	})
}
