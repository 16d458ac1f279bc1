package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// endAt ends what writes to it once a text was written.
type endAt struct {
	bytes.Buffer
	text string
	end  context.CancelFunc
}

func (e *endAt) Write(p []byte) (int, error) {
	n, err := e.Buffer.Write(p)
	if strings.Contains(e.String(), e.text) {
		e.end()
	}
	return n, err
}

// With --watch the routes are printed again on every change that shows, until interrupted.
func TestRoutesWatch(t *testing.T) {
	t.Chdir(t.TempDir())
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/watch" {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "event: change\ndata: {\"revision\":%d}\n\n", i)
			}
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		state := "healthy"
		if asked.Add(1) == 3 {
			state = "down"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"items":[{"id":"shop@docker","matches":[],"condition":{"state":%q,"reasons":[]}}]}`, state)
	}))
	defer server.Close()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	out := &endAt{text: "down", end: end}
	var errs bytes.Buffer
	code := run(ctx, []string{"routes", "--state", "healthy,down", "-w"}, out, &errs, []string{"FAIRWAY_ADMIN=" + server.URL})
	want := "ROUTE        READY  STATE\nshop@docker  -      healthy\n\nROUTE        READY  STATE\nshop@docker  -      down\n"
	if code != exitOK || errs.Len() > 0 || out.String() != want {
		t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", code, errs.String(), out.String(), want)
	}
	// One that never was there is not waited for.
	server.Close()
	if code := run(t.Context(), []string{"status", "-w"}, &errs, &errs, []string{"FAIRWAY_ADMIN=" + server.URL}); code != exitAbsent {
		t.Errorf("without a Fairway: code %d", code)
	}
}
