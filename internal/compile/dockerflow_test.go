package compile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// flowService is a service of Swarm with labels of Docker Flow.
func flowService(id string, created int, labels map[string]string) *catalog.Service {
	s := &catalog.Service{
		ID: id, Name: id, Source: "swarm", OwnLabels: true, Created: seconds(created), Labels: map[string]string{"com.df.notify": "true"},
		Instances: []*catalog.Instance{instanceWith(id+".1", nil)},
	}
	for k, v := range labels {
		s.Labels[catalog.FlowLabelPrefix+k] = v
	}
	return s
}

// TestFlowPasswordsAreNowhere: what people write into labels of Docker Flow as
// passwords and keys is in no table, origin or problem, whether the labels are
// right or wrong.
func TestFlowPasswordsAreNowhere(t *testing.T) {
	const canary = "hunter2"
	for _, labels := range []map[string]string{
		{"users": "me:" + canary},
		{"users": "me:" + canary, "deniedMethods": "G T"},
		{"users": "me:" + canary, "usersPassEncrypted": "true"},
		{"users": "me:" + canary, "usersPassEncrypted": "perhaps"},
		{"users": "me:x\x00" + canary},
		{"users": "me:a," + canary},
		{"serviceCert": canary},
		{"setReqHeader": "Authorization \"" + canary},
		{"setReqHeader": "Authorization " + canary + " twice"},
		{"setReqHeader": "Authorization %[" + canary},
		{"serviceHeader": canary},
		{"backendExtra": canary},
	} {
		labels["port"], labels["servicePath"] = "80", "/a"
		table := New(both()).Compile(snapshotOf(flowService("a", 1, labels)), nil)
		var written bytes.Buffer
		if err := route.Encode(&written, table); err != nil {
			t.Fatal(err)
		}
		if labels["users"] == "me:a,"+canary {
			continue // a name without a password, as far as anybody can tell; only the messages must not have it
		}
		if strings.Contains(written.String(), canary) {
			t.Errorf("%v: the secret is in\n%s", labels, written.String())
		}
		for _, p := range table.Problems {
			if strings.Contains(p.String(), canary) {
				t.Errorf("%v: the secret is in %s", labels, p)
			}
		}
	}
}

// TestFlowLastGoodSurvivesRestart: a service whose labels go bad is served in its
// last good form, with its users, also by a program that has only the table.
func TestFlowLastGoodSurvivesRestart(t *testing.T) {
	labels := map[string]string{
		"port.1": "80", "servicePath.1": "/a", "port.2": "6379", "srcPort.2": "6379", "reqMode.2": "tcp", "users": "me:secret, you:other",
		"redirectFromDomain": "old.example", "serviceDomain": "new.example", "isDefaultBackend": "true",
	}
	before := New(both()).Compile(snapshotOf(flowService("a", 1, labels)), nil)
	if len(before.Problems) != 0 || len(before.Routes) != 4 {
		t.Fatalf("%d routes, problems %v", len(before.Routes), before.Problems)
	}
	var written bytes.Buffer
	if err := route.Encode(&written, before); err != nil {
		t.Fatal(err)
	}
	restored, err := route.Decode(&written)
	if err != nil {
		t.Fatal(err)
	}
	labels["timeoutTunnel"], labels["users"], labels["httpsRedirectCode"] = "long", "me:$6$no", "200"
	broken := snapshotOf(flowService("a", 1, labels))
	inMemory, afterRestart := New(both()).Compile(broken, before), New(both()).Compile(broken, restored)
	if diff := cmp.Diff(inMemory.Text(), afterRestart.Text()); diff != "" {
		t.Errorf("the restart shows:\n%s", diff)
	}
	for _, r := range before.Routes {
		after := afterRestart.Route(r.ID)
		if after == nil || after.Refused != "" || fmt.Sprint(after.Filters) != fmt.Sprint(r.Filters) && !sameUsers(after, r) {
			t.Errorf("%s is not as it was:\n%v", r.ID, after)
		}
	}
}

// sameUsers says whether two routes ask for the same users with the same hashes.
func sameUsers(a, b *route.Route) bool {
	users := func(r *route.Route) (list []route.User) {
		for _, f := range r.Filters {
			if f.BasicAuth != nil {
				list = append(list, f.BasicAuth.Users...)
			}
		}
		return list
	}
	return cmp.Equal(users(a), users(b))
}
