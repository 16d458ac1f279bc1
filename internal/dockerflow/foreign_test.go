package dockerflow

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A page in the operator's browser cannot call the faces; programs, and people who
// type the address, can.
func TestAPageOfAnotherOriginIsRefused(t *testing.T) {
	l, err := NewListener(ListenerOptions{Catalogue: &newWorld().feed})
	if err != nil {
		t.Fatal(err)
	}
	for face, h := range map[string]struct {
		http.Handler
		path string
	}{
		"proxy":    {newWorld().proxy(t, nil), proxyPath + "ping"},
		"listener": {l, listenerPath + "ping"},
	} {
		for _, c := range []struct {
			name, value string
			want        int
		}{
			{"Sec-Fetch-Site", "cross-site", 403},
			{"Sec-Fetch-Site", "same-site", 403},
			{"Sec-Fetch-Site", "same-origin", 200},
			{"Sec-Fetch-Site", "none", 200},
			{"Origin", "http://evil.example", 403},
			{"Origin", "null", 403},
			{"Origin", "http://proxy:8080", 200},
			{"User-Agent", "curl/8", 200},
		} {
			r := httptest.NewRequest(http.MethodGet, "http://proxy:8080"+h.path, nil)
			r.Header.Set(c.name, c.value)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%s, %s: %s: %d, want %d", face, c.name, c.value, w.Code, c.want)
			}
		}
	}
}
