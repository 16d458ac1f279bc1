package dockerapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/swarm"
)

// inspected is what Docker 20.10 answers, shortened.
const inspected = `{"ID":"s1","Version":{"Index":27},"CreatedAt":"2026-11-21T04:00:00Z",
	"Spec":{"Name":"go-demo","Labels":{"com.df.port":"8080"},
		"TaskTemplate":{"ContainerSpec":{"Image":"demo:1","Env":["DB=go-demo-db"]},"ForceUpdate":3,"Networks":[{"Target":"n1"}]},
		"Mode":{"Replicated":{"Replicas":5}},"EndpointSpec":{"Mode":"vip"}},
	"Endpoint":{"Spec":{"Mode":"vip"},"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"}],
		"VirtualIPs":[{"NetworkID":"n1","Addr":"10.0.1.2/24"},{"NetworkID":"n2"}]},
	"UpdateStatus":{"State":"rollback_started","Message":"too many failures"}}`

// TestServiceCalls holds what changes a Swarm to the wire: each method makes its
// call and no other.
func TestServiceCalls(t *testing.T) {
	spec := swarm.ServiceSpec{Annotations: swarm.Annotations{Name: "web"}}
	for want, call := range map[string]func(*Client, context.Context) error{
		"GET /services/web": func(c *Client, ctx context.Context) error { _, err := c.ServiceInspect(ctx, "web"); return err },
		"POST /services/create": func(c *Client, ctx context.Context) error {
			id, _, err := c.ServiceCreate(ctx, spec)
			if id != "s1" {
				t.Errorf("ID %q", id)
			}
			return err
		},
		"POST /services/s1/update?registryAuthFrom=spec&version=27": func(c *Client, ctx context.Context) error {
			_, err := c.ServiceUpdate(ctx, "s1", 27, spec)
			return err
		},
		"DELETE /services/web": func(c *Client, ctx context.Context) error { return c.ServiceRemove(ctx, "web") },
		"GET /tasks?filters=%7B%22service%22%3A%7B%22s1%22%3Atrue%7D%7D": func(c *Client, ctx context.Context) error {
			_, err := c.ServiceTasks(ctx, "s1")
			return err
		},
	} {
		e := answering(map[string]string{
			"GET /services/web": inspected, "POST /services/create": `201 {"ID":"s1"}`, "POST /services/s1/update": `{}`,
			"DELETE /services/web": ``, "GET /tasks": `[]`,
		})
		c := newClient(t, Options{URL: e.Listen(t)})
		if err := call(c, t.Context()); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if diff := cmp.Diff([]string{want}, e.Asked()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
	}
}

// TestServiceInspect reads a service and sends the specification back: nothing of
// it may get lost on the way.
func TestServiceInspect(t *testing.T) {
	var sent []byte
	e := answering(map[string]string{"GET /services/go-demo": inspected})
	e.Answer("POST /services/s1/update", func(r *http.Request) any {
		sent, _ = io.ReadAll(r.Body)
		return inspected
	})
	c := newClient(t, Options{URL: e.Listen(t)})
	got, err := c.ServiceInspect(t.Context(), "go-demo")
	check(t, err)
	want := Service{
		ID: "s1", Version: 27, Created: time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC), Name: "go-demo",
		Labels: map[string]string{"com.df.port": "8080"}, Image: "demo:1", Mode: "replicated", Replicas: 5,
		Ports:      []ServicePort{{Number: 80, Protocol: "tcp", Published: 8080, Mode: "ingress"}},
		VirtualIPs: []VirtualIP{{NetworkID: "n1", IP: netip.MustParseAddr("10.0.1.2")}},
		Updating:   true,
	}
	if diff := cmp.Diff(want, got.Service, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Update != "rollback_started" || got.UpdateMessage != "too many failures" {
		t.Errorf("update %q, %q", got.Update, got.UpdateMessage)
	}
	_, err = c.ServiceUpdate(t.Context(), got.ID, got.Version, got.Spec)
	check(t, err)
	var whole struct{ Spec map[string]any }
	var back map[string]any
	check(t, json.Unmarshal([]byte(inspected), &whole))
	check(t, json.Unmarshal(sent, &back))
	if diff := cmp.Diff(whole.Spec, back, cmpopts.IgnoreMapEntries(func(k string, v any) bool {
		m, empty := v.(map[string]any)
		return empty && len(m) == 0 && (k == "Resources" || k == "Placement")
	})); diff != "" {
		t.Errorf("read and sent back (-read +sent):\n%s", diff)
	}
}

// TestConflicts tells the two kinds of conflict from each other and from other
// trouble.
func TestConflicts(t *testing.T) {
	for name, tt := range map[string]struct {
		answer          string
		conflict, taken bool
	}{
		"20.10": {`500 {"message":"rpc error: code = Unknown desc = update out of sequence"}`, true, false},
		"newer": {`409 {"message":"update out of sequence"}`, true, false},
		"name":  {`409 {"message":"rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists"}`, false, true},
		"else":  {`500 {"message":"no leader"}`, false, false},
	} {
		c := newClient(t, Options{URL: answering(map[string]string{"POST /services/s1/update": tt.answer}).Listen(t)})
		_, err := c.ServiceUpdate(t.Context(), "s1", 1, swarm.ServiceSpec{})
		if err == nil || IsConflict(err) != tt.conflict || IsNameTaken(err) != tt.taken {
			t.Errorf("%s: %v: conflict %t, taken %t", name, err, IsConflict(err), IsNameTaken(err))
		}
	}
	if IsConflict(nil) || IsNameTaken(nil) {
		t.Error("nil is a conflict")
	}
}
