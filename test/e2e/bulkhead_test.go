//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// TestBadLabelsCostNobodyElse starts ten containers with faulty labels beside
// four good services. What Fairway says about the good ones must not change by a
// byte, and each bad one must have exactly one problem that names the container,
// the label and the reason.
func TestBadLabelsCostNobodyElse(t *testing.T) {
	needDocker(t)
	bad := []struct {
		label  string // the one to be named
		value  string
		reason string // a part of what must be said; lower case
	}{
		{label: "fairway.hots", value: "x.localhost", reason: "no such label"},
		{label: "fairway.host", value: "not a host", reason: "host"},
		{label: "fairway.rule", value: "Host(`rule.localhost`", reason: ")"},
		{label: "fairway.port", value: "99999", reason: "99999"},
		{label: "fairway.balance", value: "fastest", reason: "fastest"},
		{label: "fairway.path", value: "no-slash", reason: "no-slash"},
		{label: "fairway.ip-allow", value: "300.1.2.3", reason: "300.1.2.3"},
		{label: "fairway.rate-limit", value: "lots", reason: "lots"},
		{label: "fairway.scheme", value: "gopher", reason: "gopher"},
		// The same as good0: the incumbent keeps it.
		{label: "fairway.host", value: ownHost("good0"), reason: ownHost("good0")},
	}

	p := startProxy(t, proxyOptions{}).synced()
	var goodIDs []string
	const good = 4
	for i := range good {
		host, name := ownHost(fmt.Sprintf("good%d", i)), fmt.Sprintf("good%d", i)
		run(t, boxOptions{name: name, labels: map[string]string{"fairway.host": host, "fairway.service": own("e2e-" + name)}})
		p.answers(host, "/", name)
		goodIDs = append(goodIDs, own("e2e-"+name))
	}
	var before map[string]json.RawMessage
	testkit.Eventually(t, "the good are seen to work", func() string {
		before = p.routes()
		for _, id := range goodIDs {
			var r api.Route
			if err := json.Unmarshal(before[id], &r); err != nil || r.Condition.State != api.StateHealthy {
				return fmt.Sprintf("%s is %s (%v)", id, r.Condition.State, err)
			}
		}
		return ""
	})
	if n := len(p.problems()); n > 0 {
		t.Fatalf("%d problems before there is anything bad: %+v", n, p.problems())
	}

	boxes := map[string]int{}
	for i, b := range bad {
		labels := map[string]string{b.label: b.value}
		if b.label != "fairway.host" && b.label != "fairway.rule" {
			labels["fairway.host"] = ownHost(fmt.Sprintf("bad%d", i))
		}
		boxes[run(t, boxOptions{name: fmt.Sprintf("bad%d", i), labels: labels}).name] = i
	}
	testkit.Eventually(t, "one problem for each bad container", func() string {
		if n := len(p.problems()); n != len(bad) {
			return fmt.Sprintf("%d problems: %+v", n, p.problems())
		}
		return ""
	})

	after := p.routes()
	for _, id := range goodIDs {
		if before[id] == nil {
			t.Errorf("no route %s in %v", id, keys(before))
		}
		if diff := cmp.Diff(servedAs(t, before[id]), servedAs(t, after[id])); diff != "" {
			t.Errorf("route %s has changed (-without the bad +with it):\n%s", id, diff)
		}
	}
	for i := range good {
		name := fmt.Sprintf("good%d", i)
		if got := p.answeredBy(3, ownHost(name), "/"); got[name] != 3 {
			t.Errorf("%s is answered by %v", name, got)
		}
	}
	seen := map[int]int{}
	for _, x := range p.problems() {
		i, ok := boxes[x.Instance]
		if !ok {
			t.Errorf("a problem names no bad container: %+v", x)
			continue
		}
		seen[i]++
		if x.Label != bad[i].label || !strings.Contains(strings.ToLower(x.Text), bad[i].reason) {
			t.Errorf("%s=%s: label and reason are not named: %+v", bad[i].label, bad[i].value, x)
		}
		t.Logf("%-22s %-18s %s: %s", x.Label, bad[i].value, x.Code, x.Text)
	}
	for i := range bad {
		if seen[i] != 1 {
			t.Errorf("%s=%s has %d problems, want 1", bad[i].label, bad[i].value, seen[i])
		}
	}
	if out := p.command("problems"); !bytes.Contains(out, []byte("fairway.hots")) {
		t.Errorf("`fairway problems` does not show the unknown label:\n%s", out)
	}
}

func keys(m map[string]json.RawMessage) []string {
	var k []string
	for key := range m {
		k = append(k, key)
	}
	slices.Sort(k)
	return k
}

// servedAs is a route without how it is doing: of the requests that waited for it to come
// some may have failed.
func servedAs(t *testing.T, raw json.RawMessage) (r api.Route) {
	t.Helper()
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Error(err)
	}
	r.Condition, r.LastRequest = api.Condition{}, time.Time{}
	return r
}
