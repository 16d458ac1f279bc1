package dockerflow

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeHAProxy stands for HAProxy.
type fakeHAProxy struct {
	config, statistics string
	err                error
}

func (s *fakeHAProxy) ConfigText() []byte {
	if s.config == "" {
		return nil
	}
	return []byte(s.config)
}

func (s *fakeHAProxy) Statistics(context.Context) ([]byte, error) { return []byte(s.statistics), s.err }

// Case 13, and the statistics: with HAProxy as the engine they are its own, and with
// distribute those of all replicas.
func TestHAProxy(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != proxyPath+"metrics" || r.URL.RawQuery != "distribute=false" {
			t.Errorf("the other replica is asked for %s", r.URL)
		}
		_, _ = w.Write([]byte("# pxname,svname,\nb,BACKEND,\n"))
	}))
	defer other.Close()
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	replicas := []string{strings.TrimPrefix(other.URL, "http://")}
	engine := &fakeHAProxy{}
	p := newWorld().proxy(t, func(o *ProxyOptions) {
		o.ConfigText, o.Statistics = engine.ConfigText, engine.Statistics
		o.Lookup = func(context.Context, string) ([]string, error) { return replicas, nil }
		o.Own = func(string) bool { return false }
	})
	if got := ask(t, p, "GET", proxyPath+"config", ""); got.code != 500 {
		t.Errorf("no configuration yet: %d %s", got.code, got.body)
	}
	engine.config, engine.statistics = "global\n", "# pxname,svname,\na,BACKEND,\n"
	for path, want := range map[string]string{
		"config":                  "global\n",
		"metrics":                 "# pxname,svname,\na,BACKEND,\n",
		"metrics?distribute=true": "# pxname,svname,\na,BACKEND,\n# pxname,svname,\nb,BACKEND,\n",
	} {
		if got := ask(t, p, "GET", proxyPath+path, ""); got.code != 200 || got.body != want {
			t.Errorf("%s: %d %q", path, got.code, got.body)
		}
	}
	replicas = append(replicas, strings.TrimPrefix(broken.URL, "http://"))
	if got := ask(t, p, "GET", proxyPath+"metrics?distribute=true", ""); got.code != 500 || got.Status != "NOK" {
		t.Errorf("a replica does not answer: %d %s", got.code, got.body)
	}
	engine.err = errors.New("gone")
	if got := ask(t, p, "GET", proxyPath+"metrics", ""); got.code != 500 || strings.Contains(got.body, "gone") {
		t.Errorf("HAProxy does not answer: %d %s", got.code, got.body)
	}
}
