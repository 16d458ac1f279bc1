package docker

import (
	"fmt"
	"testing"
	"time"

	"fairway/internal/dockerapi"
)

// Variables of a container are labels that it does not have, where that is wanted.
func TestVariables(t *testing.T) {
	w := newWorld("docker", dockerapi.Host{Name: "127.0.0.1", Local: true}, "")
	c := dockerapi.Container{ID: "a", Name: "a", Status: "running", Variables: map[string]string{"SERVICE_NAME": "web", "SERVICE_REGION": "eu"}, Labels: map[string]string{"SERVICE_REGION": "us"}}
	for wanted, want := range map[bool]string{false: "map[SERVICE_REGION:us]", true: "map[SERVICE_NAME:web SERVICE_REGION:us]"} {
		w.variables = wanted
		if got := fmt.Sprint(w.instance(c, time.Time{}, "", time.Time{}).Labels); got != want {
			t.Errorf("%t: %s", wanted, got)
		}
	}
	if len(c.Labels) != 1 {
		t.Error("the labels of the container were changed")
	}
}
