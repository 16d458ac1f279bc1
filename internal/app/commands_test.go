package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// steerable lets whoever is on this machine give commands.
func steerable(cfg *Config) { cfg.Admin.Anonymous = api.RoleOperator }

// shops writes services, each with its labels and instances: "NAME HOST ADDRESS…".
func shops(t *testing.T, file string, lines ...string) {
	t.Helper()
	text := "services:\n"
	for _, line := range lines {
		fields := strings.Fields(line)
		text += fmt.Sprintf("  - name: %s\n    labels: {fairway.host: %s}\n    instances:\n", fields[0], fields[1])
		for i, address := range fields[2:] {
			text += fmt.Sprintf("      - {name: %s-%d, address: %q}\n", fields[0], i+1, address)
		}
	}
	writeServices(t, file, text)
}

// answers waits until a host is answered by a backend; empty for none.
func (p *program) answers(t *testing.T, host, name string) {
	t.Helper()
	testkit.Eventually(t, host+" is answered by "+name, func() bool {
		status, body := p.get(host, "/")
		return name == "" && status == 404 || name != "" && strings.HasPrefix(body, name+" ")
	})
	// HAProxy answers a moment before the change is over.
	testkit.Eventually(t, "the table is live", func() bool {
		table := p.app.control.Table()
		return table != nil && (name != "") == slices.ContainsFunc(table.Routes, func(r *route.Route) bool {
			return slices.ContainsFunc(r.Matches, func(m route.Match) bool { return m.Host.Value == host })
		})
	})
}

// newest returns the newest entry that is live.
func newest(t *testing.T, c *api.Client) api.Entry {
	t.Helper()
	var found api.Entry
	testkit.Eventually(t, "the live table is in the history", func() bool {
		list, err := c.History(t.Context(), api.HistoryQuery{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) == 1 {
			found = list.Items[0]
		}
		return found.Live
	})
	return found
}

func give(t *testing.T, c *api.Client, n api.NewCommand) api.CommandResult {
	t.Helper()
	result, err := c.Give(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRollbackServesWhatWasAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "services.yml"), filepath.Join(dir, "state")
	one, two := backend(t, "one"), backend(t, "two")
	shops(t, file, "shop shop.example.com "+one)
	p := startProgram(t, file, state, steerable)
	p.answers(t, "shop.example.com", "one")
	client := p.client(t)
	good := newest(t, client)

	shops(t, file, "shop www.example.com "+two, "blog blog.example.com "+two)
	p.answers(t, "www.example.com", "two")
	e := newest(t, client)
	if e.Number != good.Number+1 || !strings.Contains(e.Cause, "label fairway.host changed from shop.example.com to www.example.com") {
		t.Errorf("entry %d: %s", e.Number, e.Cause)
	}
	bad := e.Number

	result := give(t, client, api.NewCommand{Kind: api.CommandRollback, Entry: good.Number, Endpoints: api.EndpointsRecorded, Message: "the new one is broken"})
	if result.Entry != bad+1 || len(result.Remarks) != 0 {
		t.Errorf("rolled back: %+v", result)
	}
	p.answers(t, "shop.example.com", "one")
	p.answers(t, "www.example.com", "")
	if d, err := client.Diff(t.Context(), good.Number, 0); err != nil || !d.Same {
		t.Errorf("what is live differs from entry %d: %+v, %v", good.Number, d, err)
	}
	if e := newest(t, client); e.Hash != good.Hash || e.Message != "the new one is broken" || e.Operator == "" {
		t.Errorf("entry of the rollback: %+v", e)
	}

	shops(t, file, "shop third.example.com "+two)
	p.stop()
	again := startProgram(t, file, state, steerable)
	again.answers(t, "shop.example.com", "one")
	client = again.client(t)
	testkit.Eventually(t, "the file is read", func() bool { r, err := client.Ready(t.Context()); return err == nil && r.State == api.StateSynced })
	again.answers(t, "shop.example.com", "one")
	list, err := client.Commands(t.Context())
	if err != nil || len(list.Items) != 1 || list.Items[0].Entry != good.Number {
		t.Fatalf("commands after the restart: %+v, %v", list.Items, err)
	}
	if _, err := client.TakeBack(t.Context(), api.HoldID, "mended"); err != nil {
		t.Fatal(err)
	}
	again.answers(t, "third.example.com", "two")
	again.answers(t, "shop.example.com", "")
}

func TestRollbackUntilChangedLetsEachServiceGo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	one, two := backend(t, "one"), backend(t, "two")
	shops(t, file, "shop shop.example.com "+one, "blog blog.example.com "+one, "same same.example.com "+one)
	p := startProgram(t, file, filepath.Join(dir, "state"), steerable)
	p.answers(t, "shop.example.com", "one")
	client := p.client(t)
	good := newest(t, client)
	shops(t, file, "shop www.example.com "+two, "blog news.example.com "+two, "same same.example.com "+one)
	p.answers(t, "www.example.com", "two")
	newest(t, client)

	result := give(t, client, api.NewCommand{Kind: api.CommandRollback, Entry: good.Number, Until: api.UntilChanged, Endpoints: api.EndpointsRecorded})
	if want := []string{"blog@file:services.yml", "shop@file:services.yml"}; !slices.Equal(result.Command.Services, want) {
		t.Errorf("held are %q, want %q", result.Command.Services, want)
	}
	if e := newest(t, client); e.Hash != good.Hash {
		t.Error("what is live is not what was")
	}
	// A new copy of the shop alone: its route stays, its endpoints follow.
	shops(t, file, "shop www.example.com "+one+" "+two, "blog news.example.com "+two, "same same.example.com "+one)
	p.answers(t, "shop.example.com", "two")
	p.answers(t, "blog.example.com", "one")
	// Other labels: the blog is free, the shop is not.
	shops(t, file, "shop www.example.com "+two, "blog blog2.example.com "+two, "same same2.example.com "+one)
	p.answers(t, "blog2.example.com", "two")
	p.answers(t, "same2.example.com", "one")
	p.answers(t, "shop.example.com", "two")
	p.answers(t, "www.example.com", "")
	shops(t, file, "shop shop3.example.com "+two)
	p.answers(t, "shop3.example.com", "two")
	p.answers(t, "shop.example.com", "")
	testkit.Eventually(t, "the rollback has ended", func() bool {
		list, err := client.Commands(t.Context())
		return err == nil && len(list.Items) == 0
	})
}

func TestDrainAndWeight(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "services.yml"), filepath.Join(dir, "state")
	one, two := backend(t, "one"), backend(t, "two")
	shops(t, file, "shop shop.example.com "+one+" "+two)
	p := startProgram(t, file, state, steerable)
	p.answers(t, "shop.example.com", "one")
	client := p.client(t)
	newest(t, client)
	give(t, client, api.NewCommand{Kind: api.CommandDrain, Subject: "shop-1", Message: "memory leak"})
	for range 20 {
		if _, body := p.get("shop.example.com", "/"); !strings.HasPrefix(body, "two ") {
			t.Fatalf("a drained instance answered: %s", body)
		}
	}
	weight := 7
	give(t, client, api.NewCommand{Kind: api.CommandWeight, Subject: "service:shop", Weight: &weight})
	routes, err := client.Routes(t.Context(), api.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range routes.Items[0].Endpoints {
		drained := e.Instance == "shop-1"
		if e.Weight != 7 || (e.State == "draining") != drained || strings.Contains(e.By, "drain by somebody on this machine: memory leak") != drained {
			t.Errorf("endpoint %+v", e)
		}
	}
	for _, subject := range []string{"nothing", "instance:shop", ""} {
		if _, err := client.Give(t.Context(), api.NewCommand{Kind: api.CommandDrain, Subject: subject}); err == nil {
			t.Errorf("drained %q", subject)
		}
	}

	p.stop()
	again := startProgram(t, file, state, steerable)
	for range 10 {
		if _, body := again.get("shop.example.com", "/"); !strings.HasPrefix(body, "two ") {
			t.Fatalf("a drained instance answered after the restart: %s", body)
		}
	}
	client = again.client(t)
	if _, err := client.TakeBack(t.Context(), "drain:shop-1", ""); err != nil {
		t.Fatal(err)
	}
	again.answers(t, "shop.example.com", "one")
	if _, err := client.TakeBack(t.Context(), "drain:shop-1", ""); err == nil {
		t.Error("a drain was taken back twice")
	}
}

// A service in maintenance says so to its visitors, but for those who may get through, and
// to operators; also after a restart.
func TestMaintenance(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "services.yml"), filepath.Join(dir, "state")
	shops(t, file, "shop shop.example.com "+backend(t, "one"), "blog blog.example.com "+backend(t, "two"))
	p := startProgram(t, file, state, steerable)
	p.answers(t, "shop.example.com", "one")
	client := p.client(t)
	newest(t, client)
	for _, wrong := range []api.NewCommand{
		{Kind: api.CommandMaintenance, Subject: "shop", Allow: []string{"everybody"}},
		{Kind: api.CommandDrain, Subject: "shop", Allow: []string{"10.0.0.0/8"}},
		{Kind: api.CommandMaintenance, Subject: "shop", For: "1s"},
	} {
		if _, err := client.Give(t.Context(), wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	given := give(t, client, api.NewCommand{Kind: api.CommandMaintenance, Subject: "shop", For: "2h", Message: "Back at noon.", Allow: []string{"192.0.2.7"}})
	if c := given.Command; len(c.Allow) != 1 || c.Allow[0] != "192.0.2.7/32" || c.Ends.IsZero() {
		t.Errorf("%+v", c)
	}
	p.stop()
	p = startProgram(t, file, state, steerable)
	if status, body := p.get("shop.example.com", "/"); status != 503 || body != "Back at noon.\n" {
		t.Errorf("%d %q", status, body)
	}
	p.answers(t, "blog.example.com", "two")
	client = p.client(t)
	testkit.Eventually(t, "the condition says so", func() bool {
		found, err := client.Status(t.Context())
		return err == nil && slices.ContainsFunc(found.Findings, func(f api.Finding) bool {
			return f.Kind == "route" && f.State == api.StateHeld && strings.HasPrefix(f.Text, "held by maintenance of shop") && strings.HasPrefix(f.Hint, "end it with: fairway maintenance shop")
		})
	})
	give(t, client, api.NewCommand{Kind: api.CommandMaintenance, Subject: "shop", Allow: []string{"127.0.0.0/8", "::1"}})
	p.answers(t, "shop.example.com", "one")
	if _, err := client.TakeBack(t.Context(), "maintenance:service:shop", ""); err != nil {
		t.Fatal(err)
	}
	p.answers(t, "shop.example.com", "one")
}

func TestPauseHoldsRequestsUntilItEnds(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	shops(t, file, "shop shop.example.com "+backend(t, "one"))
	p := startProgram(t, file, filepath.Join(dir, "state"), steerable)
	p.answers(t, "shop.example.com", "one")
	client := p.client(t)
	newest(t, client)
	ask := func() <-chan string {
		answer := make(chan string, 1)
		go func() {
			status, body := p.get("shop.example.com", "/")
			answer <- fmt.Sprint(status, " ", body)
		}()
		return answer
	}
	give(t, client, api.NewCommand{Kind: api.CommandPause, Subject: "shop", For: "1m", Message: "database moves"})
	waits := ask()
	select {
	case got := <-waits:
		t.Fatalf("answered during the pause: %s", got)
	case <-time.After(200 * time.Millisecond):
	}
	if _, err := client.TakeBack(t.Context(), "pause:service:shop", ""); err != nil {
		t.Fatal(err)
	}
	if got := <-waits; !strings.HasPrefix(got, "200 one ") {
		t.Errorf("after the pause: %s", got)
	}

	result := give(t, client, api.NewCommand{Kind: api.CommandPause, Subject: "shop", For: "1s"})
	if got := <-ask(); !strings.HasPrefix(got, "200 one ") || time.Now().Before(result.Command.Ends) {
		t.Errorf("a pause that ends by itself: %s, at %s before its end", got, time.Until(result.Command.Ends))
	}
	if list, err := client.Commands(t.Context()); err != nil || len(list.Items) != 0 {
		t.Errorf("commands: %+v, %v", list.Items, err)
	}
	if _, err := client.Give(t.Context(), api.NewCommand{Kind: api.CommandPause, Subject: "shop", For: "1h"}); err == nil {
		t.Error("a pause of an hour was taken")
	}
}
