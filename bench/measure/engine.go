package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"fairway/internal/dockerapi/dockertest"
)

// fakeEngine answers like a Docker Engine that runs many containers: as much of
// the API as reading it takes.
type fakeEngine struct {
	*dockertest.Engine

	mu         sync.Mutex
	containers []fakeContainer
	list       []byte // the answer to a list; nil when it has to be made
	lists      int    // how many lists were asked for
}

type fakeContainer struct {
	id, name, address string
	labels            map[string]string
	created           time.Time
}

type object = map[string]any

// newFakeEngine has the given number of Compose services of three containers.
func newFakeEngine(services int) *fakeEngine {
	e := &fakeEngine{}
	for i := range services {
		for n := range 3 {
			e.containers = append(e.containers, newContainer(i, n, 0))
		}
	}
	e.Engine = dockertest.New(&e.mu)
	for pattern, answer := range map[string]any{
		"GET /version":  object{"Version": "27.0.0", "ApiVersion": dockertest.Version, "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"},
		"GET /info":     object{"ID": "bench", "Name": "bench", "ServerVersion": "27.0.0", "OperatingSystem": "bench", "OSType": "linux"},
		"GET /networks": []object{{"Name": "bridge", "Id": strings.Repeat("a", 64), "Driver": "bridge", "Scope": "local"}},
	} {
		e.Answer(pattern, func(*http.Request) any { return answer })
	}
	e.Answer("GET /containers/json", func(*http.Request) any {
		e.lists++
		return e.listing()
	})
	e.Answer("GET /containers/{id}/json", e.inspect)
	e.HandleFunc("GET /events", e.Events)
	return e
}

// newContainer is a copy of service i; different editions are the same copy,
// created anew with another label.
func newContainer(i, n, edition int) fakeContainer {
	at := 3*i + n
	project := fmt.Sprintf("project%04d", i/5)
	service := fmt.Sprintf("web%d", i%5)
	return fakeContainer{
		id:      fmt.Sprintf("%032x%032x", at+1, edition+1),
		name:    fmt.Sprintf("%s-%s-%d", project, service, n+1),
		address: fmt.Sprintf("10.%d.%d.%d", 1+at/60000, at/240%250, 2+at%240),
		created: time.Unix(1_700_000_000+int64(at), 0),
		labels: map[string]string{
			"fairway.host":                            fmt.Sprintf("s%d-%d.bench", i, edition),
			"fairway.port":                            "9",
			"com.docker.compose.config-hash":          fmt.Sprintf("%064x", i),
			"com.docker.compose.container-number":     fmt.Sprint(n + 1),
			"com.docker.compose.oneoff":               "False",
			"com.docker.compose.project":              project,
			"com.docker.compose.project.config_files": "/srv/" + project + "/compose.yml",
			"com.docker.compose.project.working_dir":  "/srv/" + project,
			"com.docker.compose.service":              service,
			"com.docker.compose.version":              "2.26.1",
			"org.opencontainers.image.source":         "https://git.example.com/" + project + "/" + service,
		},
	}
}

func (c fakeContainer) networks() object {
	return object{"bridge": object{
		"IPAMConfig": nil, "Links": nil, "Aliases": nil, "NetworkID": strings.Repeat("a", 64), "EndpointID": c.id,
		"Gateway": "10.0.0.1", "IPAddress": c.address, "IPPrefixLen": 8, "IPv6Gateway": "", "GlobalIPv6Address": "",
		"GlobalIPv6PrefixLen": 0, "MacAddress": "02:42:0a:00:00:02", "DriverOpts": nil,
	}}
}

func (c fakeContainer) summary() object {
	return object{
		"Id": c.id, "Names": []string{"/" + c.name}, "Image": "registry.example.com/web:1.2.3", "ImageID": "sha256:" + strings.Repeat("b", 64),
		"Command": "/app serve --port 8080", "Created": c.created.Unix(), "State": "running", "Status": "Up 3 days",
		"Ports": []object{{"PrivatePort": 8080, "Type": "tcp"}}, "Labels": c.labels,
		"HostConfig": object{"NetworkMode": "default"}, "NetworkSettings": object{"Networks": c.networks()}, "Mounts": []object{},
	}
}

func (c fakeContainer) inspection() object {
	at := c.created.UTC().Format(time.RFC3339Nano)
	return object{
		"Id": c.id, "Created": at, "Name": "/" + c.name, "Image": "sha256:" + strings.Repeat("b", 64),
		"State":           object{"Status": "running", "Running": true, "StartedAt": at, "FinishedAt": "0001-01-01T00:00:00Z"},
		"Config":          object{"Image": "registry.example.com/web:1.2.3", "Labels": c.labels, "ExposedPorts": object{"8080/tcp": object{}}},
		"HostConfig":      object{"NetworkMode": "default"},
		"NetworkSettings": object{"Networks": c.networks(), "Ports": object{"8080/tcp": nil}},
	}
}

// serve answers on a socket until the listener is closed.
func (e *fakeEngine) serve(path string) {
	ln := must(net.Listen("unix", path))
	go func() { _ = http.Serve(ln, e) }() //nolint:gosec // a socket of our own
}

// listing is the answer to a list. e.mu is held.
func (e *fakeEngine) listing() []byte {
	if e.list == nil {
		all := make([]object, 0, len(e.containers))
		for _, c := range e.containers {
			all = append(all, c.summary())
		}
		e.list, _ = json.Marshal(all)
	}
	return e.list
}

func (e *fakeEngine) inspect(r *http.Request) any {
	for _, c := range e.containers {
		if c.id == r.PathValue("id") {
			return c.inspection()
		}
	}
	return dockertest.Refuse(http.StatusNotFound, "No such container")
}

// recreate replaces the first copy of service i by a new container with another
// label, as `docker compose up` does, and tells of it. It returns the new host.
func (e *fakeEngine) recreate(i, edition int) (host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := range 3 {
		before := e.containers[3*i+n]
		after := newContainer(i, n, edition)
		e.containers[3*i+n] = after
		host = after.labels["fairway.host"]
		for _, event := range []struct {
			action string
			c      fakeContainer
		}{{"kill", before}, {"die", before}, {"stop", before}, {"destroy", before}, {"create", after}, {"start", after}} {
			attributes := []string{"name", event.c.name, "image", "registry.example.com/web:1.2.3", "signal", "15"}
			for k, v := range event.c.labels {
				attributes = append(attributes, k, v)
			}
			e.Emit("container", event.action, event.c.id, attributes...)
		}
	}
	e.list = nil
	return host
}

// size is the length of the answer to a list.
func (e *fakeEngine) size() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.listing())
}

func (e *fakeEngine) listCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lists
}
