package dockerapi

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"fairway/internal/dockerapi/dockertest"
)

// Each call of a deploy is one call on the wire.
func TestChanges(t *testing.T) {
	e := dockertest.New(nil)
	for pattern, answer := range map[string]string{
		"GET /containers/{id}/json": `{"Id":"a","Name":"/web","Image":"sha256:1","RestartCount":0,"State":{"Status":"exited","ExitCode":3},
			"Config":{"StopTimeout":7,"Labels":{"l":"1"}},"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":2}}}`,
		"GET /containers/json": `[{"Id":"a","Names":["/web"]}]`, "POST /containers/{id}/rename": "", "POST /containers/{id}/update": "{}",
		"PUT /containers/{id}/archive": "", "GET /images/{ref}/json": `{"Id":"sha256:1","RepoDigests":["app@sha256:2"],"Config":{"Healthcheck":{"Test":["CMD","x"]}}}`,
		"GET /distribution/{ref}/json": `{"Descriptor":{"digest":"sha256:2"}}`, "GET /networks/{name}": `{"Driver":"bridge"}`,
		"POST /networks/create": `{"Id":"n"}`, "POST /networks/{name}/connect": "", "GET /volumes/{name}": `{"Name":"v"}`, "POST /volumes/create": `{"Name":"v"}`,
	} {
		e.Say(pattern, answer)
	}
	c := newClient(t, Options{URL: e.Listen(t)})
	for want, call := range map[string]func(context.Context) error{
		"GET /containers/a/json": func(ctx context.Context) error {
			m, err := c.ContainerManaged(ctx, "a")
			if m.RestartPolicy != "on-failure:2" || m.ExitCode != 3 || m.Grace.Seconds() != 7 || m.ImageID != "sha256:1" || m.Name != "web" {
				t.Errorf("%+v", m)
			}
			return err
		},
		"GET /containers/json": func(ctx context.Context) error {
			list, err := c.ContainersLabelled(ctx, map[string]string{"b": "2", "a": "1"})
			if len(list) != 1 || list[0].Name != "web" {
				t.Errorf("%+v", list)
			}
			return err
		},
		"POST /containers/a/rename": func(ctx context.Context) error { return c.ContainerRename(ctx, "a", "b") },
		"POST /containers/a/update": func(ctx context.Context) error { return c.ContainerPolicy(ctx, "a", "no") },
		"PUT /containers/a/archive": func(ctx context.Context) error { return c.ContainerFiles(ctx, "a", bytes.NewReader(nil)) },
		"GET /images/app:1/json": func(ctx context.Context) error {
			i, err := c.ImageInspect(ctx, "app:1")
			if !i.Health || i.ID != "sha256:1" || len(i.Digests) != 1 {
				t.Errorf("%+v", i)
			}
			return err
		},
		"GET /distribution/app:1/json": func(ctx context.Context) error {
			d, err := c.ImageDigest(ctx, "app:1", "")
			if d != "sha256:2" {
				t.Error(d)
			}
			return err
		},
		"GET /networks/n": func(ctx context.Context) error {
			d, err := c.NetworkDriver(ctx, "n")
			if d != "bridge" {
				t.Error(d)
			}
			return err
		},
		"POST /networks/create":    func(ctx context.Context) error { return c.NetworkCreate(ctx, NewNetwork{Name: "n", Driver: "bridge"}) },
		"POST /networks/n/connect": func(ctx context.Context) error { return c.NetworkConnect(ctx, "n", "a", nil) },
		"GET /volumes/v": func(ctx context.Context) error {
			there, err := c.VolumeExists(ctx, "v")
			if !there {
				t.Error("it is there")
			}
			return err
		},
		"POST /volumes/create": func(ctx context.Context) error { return c.VolumeCreate(ctx, "v", "", nil, nil) },
	} {
		e.Count(want)
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if n := e.Count(want); n != 1 {
			t.Errorf("%s was called %d times", want, n)
		}
	}
}

// A registry that refuses is an error although the engine answers 200 first; credentials are in none.
func TestPull(t *testing.T) {
	e := dockertest.New(nil)
	e.Say("POST /images/create", `{"status":"Pulling"}`+"\n"+`{"error":"unauthorized: authentication required"}`)
	c := newClient(t, Options{URL: e.Listen(t)})
	err := c.ImagePull(t.Context(), "app:1", "Z2VoZWlt")
	if err == nil || !strings.Contains(err.Error(), "app:1: unauthorized") || strings.Contains(err.Error(), "Z2VoZWlt") {
		t.Error(err)
	}
}

func TestParsePolicy(t *testing.T) {
	for text, fails := range map[string]bool{"": false, "no": false, "always": false, "on-failure": false, "on-failure:3": false, "unless-stopped": false, "never": true, "always:1": true, "on-failure:x": true} {
		p, err := ParsePolicy(text)
		if (err != nil) != fails {
			t.Errorf("%q: %v", text, err)
		}
		if got := policyText(p); err == nil && text != "" && got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
