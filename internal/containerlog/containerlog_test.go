package containerlog

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

const stamp = "2026-11-21T04:00:01Z "

func client(t *testing.T, pattern string, answer any) *dockerapi.Client {
	t.Helper()
	e := dockertest.New(&sync.Mutex{})
	t.Cleanup(e.Cut)
	switch answer := answer.(type) {
	case string:
		e.Say(pattern, string(dockertest.Piece(2, stamp+answer+"\n")))
	case int:
		e.Answer(pattern, func(*http.Request) any { return dockertest.Refuse(answer, "this node is not a swarm manager") })
	}
	c, err := dockerapi.New(dockerapi.Options{URL: e.Listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func read(l *Logs, in *catalog.Instance) (string, error) {
	text := ""
	err := l.Read(context.Background(), in, 5, false, func(at time.Time, line string, stderr bool) error {
		if at.IsZero() || !stderr {
			return errors.New("no time or output")
		}
		text += line + "\n"
		return nil
	})
	return text, err
}

// TestRead: the log of a container is on the engine of its source, that of a task on the
// first manager that has it; what cannot be read says what to type.
func TestRead(t *testing.T) {
	l := New()
	l.AddEngine("docker", client(t, "GET /containers/c1/logs", "\x1b[1;31mhello\x1b[0m\tyou\x1b]0;x\x07\u202e"+strings.Repeat("x", 5000)))
	l.AddEngine("gone", client(t, "GET /containers/c1/logs", 404))
	l.AddEngine("none", client(t, "GET /containers/c1/logs", 501))
	l.AddManagers("swarm", []*dockerapi.Client{
		client(t, "GET /tasks/c1/logs", 503), client(t, "GET /tasks/c1/logs", "from the task"), client(t, "GET /tasks/c1/logs", "from the task"),
	})
	l.AddManagers("lost", []*dockerapi.Client{client(t, "GET /tasks/c1/logs", 503)})
	for source, want := range map[string]string{
		"docker": `hello    you\x1b]0;x\a\u202e` + "xxx", "swarm": "from the task\n",
		"gone": "the container of shop-1 is gone", "none": "docker logs shop-1", "lost": "docker service logs c1", "file:services.yml": "is no Docker engine",
	} {
		got, err := read(l, &catalog.Instance{ID: "c1", Name: "shop-1", Source: source})
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || len(got) > 5000 {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	full := errors.New("full")
	err := l.Read(t.Context(), &catalog.Instance{ID: "c1", Source: "docker"}, 5, false, func(time.Time, string, bool) error { return full })
	if err != full { //nolint:errorlint // it is given back as it is
		t.Errorf("the error of what takes the lines is %v", err)
	}
}
