package api

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
)

// A watch sees every change, skips what it does not know, and says why it ends.
func TestWatch(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame-sesame-sesame" || r.URL.Path != "/v1/watch" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		withTraffic := r.URL.Query().Get("traffic") == "true"
		for i := range 3 {
			if fmt.Fprint(w, ":\n\nevent: unknown\ndata: ?\n\n"); withTraffic {
				fmt.Fprint(w, "event: traffic\ndata: {}\n\n")
			}
			fmt.Fprintf(w, "event: change\ndata: {\"revision\":%d}\n\n", i+1)
		}
	})
	var seen []uint64
	err := c.Watch(t.Context(), false, func(change Change) error {
		seen = append(seen, change.Revision)
		return nil
	})
	if fmt.Sprint(seen) != "[1 2 3]" || !errors.Is(err, ErrStreamEnded) {
		t.Errorf("saw %v, ended with %v", seen, err)
	}
	seen = nil
	_ = c.Watch(t.Context(), true, func(change Change) error {
		seen = append(seen, change.Revision)
		return nil
	})
	if fmt.Sprint(seen) != "[0 1 1 2 2 3]" {
		t.Errorf("with traffic: %v", seen)
	}
	enough := errors.New("enough")
	if err := c.Watch(t.Context(), false, func(Change) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("ended with %v", err)
	}
	refused := serve(t, reply(http.StatusUnauthorized, ProblemContentType, `{"title":"Unauthorized","detail":"no token"}`))
	var no *Error
	if err := refused.Watch(t.Context(), false, nil); !errors.As(err, &no) || no.Status != http.StatusUnauthorized || no.Detail != "no token" {
		t.Errorf("refused: %v", err)
	}
	if err := serve(t, reply(http.StatusOK, "text/html", "<p>")).Watch(t.Context(), false, nil); err == nil || errors.Is(err, ErrStreamEnded) {
		t.Errorf("another program: %v", err)
	}
}
