package engines

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"fairway/internal/deploy"
	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

// engine is one whose calls are answered by fake.
func engine(t *testing.T, fake *dockertest.Engine) *Engine {
	t.Helper()
	c, err := dockerapi.New(dockerapi.Options{URL: fake.Listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &Engine{Client: c, Service: deploy.Name{Project: "shop", Service: "web"}}
}

// made reads the labels of a container that is to be made.
func made(r *http.Request) map[string]string {
	var body struct{ Labels map[string]string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	return body.Labels
}

// A lock says the order, also where only the instances that are there know it.
func TestLock(t *testing.T) {
	for _, tt := range []struct{ there, want, order string }{
		{"", "", "start-first"},
		{stopFirst, "", stopFirst},
		{"", stopFirst, stopFirst},
	} {
		fake := dockertest.New(nil)
		var labels map[string]string
		fake.Answer("GET /containers/json", func(*http.Request) any { return []map[string]any{{"Id": "1", "Names": []string{"/a"}}} })
		fake.Answer("GET /containers/1/json", func(*http.Request) any {
			return map[string]any{
				"Id": "1", "Name": "/a", "Image": "sha256:1", "State": map[string]any{"Status": "running"},
				"Config": map[string]any{"StopTimeout": 90, "Labels": map[string]string{labelOrder: tt.there, labelRun: "r", labelDigest: "d"}},
			}
		})
		fake.Answer("POST /containers/create", func(r *http.Request) any {
			labels = made(r)
			return map[string]any{"Id": "2"}
		})
		e := engine(t, fake)
		e.Limits = deploy.Limits{Ready: time.Minute}
		err := e.Do(t.Context(), deploy.Want{Name: e.Service, StopFirst: tt.want == stopFirst}, deploy.Step{Kind: deploy.TakeOn})
		if err != nil || labels[labelOrder] != tt.order {
			t.Errorf("%v: %v, %v", tt, err, labels)
		}
		since, _ := time.Parse(time.RFC3339, labels[labelSince])
		ends, _ := time.Parse(time.RFC3339, labels[labelUntil])
		if time.Since(since) > time.Minute || ends.Sub(since) < 4*time.Minute+2*90*time.Second { // there and back, and its grace
			t.Errorf("from %v to %v", since, ends)
		}
	}
}

// Without a file nothing new can be made: look again.
func TestCreateWithoutAFile(t *testing.T) {
	e := &Engine{}
	if err := e.Do(t.Context(), deploy.Want{}, deploy.Step{Kind: deploy.Create, To: "shop-web-1"}); !errors.Is(err, deploy.ErrChanged) {
		t.Error(err)
	}
}

// What is removed keeps its anonymous volumes, unless it was never started.
func TestRemoveKeepsVolumes(t *testing.T) {
	for started, want := range map[string]string{"0001-01-01T00:00:00Z": "1", "2026-01-01T00:00:00Z": ""} {
		fake := dockertest.New(nil)
		volumes := "not removed"
		fake.Answer("GET /containers/1/json", func(*http.Request) any {
			return map[string]any{"Id": "1", "Name": "/a", "Image": "sha256:1", "Config": map[string]any{}, "State": map[string]any{"Status": "exited", "StartedAt": started}}
		})
		fake.Answer("DELETE /containers/1", func(r *http.Request) any {
			volumes = r.URL.Query().Get("v")
			return nil
		})
		if err := engine(t, fake).Do(t.Context(), deploy.Want{}, deploy.Step{Kind: deploy.Delete, Instance: "1", Name: "a"}); err != nil || volumes != want {
			t.Errorf("started %s: v=%s, %v", started, volumes, err)
		}
	}
}

// Without a Fairway, variables ask for routes, as labels do; with one it says so itself.
func TestRoutedByVariables(t *testing.T) {
	m := dockerapi.Managed{Container: dockerapi.Container{ID: "1", Env: map[string]string{"VIRTUAL_HOST": "a"}}}
	no := false
	if !(&Engine{Client: engine(t, dockertest.New(nil)).Client}).instance(m).Routed || (&Engine{Client: engine(t, dockertest.New(nil)).Client, Routed: &no}).instance(m).Routed {
		t.Error("it is not as it should be")
	}
}
