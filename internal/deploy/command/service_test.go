package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/deploy"
	"fairway/internal/deploy/marks"
)

var shop = deploy.Name{Project: "shop", Service: "web"}

// What was before is the newest that is kept, with the order that the deploy had, and the restart
// policy of now where it has none of its own; no other kept one goes.
func TestBefore(t *testing.T) {
	o := deploy.Observation{Instances: []deploy.Instance{
		{ID: "1", Slot: 1, Digest: "new", Run: "r", State: deploy.Running, Restart: "always", Serving: "always", StopFirst: true},
		{ID: "2", Slot: 1, Digest: "id-2", State: deploy.Stopped, Restart: "no", Mark: marks.Kept, Created: time.Unix(2, 0)},
		{ID: "3", Slot: 1, Digest: "id-3", State: deploy.Stopped, Restart: "no", Mark: marks.Kept, Created: time.Unix(1, 0)},
	}}
	want, err := before(shop, o)
	if err != nil {
		t.Fatal(err)
	}
	if want.Slots[1] != (deploy.Target{Digest: "id-2", Restart: "always"}) || !want.StopFirst {
		t.Errorf("%+v", want)
	}
	steps, err := deploy.Plan(want, o)
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, s := range steps {
		if slices.Contains([]deploy.Kind{deploy.Start, deploy.Stop, deploy.Delete, deploy.Policy}, s.Kind) {
			did = append(did, fmt.Sprintf("%s %s %s", s.Kind, s.Instance, s.To))
		}
	}
	if got := strings.Join(did, ", "); got != "stop 1 , start 2 , restart-policy 2 always" {
		t.Error(got)
	}
}

// Without a deploy the containers are Compose's.
func TestOurs(t *testing.T) {
	made := deploy.Observation{Instances: []deploy.Instance{{ID: "1", Slot: 1}}}
	if err := ours(shop, made); err == nil || err.Error() != "shop/web was made by Compose: fairway deploy --adopt takes it over" {
		t.Error(err)
	}
	made.Instances = append(made.Instances, deploy.Instance{ID: "2", Slot: 2, Run: "r"})
	if err := ours(shop, made); err != nil {
		t.Error(err)
	}
	if err := ours(shop, deploy.Observation{Lock: &deploy.Lock{}}); err != nil {
		t.Error(err)
	}
}
