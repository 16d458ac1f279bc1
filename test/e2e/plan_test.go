//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// draft is a service as a test writes it into a Compose or stack file.
type draft struct {
	labels   map[string]string
	replicas int
}

// drafts are the states that a project goes through, one after the other.
func drafts(suffix string) []map[string]draft {
	host := func(name string) string { return name + suffix }
	return []map[string]draft{
		{"web": {map[string]string{"fairway.host": host("web")}, 1}, "api": {map[string]string{"fairway.host": host("api"), "fairway.path": "/v1"}, 2}},
		{"web": {map[string]string{"fairway.host": host("www")}, 3}, "api": {map[string]string{"fairway.host": host("api")}, 2}},
		// A conflict with a route that is served already, and a label that is refused
		// on a service that is new: neither depends on the order or the speed in which
		// containers are replaced.
		{"web": {map[string]string{"fairway.host": host("www")}, 1}, "api": {map[string]string{"fairway.host": host("api")}, 1}, "rival": {map[string]string{"fairway.host": host("api")}, 1}, "typo": {map[string]string{"fairway.host": host("typo"), "fairway.hots": "x"}, 1}},
		{"web": {map[string]string{"fairway.host": host("www"), "fairway.sticky": "lane", "fairway.balance": "least-conn"}, 2}, "rival": {map[string]string{"fairway.host": host("rival"), "fairway.strip-prefix": "true", "fairway.path": "/r"}, 1}},
		{"web": {map[string]string{"fairway.host": host("www"), "fairway.weight": "7"}, 1}},
	}
}

// reduced is what a plan and the difference after it was carried out have in
// common: neither addresses, nor claims, nor names of instances.
func reduced(routes, backends []api.DiffChange, problems []string) []string {
	var out []string
	for what, list := range map[string][]api.DiffChange{"route": routes, "backend": backends} {
		for _, c := range list {
			lines := slices.DeleteFunc(slices.Clone(c.Lines), func(line string) bool {
				field, _, _ := strings.Cut(line[2:], " ")
				return slices.Contains([]string{"claim", "from", "endpoint"}, field)
			})
			if len(lines) > 0 || c.Kind != "changed" {
				out = append(out, fmt.Sprint(c.Kind, " ", what, " ", c.ID, " ", strings.Join(lines, "; ")))
			}
		}
	}
	slices.Sort(problems)
	out = append(out, slices.Compact(problems)...)
	slices.Sort(out)
	return out
}

func reducedPlan(p api.Plan) []string {
	var problems []string
	for _, x := range p.Problems {
		problems = append(problems, "added problem "+x.Code+" "+x.Service)
	}
	for _, x := range p.Solved {
		problems = append(problems, "removed problem "+x.Code+" "+x.Service)
	}
	return reduced(p.Routes, p.Backends, problems)
}

func reducedDiff(d api.Diff) []string {
	var problems []string
	for _, x := range d.Problems {
		words := strings.Fields(x.ID) // CODE service SERVICE …
		problems = append(problems, x.Kind+" problem "+words[0]+" "+words[2])
	}
	return reduced(d.Routes, d.Backends, problems)
}

// planRounds goes through the states: what is planned is what has happened when
// it has been deployed and nothing is left to plan.
func planRounds(t *testing.T, rounds []map[string]draft, write func(map[string]draft), plan func() api.Plan, deploy func(map[string]draft), live func() uint64, diff func(from uint64) api.Diff) {
	t.Helper()
	for i, round := range rounds {
		before := live()
		write(round)
		planned := plan()
		if !planned.Changes {
			t.Fatalf("round %d: nothing is planned", i)
		}
		deploy(round)
		testkit.Eventually(t, fmt.Sprintf("round %d is deployed, and nothing is left to plan", i), func() string {
			if left := plan(); left.Changes {
				return fmt.Sprint(reducedPlan(left), left.Backends)
			}
			return ""
		})
		live() // the table is recorded
		want, got := reducedDiff(diff(before)), reducedPlan(planned)
		if !slices.Equal(want, got) {
			t.Errorf("round %d: happened\n  %s\nplanned\n  %s", i, strings.Join(want, "\n  "), strings.Join(got, "\n  "))
		}
	}
}

// TestPlanOfCompose plans a project, brings its containers up as Compose does, and
// compares.
func TestPlanOfCompose(t *testing.T) {
	needDocker(t)
	p := startProxy(t, proxyOptions{}).synced()
	project, file := own("plan"), filepath.Join(t.TempDir(), "compose.yml")
	boxes := map[string][]*box{} // by service and labels
	// One service after the other, and the old containers of each first, as Compose
	// does.
	deploy := func(round map[string]draft) {
		wanted := map[string]bool{}
		for name, d := range round {
			wanted[fmt.Sprint(name, d)] = true
		}
		for _, key := range slices.Sorted(maps.Keys(boxes)) {
			if !wanted[key] {
				for _, b := range boxes[key] {
					b.remove()
				}
				delete(boxes, key)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(round)) {
			d := round[name]
			key := fmt.Sprint(name, d)
			for n := len(boxes[key]) + 1; n <= d.replicas; n++ {
				labels := map[string]string{
					"com.docker.compose.project": project, "com.docker.compose.service": name, "com.docker.compose.container-number": fmt.Sprint(n),
				}
				maps.Copy(labels, d.labels)
				boxes[key] = append(boxes[key], run(t, boxOptions{name: fmt.Sprintf("%s-%d-%d", name, n, time.Now().UnixNano()), labels: labels}))
			}
		}
	}
	planRounds(t, drafts("."+ownHost("plan")),
		func(round map[string]draft) { writePlan(t, file, round, false, "") },
		func() api.Plan {
			var plan api.Plan
			decode(t, p.command("plan", "-f", file, "-p", project, "--prune", "-o", "json"), &plan)
			return plan
		}, deploy,
		func() uint64 {
			var newest uint64
			testkit.Eventually(t, "the live table is in the history", func() string {
				var list api.List[api.Entry]
				decode(t, p.command("history", "--limit", "1", "-o", "json"), &list)
				if len(list.Items) == 0 || !list.Items[0].Live {
					return "not yet"
				}
				newest = list.Items[0].Number
				return ""
			})
			return newest
		},
		func(from uint64) api.Diff {
			var d api.Diff
			decode(t, p.command("diff", fmt.Sprint(from), "-o", "json"), &d)
			return d
		})
}

func decode(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// writePlan writes a Compose file, or a stack file for services of the image on
// the network.
func writePlan(t *testing.T, path string, round map[string]draft, stack bool, network string) {
	t.Helper()
	services := map[string]any{}
	for name, d := range round {
		if stack {
			if name != "rival" { // a Swarm does not tell the ports of an image
				d.labels["fairway.port"] = "80"
			}
			services[name] = map[string]any{
				"image": lab.image, "command": []string{"whoami"}, "networks": []string{network},
				"deploy": map[string]any{"labels": d.labels, "replicas": d.replicas, "endpoint_mode": "dnsrr", "restart_policy": map[string]any{"delay": "1s"}},
			}
		} else {
			services[name] = map[string]any{
				"image": lab.image, "labels": d.labels, "deploy": map[string]any{"replicas": d.replicas}, "network_mode": "bridge",
			}
		}
	}
	file := map[string]any{"services": services}
	if stack {
		file["version"] = "3.8"
		file["networks"] = map[string]any{network: map[string]any{"external": true}}
	}
	text, err := json.MarshalIndent(file, "", "  ") // which is YAML
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPlanOfAStack plans a stack, deploys it with the docker command line, and
// compares.
func TestPlanOfAStack(t *testing.T) {
	t.Parallel()
	s := startSwarm(t)
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("no docker command line: ", err)
	}
	s.overlay(shared)
	s.proxy(shared)
	file := filepath.Join(t.TempDir(), "stack.yml")
	fairway := func(v any, args ...string) {
		enter := append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", s.inside("proxy")), lab.binary}, args...)
		cmd := exec.CommandContext(t.Context(), "nsenter", append(enter, "-o", "json", "--admin", "http://127.0.0.1:8080")...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("fairway %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
		decode(t, out, v)
	}
	planRounds(t, drafts(".stack.example"),
		func(round map[string]draft) { writePlan(t, file, round, true, shared) },
		func() (plan api.Plan) {
			fairway(&plan, "plan", "-f", file, "-p", "shop", "--prune")
			return plan
		},
		func(map[string]draft) {
			cmd := exec.CommandContext(t.Context(), docker, "-H", "unix://"+s.socket, "stack", "deploy", "--prune", "--detach=true", "--resolve-image", "never", "-c", file, "shop")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		func() uint64 {
			var newest uint64
			testkit.Eventually(t, "the live table is in the history", func() string {
				var list api.List[api.Entry]
				fairway(&list, "history", "--limit", "1")
				if len(list.Items) == 0 || !list.Items[0].Live {
					return "not yet"
				}
				newest = list.Items[0].Number
				return ""
			})
			return newest
		},
		func(from uint64) (d api.Diff) {
			fairway(&d, "diff", fmt.Sprint(from))
			return d
		})
}
