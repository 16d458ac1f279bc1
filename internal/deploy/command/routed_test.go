package command

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/deploy"
)

// Whether a service is routed is what Fairway says, and not what labels look like.
func TestExpected(t *testing.T) {
	for name, tt := range map[string]struct {
		now     []string
		changes string
		want    string
	}{
		"a worker":        {nil, "", "false false"},
		"as before":       {[]string{"shop-web@docker"}, "", "true true"},
		"the first":       {nil, "added shop-web@docker", "false true"},
		"of another":      {nil, "added shop-web2@docker", "false false"},
		"not any more":    {[]string{"shop-web@docker"}, "removed shop-web@docker", "true false"},
		"one of two goes": {[]string{"shop-web@docker", "shop-web.api@docker"}, "removed shop-web@docker", "true true"},
		"changed":         {[]string{"shop-web@docker"}, "changed shop-web@docker", "true true"},
	} {
		var changes []api.DiffChange
		if kind, id, ok := strings.Cut(tt.changes, " "); ok {
			changes = []api.DiffChange{{Kind: kind, ID: id}}
		}
		before, after := expected([]string{"shop-web"}, tt.now, changes)
		if got := fmt.Sprint(before, " ", after); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if ok, _, err := (confirmed{unrouted: true}).Routed(t.Context(), deploy.Instance{}); !ok || err != nil {
		t.Error("it waits for routes that do not come")
	}
}

// A process in another namespace, which has other numbers, is not known to be gone.
func TestIsGone(t *testing.T) {
	host, _ := os.Hostname()
	part := strings.Split(processID(), "/")
	gone := func(change func(part []string)) bool {
		copied := append([]string{}, part...)
		change(copied)
		return isGone(deploy.Lock{Host: host, Process: strings.Join(copied, "/")})
	}
	if part[3] == "" {
		t.Skip("this system has no /proc/self/ns/pid")
	}
	if gone(func([]string) {}) || !gone(func(p []string) { p[1] = "1" }) || gone(func(p []string) { p[1], p[3] = "1", "pid:[1]" }) {
		t.Error(part)
	}
}
