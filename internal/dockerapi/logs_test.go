package dockerapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi/dockertest"
)

const stamp = "2026-11-21T04:00:01.000000002Z "

// TestReadLines: lines come with their time and output, with and without a terminal; a
// line in several pieces is one, and a long one is cut.
func TestReadLines(t *testing.T) {
	at := time.Date(2026, 11, 21, 4, 0, 1, 2, time.UTC)
	long := strings.Repeat("x", maxLogLine)
	for name, c := range map[string]struct {
		in   string
		want []LogLine
		err  string
	}{
		"nothing": {},
		"two outputs": {
			in:   string(dockertest.Piece(1, stamp+"out\n")) + string(dockertest.Piece(2, stamp+"err\r\n")) + string(dockertest.Piece(1, stamp+"\n")),
			want: []LogLine{{at, "out", false}, {at, "err", true}, {at, "", false}},
		},
		"parts of lines": {
			in: string(dockertest.Piece(1, stamp+"one ")) + string(dockertest.Piece(2, stamp+"other\n")) +
				string(dockertest.Piece(1, stamp+"two ")) + string(dockertest.Piece(1, "three\n")) + string(dockertest.Piece(1, stamp+"open")),
			want: []LogLine{{at, "other", true}, {at, "one two three", false}, {at, "open", false}},
		},
		"a long line": {
			in:   string(dockertest.Piece(1, stamp+long)) + string(dockertest.Piece(1, stamp+"rest\n")) + string(dockertest.Piece(1, stamp+"next\n")),
			want: []LogLine{{at, long, false}, {at, "next", false}},
		},
		"a terminal": {
			in:   stamp + "one\r\n" + stamp + long + long + long + "\n" + stamp + "open",
			want: []LogLine{{at, "one", false}, {at, long, false}, {at, "open", false}},
		},
		"an end within a piece": {in: string(dockertest.Piece(1, stamp+"out\n"))[:20], err: "unexpected EOF"},
		"a piece of a kind that is not known": {
			in: string(dockertest.Piece(1, stamp+"out\n")) + string(dockertest.Piece(4, stamp+"no\n")), want: []LogLine{{at, "out", false}}, err: "a piece of kind 04 00 00 00",
		},
		"an error of the engine": {
			in: string(dockertest.Piece(1, stamp+"out\n")) + string(dockertest.Piece(3, "Error grabbing logs: no disk\n"+strings.Repeat("x", 1000))), want: []LogLine{{at, "out", false}},
			err: `the engine says: "Error grabbing logs: no disk\n` + strings.Repeat("x", 171) + `"`,
		},
		"an error of the engine alone": {in: string(dockertest.Piece(3, "Error grabbing logs: no disk\n")), err: `the engine says: "Error grabbing logs: no disk"`},
		"a piece that is too large":    {in: "\x01\x00\x00\x00\xff\xff\xff\xff", err: "4294967295 bytes"},
		"no time":                      {in: string(dockertest.Piece(1, "out\n")), err: "a line without a time"},
	} {
		var got []LogLine
		err := readLines(strings.NewReader(c.in), func(l LogLine) error { got = append(got, l); return nil })
		if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestFollowedLog: a log that is followed outlives the deadline of calls, and ends with its
// caller or with what takes the lines; one that is not followed has the deadline.
func TestFollowedLog(t *testing.T) {
	for path, call := range map[string]func(*Client, context.Context, string, LogOptions, func(LogLine) error) error{
		"GET /containers/web/logs": (*Client).ContainerLogs, "GET /tasks/web/logs": (*Client).TaskLogs,
	} {
		synctest.Test(t, func(t *testing.T) { followedLog(t, path, call) })
	}
}

func followedLog(t *testing.T, path string, call func(*Client, context.Context, string, LogOptions, func(LogLine) error) error) {
	e := dockertest.New(&sync.Mutex{})
	defer e.Cut()
	write, gone := make(chan string), make(chan struct{})
	e.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.Flush()
		for {
			select {
			case text := <-write:
				_, _ = w.Write(dockertest.Piece(1, stamp+text+"\n"))
				_ = control.Flush()
			case <-r.Context().Done():
				gone <- struct{}{}
				return
			}
		}
	})
	c := newClient(t, Options{URL: "unix:///none", Dial: e.Dial})
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	lines, result := make(chan LogLine), make(chan error, 1)
	go func() {
		result <- call(c, ctx, "web", LogOptions{Tail: 5, Follow: true}, func(l LogLine) error { lines <- l; return nil })
	}()
	for _, text := range []string{"one", "two"} {
		write <- text
		if l := <-lines; l.Text != text {
			t.Errorf("got %+v", l)
		}
		time.Sleep(2 * DefaultTimeout)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	<-gone
	full := errors.New("full")
	go func() {
		result <- call(c, t.Context(), "web", LogOptions{Follow: true}, func(LogLine) error { return full })
	}()
	write <- "three"
	if err := <-result; !errors.Is(err, full) {
		t.Errorf("ended with %v", err)
	}
	<-gone
	if err := call(c, t.Context(), "web", LogOptions{Tail: 5}, func(LogLine) error { return nil }); err == nil || !strings.Contains(err.Error(), DefaultTimeout.String()) {
		t.Errorf("an engine that does not end: %v", err)
	}
	<-gone
	asked := e.Asked()
	if !strings.HasPrefix(asked[0], path+"?") || !strings.Contains(asked[0], "follow=1") || !strings.Contains(asked[0], "tail=5") || !strings.Contains(asked[0], "timestamps=1") {
		t.Errorf("asked for %q", asked)
	}
}

// FuzzReadLines reads logs that no engine would send: never a panic, never a line that is
// too long.
func FuzzReadLines(f *testing.F) {
	f.Add(append(dockertest.Piece(1, stamp+"out\n"), dockertest.Piece(2, stamp+"err")...))
	f.Add([]byte(stamp + "with a terminal\r\n"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x0f\xff\xff" + stamp))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		err := readLines(bytes.NewReader(data), func(l LogLine) error {
			if n++; len(l.Text) > maxLogLine || strings.Contains(l.Text, "\n") {
				return fmt.Errorf("line %d: %+v", n, l)
			}
			return nil
		})
		if err != nil && strings.HasPrefix(err.Error(), "line ") {
			t.Error(err)
		}
		if n > len(data) {
			t.Errorf("%d lines in %d bytes", n, len(data))
		}
	})
}
