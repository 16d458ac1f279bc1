package command

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"fairway/internal/api"
	"fairway/internal/deploy"
)

// An instance is drained when every Fairway knows it and has no requests for it; one that does
// not know it is asked about the wrong thing.
func TestDrained(t *testing.T) {
	fairway := func(endpoints string) *api.Client {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"items":[{"id":"shop-web","endpoints":[%s]}]}`, endpoints)
		}))
		t.Cleanup(s.Close)
		c, err := api.NewClient(api.ClientOptions{URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const quiet, busy = `{"id":"a:80","state":"draining","live":{"inFlight":0}}`, `{"id":"a:80","state":"draining","live":{"inFlight":2}}`
	for _, tt := range []struct {
		endpoints []string
		requests  int
		none      bool
	}{
		{[]string{quiet, quiet}, 0, true},
		{[]string{quiet, busy}, 2, false},
		{[]string{quiet, ""}, 0, false},
		{[]string{`{"id":"b:80","state":"ready"}`}, 0, false},
	} {
		c := confirmed{name: shop}
		for _, e := range tt.endpoints {
			c.fairways = append(c.fairways, fairway(e))
		}
		if n, none, err := c.Drained(t.Context(), deploy.Instance{ID: "a"}); err != nil || n != tt.requests || none != tt.none {
			t.Errorf("%q: %d, %t, %v", tt.endpoints, n, none, err)
		}
	}
}
