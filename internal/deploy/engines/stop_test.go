package engines

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"fairway/internal/deploy"
	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

// A stop that was begun is waited for; one that is called otherwise now is neither stopped nor
// removed.
func TestStop(t *testing.T) {
	docker := dockertest.New(nil)
	docker.Say("GET /containers/{id}/json", `{"Id":"a","Name":"/web","Image":"sha256:1","State":{"Status":"running"},"Config":{},"HostConfig":{}}`)
	docker.Say("POST /containers/{id}/update", "{}")
	ctx, cancel := context.WithCancel(t.Context())
	docker.HandleFunc("POST /containers/{id}/stop", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		select {
		case <-r.Context().Done(): // the call was given up
		case <-time.After(30 * time.Millisecond):
		}
	})
	c, err := dockerapi.New(dockerapi.Options{URL: docker.Listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e := &Engine{Client: c, Service: deploy.Name{Project: "shop", Service: "web"}}
	for _, kind := range []deploy.Kind{deploy.Stop, deploy.Delete} { // there is no call that removes
		if err := e.Do(ctx, deploy.Want{}, deploy.Step{Kind: kind, Instance: "a", Name: "web.old"}); !errors.Is(err, deploy.ErrChanged) {
			t.Errorf("%s of another name: %v", kind, err)
		}
	}
	if err := e.Do(ctx, deploy.Want{}, deploy.Step{Kind: deploy.Stop, Instance: "a", Name: "web"}); err != nil || ctx.Err() == nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}
