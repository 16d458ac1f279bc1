package plan

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/route"
	"fairway/internal/route/diff"
)

// randomServices writes a services file with mistakes and conflicts in it.
func randomServices(random *rand.Rand) string {
	text := "services:"
	for _, name := range []string{"a", "b", "c", "d"} {
		if random.IntN(4) == 0 {
			continue
		}
		text += "\n  - name: " + name
		labels := []string{fmt.Sprintf("fairway.host: %s.example.com", string(rune('w'+random.IntN(4))))}
		for _, more := range []string{
			"fairway.path: /demo", "fairway.api.host: api.example.com", "fairway.strip-prefix: 'true'", "fairway.hots: typo",
			"fairway.basic-auth: none", "fairway.balance: least-conn", "fairway.port: banana", "fairway.priority: '5'",
			"fairway.headers.request.set.X-Key: secret", "fairway.sticky: lane", "fairway.tcp: 'true'",
		} {
			if random.IntN(6) == 0 {
				labels = append(labels, more)
			}
		}
		text += "\n    labels: {" + strings.Join(labels, ", ") + "}\n    instances:"
		if n := random.IntN(4); n == 0 {
			text += " []"
		} else {
			for i := range n {
				text += fmt.Sprintf("\n      - {address: '10.0.%d.%d:80'", random.IntN(3), i+1)
				if random.IntN(3) == 0 {
					text += fmt.Sprintf(", weight: %d", 1+random.IntN(3))
				}
				text += "}"
			}
		}
	}
	return strings.Replace(text, "services:\n", "services:\n", 1) + "\n"
}

// fileSnapshot is the snapshot that a services file makes.
func fileSnapshot(t *testing.T, revision uint64, text string) *catalog.Snapshot {
	t.Helper()
	w := newWorld(&catalog.Snapshot{Revision: revision, Sources: []catalog.SourceStatus{{Name: "file:services.yml", Synced: true}}})
	w.servicesFile(parse("services.yml", []byte(text)), "file:services.yml")
	if err := w.refusal(); err != nil {
		t.Fatal(err, text)
	}
	s := *w.now
	s.Services = w.list()
	return &s
}

// planned is a planner over a fixed world.
type planned struct {
	*Planner
	compiled *route.Table
}

func planSettings() compile.Settings {
	return compile.Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}}}
}

func planWorld(now *catalog.Snapshot, before *route.Table) *planned {
	p := &planned{compiled: compile.New(planSettings()).Compile(now, before)}
	o := Options{Settings: planSettings(), Current: func() (*catalog.Snapshot, *route.Table) { return now, p.compiled }}
	for _, s := range now.Sources {
		switch s.Name {
		case engineSource:
			o.Engines = append(o.Engines, s.Name)
		case swarmSource:
			o.Swarms = append(o.Swarms, s.Name)
		}
	}
	p.Planner = New(o)
	return p
}

// shown is everything that a plan says, as text.
func shown(before, after *route.Table) string {
	d := diff.Tables(before, after)
	return d.String()
}

// The plan of a services file is the difference after it has been written:
// routes, backends, problems, for any file.
func TestPlanIsWhatHappens(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	changed := 0
	text := randomServices(random)
	snapshot := fileSnapshot(t, 1, text)
	var previous *route.Table
	for round := range uint64(300) {
		world := planWorld(snapshot, previous)
		next := randomServices(random)
		plan, err := world.Plan(api.PlanRequest{Files: []api.PlanFile{{Path: "services.yml", Text: next}}})
		if err != nil {
			t.Fatal(err)
		}
		then := fileSnapshot(t, round+2, next)
		happened := compile.New(planSettings()).Compile(then, world.compiled)
		want := shown(settled(world.compiled), settled(happened))
		if diff := cmp.Diff(want, shown(plan.Before, plan.After)); diff != "" {
			t.Fatalf("round %d: happened (-) and planned (+) differ:\n%s\nbefore:\n%s\nafter:\n%s", round, diff, text, next)
		}
		if want != "" {
			changed++
		}
		previous, snapshot, text = world.compiled, then, next
	}
	if changed < 200 {
		t.Errorf("only %d of 300 plans changed anything", changed)
	}
}

// composeWorld is what Docker shows of a project: one container of web, two of
// api, on a network that Fairway reaches.
func composeWorld() *catalog.Snapshot {
	s := &catalog.Snapshot{Revision: 3, Taken: time.Unix(1000, 0), Sources: []catalog.SourceStatus{{Name: "docker", Synced: true}}}
	add := func(project, service string, n int, labels map[string]string) {
		svc := &catalog.Service{ID: project + "-" + service + "@docker", Name: project + "-" + service, Source: "docker", Created: time.Unix(1, 0)}
		for i := range n {
			own := map[string]string{composeProject: project, composeService: service}
			for k, v := range labels {
				own[k] = v
			}
			svc.Instances = append(svc.Instances, &catalog.Instance{
				ID: fmt.Sprintf("%s%s%d", project, service, i+1), Name: fmt.Sprintf("%s-%s-%d", project, service, i+1), Source: "docker", Node: "docker",
				Labels: own, State: catalog.StateReady, Created: time.Unix(1, 0),
				Addresses: []catalog.Address{{Host: fmt.Sprintf("172.18.0.%d", i+2), Network: project + "_default", Reach: catalog.ReachBridge}},
				Ports:     []catalog.Port{{Number: 8080, Protocol: "tcp"}},
			})
		}
		s.Services = append(s.Services, svc)
	}
	add("shop", "api", 2, map[string]string{"fairway.host": "api.example.com"})
	add("shop", "old", 1, map[string]string{"fairway.host": "old.example.com"})
	add("shop", "web", 1, map[string]string{"fairway.host": "shop.example.com", "fairway.hots": "x"})
	s.Services = append(s.Services, &catalog.Service{ID: "taken", Name: "taken", Owner: "other", Source: "docker", Created: time.Unix(1, 0)})
	return s
}

func TestPlanOfCompose(t *testing.T) {
	for name, c := range map[string]struct {
		request api.PlanRequest
		want    []string
		problem string
	}{
		"same": {api.PlanRequest{Files: given(`
services:
  web: {labels: {fairway.host: shop.example.com, fairway.hots: x}}
  api: {labels: {fairway.host: api.example.com}, deploy: {replicas: 2}}
`)}, nil, ""},
		"label and scale": {api.PlanRequest{Files: given(`
services:
  web: {labels: [fairway.host=$HOST], scale: 3}
  api: {labels: {fairway.host: api.example.com}, deploy: {replicas: 2}}
`), Variables: map[string]string{"HOST": "www.example.com"}}, []string{
			"~ route shop-web@docker", "    - match host shop.example.com, path /", "    + match host www.example.com, path /",
			`    + endpoint "3 instances" ready weight 1 id 0`,
			"- problem unknown-label service shop-web@docker source docker route shop-web@docker label fairway.hots: there is no such label (did you mean fairway.host?)",
		}, ""},
		"prune": {api.PlanRequest{Prune: true, Files: given(`
services:
  web: {labels: {fairway.host: shop.example.com, fairway.hots: x}}
  api: {labels: {fairway.host: api.example.com}, deploy: {replicas: 2}}
`)}, []string{"- route shop-old@docker", "- backend shop-old@docker"}, ""},
		"conflict": {api.PlanRequest{Files: given(`
services:
  new: {labels: {fairway.host: api.example.com}}
`)}, []string{"+ problem conflict service shop-new@docker"}, "conflict compose.yml:3"},
		"new network": {api.PlanRequest{Files: given(`
services:
  new:
    networks: [other]
    labels: {fairway.host: new.example.com}
networks: {other: {external: true}}
`)}, []string{"+ route shop-new@docker", "+ backend shop-new@docker", `    + endpoint "1 instance" ready`}, ""},
		"label": {
			api.PlanRequest{Labels: []api.PlanLabel{{Subject: "shop-web-1", Label: "fairway.host", Value: "x.example.com"}, {Subject: "shop-web", Label: "fairway.hots", Remove: true}}},
			[]string{"    + match host x.example.com, path /", "- problem unknown-label"},
			"",
		},
		"remove": {api.PlanRequest{Remove: []string{"shop-old", "shop-api-2"}}, []string{
			"- route shop-old@docker", "~ backend shop-api@docker", `    + endpoint "1 instance" ready weight 1 id 0`, "- backend shop-old@docker",
		}, ""},
		"taken over": {api.PlanRequest{Files: given(`
services:
  web: {labels: {fairway.host: shop.example.com, fairway.service: shopfront}}
`)}, []string{"- route shop-web@docker", "+ route shopfront"}, ""},
		"name of another": {api.PlanRequest{Files: given(`
services:
  web: {labels: {fairway.host: shop.example.com, fairway.service: taken}}
`)}, []string{"- route shop-web@docker", "+ route taken~shop", "+ problem name-taken"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.request.Project = "shop"
			plan, err := planWorld(composeWorld(), nil).Plan(c.request)
			if err != nil {
				t.Fatal(err)
			}
			got := shown(plan.Before, plan.After)
			for _, line := range c.want {
				if !strings.Contains("\n"+got, "\n"+line) {
					t.Errorf("there is no line %q in\n%s", line, got)
				}
			}
			if c.want == nil && got != "" {
				t.Errorf("something would change:\n%s", got)
			}
			for _, p := range plan.After.Problems {
				file, line := plan.Position(p.Service, p.Label)
				if where := fmt.Sprintf("%s %s:%d", p.Code, file, line); file != "" && c.problem != "" && where != c.problem {
					t.Errorf("problem at %s, want %s", where, c.problem)
				}
			}
		})
	}
}

func given(text string) []api.PlanFile { return []api.PlanFile{{Path: "compose.yml", Text: text}} }

func TestPlanOfAStack(t *testing.T) {
	two := 2
	now := &catalog.Snapshot{
		Revision: 1, Sources: []catalog.SourceStatus{{Name: "swarm", Synced: true}},
		Nodes: []*catalog.Node{{ID: "n1", Source: "swarm", State: "ready"}, {ID: "n2", Source: "swarm", State: "ready"}, {ID: "n3", Source: "swarm", State: "down"}},
		Services: []*catalog.Service{{
			ID: "shop_web@swarm", Name: "shop_web", Source: "swarm", Replicas: &two,
			Labels: map[string]string{stackNamespace: "shop", "fairway.host": "shop.example.com", "fairway.port": "8080"},
			Instances: []*catalog.Instance{
				{ID: "t1", Name: "shop_web.1", Source: "swarm", State: catalog.StateReady, Addresses: []catalog.Address{{Host: "10.0.1.2", Network: "proxy", Reach: catalog.ReachShared}}},
				{ID: "t2", Name: "shop_web.2", Source: "swarm", State: catalog.StateReady, Addresses: []catalog.Address{{Host: "10.0.1.3", Network: "proxy", Reach: catalog.ReachShared}}},
			},
		}},
	}
	plan, err := planWorld(now, nil).Plan(api.PlanRequest{Project: "shop", Files: []api.PlanFile{{Path: "stack.yml", Text: `
services:
  web:
    networks: [proxy]
    deploy: {replicas: 2, labels: {fairway.host: shop.example.com, fairway.port: "8080", fairway.path: /x}}
  agent:
    networks: [proxy]
    deploy: {mode: global, labels: [fairway.host=agent.example.com, fairway.port=80]}
  lost:
    networks: [own]
    deploy: {labels: {fairway.host: lost.example.com, fairway.port: "80"}}
networks: {proxy: {external: true}, own: {}}
`}}})
	if err != nil {
		t.Fatal(err)
	}
	got := shown(plan.Before, plan.After)
	for _, line := range []string{
		"    - match host shop.example.com, path /\n    + match host shop.example.com, path /x",
		"+ route shop_agent@swarm", `    + endpoint "2 instances" ready weight 1 id 0`,
		"+ problem no-address service shop_lost@swarm source swarm route shop_lost@swarm: Fairway is on none of its networks: shop_own",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("there is no %q in\n%s", line, got)
		}
	}
}

// TestPlanOfTheFirstStack: of the networks of the first stack Fairway can be on the one
// that is there, and not on the one that the stack makes.
func TestPlanOfTheFirstStack(t *testing.T) {
	world := planWorld(&catalog.Snapshot{Revision: 1, Taken: time.Unix(1000, 0), Sources: []catalog.SourceStatus{{Name: "swarm", Synced: true}}}, nil)
	plan, err := world.Plan(api.PlanRequest{Project: "shop", Files: given(`
services:
  web:
    networks: [proxy, default]
    deploy: {labels: {fairway.host: shop.example.com, fairway.port: "80"}}
  alone:
    deploy: {labels: {fairway.host: alone.example.com, fairway.port: "80"}}
networks: {proxy: {external: true}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.After.Problems) > 0 || len(plan.After.Routes) != 2 {
		t.Errorf("%d routes, problems %+v", len(plan.After.Routes), plan.After.Problems)
	}
}

// Services files of one source are taken together: the second does not take away
// what the first one says.
func TestPlanOfTwoServicesFiles(t *testing.T) {
	text := func(name string) string {
		return "services:\n  - {name: " + name + ", labels: {fairway.host: " + name + ".example.com}, instances: [{address: '10.0.0.1:80'}]}\n"
	}
	plan, err := planWorld(composeWorld(), nil).Plan(api.PlanRequest{Files: []api.PlanFile{{Path: "a/services.yml", Text: text("one")}, {Path: "b/services.yml", Text: text("two")}}})
	if err != nil {
		t.Fatal(err)
	}
	got := shown(plan.Before, plan.After)
	if !strings.Contains(got, "+ route one@file:services.yml") || !strings.Contains(got, "+ route two@file:services.yml") || len(plan.Remarks) != 1 {
		t.Errorf("%s\nremarks %q", got, plan.Remarks)
	}
}

// Compose keeps a dollar sign that begins no variable, and so does a plan.
func TestPlanKeepsLooseDollars(t *testing.T) {
	plan, err := planWorld(composeWorld(), nil).Plan(api.PlanRequest{Project: "x", Files: given("services: {a: {labels: {fairway.rule: 'PathRegexp(`^/a$`)'}}}")})
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(plan.Before, plan.After); !strings.Contains(got, "+ route x-a@docker") || !strings.Contains(got, "^/a$") {
		t.Error(got)
	}
}

func TestPlanSaysNo(t *testing.T) {
	p := planWorld(composeWorld(), nil)
	for name, c := range map[string]struct {
		request api.PlanRequest
		want    string
	}{
		"no yaml":      {api.PlanRequest{Files: given("services: [")}, "compose.yml:"},
		"no services":  {api.PlanRequest{Files: given("listen: 80")}, "neither a Compose file nor a services file"},
		"no project":   {api.PlanRequest{Files: given("services: {a: {}}")}, "which project?"},
		"required":     {api.PlanRequest{Project: "x", Files: given("services: {a: {labels: {fairway.host: '${HOST:?which host}'}}}")}, "compose.yml:1: variable HOST is not set: which host"},
		"dollar":       {api.PlanRequest{Project: "x", Stack: true, Files: given("services: {a: {deploy: {labels: {fairway.path: 'a$'}}}}")}, "compose.yml:1: docker stack deploy refuses"},
		"bad services": {api.PlanRequest{Files: []api.PlanFile{{Path: "services.yml", Text: "services:\n  - nmae: x\n"}}}, "services.yml:2: "},
		"no source":    {api.PlanRequest{Source: "swarm", Files: given("services: {a: {}}"), Project: "x"}, `no source "swarm"`},
		"no such name": {api.PlanRequest{Remove: []string{"nothing"}}, "no service, instance or node"},
		"bad service":  {api.PlanRequest{Project: "x", Files: given("services: {a: 5}")}, "expected here: a service"},
	} {
		if _, err := p.Plan(c.request); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
