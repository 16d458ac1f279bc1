package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/confload"
	"fairway/internal/notify"
	"fairway/internal/rules"
	"fairway/internal/testkit"
)

// receiver collects what a webhook is called with.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	kinds  []string
	bodies []string
	signed int
	status int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var body struct {
			Type string
			Data struct{ Subject string }
		}
		data, _ := io.ReadAll(q.Body)
		if err := json.Unmarshal(data, &body); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kinds, r.bodies = append(r.kinds, body.Type+" "+body.Data.Subject), append(r.bodies, string(data))
		if strings.HasPrefix(q.Header.Get("Webhook-Signature"), "v1,") {
			r.signed++
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) has(kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.kinds, kind)
}

// telling starts a program that tells a receiver.
func telling(t *testing.T, file, state string, r *receiver) *program {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret of sixteen bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startProgram(t, file, state, steerable, func(cfg *Config) {
		cfg.Notify.Settle = 0
		cfg.Notify.Channels = []notify.Channel{{Name: "hook", Kind: "webhook", URL: r.URL, Secrets: []string{secret}}}
	})
}

// What happens reaches a webhook, signed, and the admin API; a restart tells
// nothing again, but what has changed meanwhile.
func TestWhatHappensIsTold(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "services.yml"), filepath.Join(dir, "state")
	address := backend(t, "one")
	shops(t, file, "one one.example "+address)
	r := newReceiver(t)
	p := telling(t, file, state, r)
	p.answers(t, "one.example", "one")
	shops(t, file, "one one.example "+address, "two two.example "+address)
	testkit.Eventually(t, "the new service is told", func() bool { return r.has("service.appeared service/two@file:services.yml") })
	shops(t, file, "one one.example "+address, "two one.example "+address)
	const conflict = "problem/two@file:services.yml/two@file:services.yml/fairway.host/conflict"
	testkit.Eventually(t, "the conflict is told", func() bool { return r.has("conflict.new " + conflict) })
	shops(t, file, "one one.example "+address, "two two.example "+address)
	testkit.Eventually(t, "that it is solved is told", func() bool { return r.has("conflict.solved " + conflict) })

	c := p.client(t)
	list, err := c.Events(t.Context(), api.EventQuery{Kind: "conflict."})
	if err != nil || len(list.Items) != 2 || list.Items[0].Severity != api.SeverityGood || list.Items[1].Details["label"] != "fairway.host" {
		t.Errorf("%v: %+v", err, list.Items)
	}
	if _, err = c.Events(t.Context(), api.EventQuery{Kind: "foo"}); err == nil || !strings.Contains(err.Error(), `no event is of the kind "foo"; there are `) || !strings.Contains(err.Error(), "node.down, ") {
		t.Errorf("a kind that does not exist: %v", err)
	}
	if list, err = c.Events(t.Context(), api.EventQuery{Standing: true}); err != nil || len(list.Items) != 0 {
		t.Errorf("%v: %+v stands", err, list.Items)
	}
	if done, err := c.TestChannel(t.Context(), "hook"); err != nil || !r.has("test channel/hook") {
		t.Errorf("%+v, %v", done, err)
	}
	var refused *api.Error
	if _, err := c.TestChannel(t.Context(), "nobody"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("error %v", err)
	}
	channels, err := c.Channels(t.Context())
	if err != nil || len(channels.Items) != 1 || channels.Items[0].Pending != 0 || channels.Items[0].LastSuccess.IsZero() || channels.Items[0].Receiver != r.URL {
		t.Errorf("%v: %+v", err, channels.Items)
	}
	p.stop()
	r.mu.Lock()
	before := len(r.kinds)
	if r.signed != before {
		t.Errorf("%d of %d were signed", r.signed, before)
	}
	r.status = http.StatusServiceUnavailable // it is away
	r.mu.Unlock()
	shops(t, file, "two two.example "+address)
	p = telling(t, file, state, r)
	p.answers(t, "one.example", "")
	c = p.client(t)
	testkit.Eventually(t, "what was told waits", func() bool {
		pending, err := c.Pending(t.Context(), "hook", 0)
		return err == nil && len(pending.Items) == 1 && pending.Items[0].Kind == "service.gone" && pending.Items[0].Name == "one"
	})
	if _, err := c.TestChannel(t.Context(), "hook"); !errors.As(err, &refused) || refused.Status != http.StatusBadGateway || !strings.Contains(refused.Detail, "503") {
		t.Errorf("error %v", err)
	}
}

// An endpoint that leaves with requests is told of, with how they went.
func TestDrainIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	hold, begun := make(chan struct{}), make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-hold
		}
	}))
	defer slow.Close()
	address := strings.TrimPrefix(slow.URL, "http://")
	other := backend(t, "other")
	shops(t, file, "web web.example "+address)
	r := newReceiver(t)
	p := telling(t, file, filepath.Join(dir, "state"), r)
	testkit.Eventually(t, "there is a route", func() bool {
		table := p.app.control.Table()
		return table != nil && len(table.Routes) == 1
	})
	answered := make(chan int)
	go func() {
		status, _ := p.get("web.example", "/slow")
		answered <- status
	}()
	<-begun
	shops(t, file, "web web.example "+other)
	p.answers(t, "web.example", "other")
	close(hold)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	testkit.Eventually(t, "it is told", func() bool { return r.has("drain.clean service/web@file:services.yml") })
}

// A rule drains as an operator does, and leaves alone what an operator has drained.
func TestRulesDrain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	one, two := backend(t, "one"), backend(t, "two")
	shops(t, file, "web web.example "+one+" "+two)
	p := startProgram(t, file, filepath.Join(dir, "state"), steerable)
	c := p.client(t)
	newest(t, c)
	h := &ruleDriver{notifier: p.app.notifier, control: p.app.control, log: slog.New(slog.DiscardHandler)}
	commands := func() (list []string) {
		found, err := c.Commands(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range found.Items {
			list = append(list, command.Text+" by "+command.Operator)
		}
		return list
	}
	want := func(want ...string) {
		t.Helper()
		if got := commands(); !slices.Equal(got, want) {
			t.Errorf("commands %q, want %q", got, want)
		}
	}
	first := catalog.Subject{Instance: "web-1", Source: "file:services.yml"}
	second := catalog.Subject{Instance: "web-2", Source: "file:services.yml"}
	for range 2 {
		if err := h.Drain(t.Context(), first, "hot", "instance.cpu > 90%"); err != nil {
			t.Fatal(err)
		}
	}
	want("instance web-1 drained by rule hot")
	give(t, c, api.NewCommand{Kind: api.CommandDrain, Subject: "instance:web-2"})
	if err := h.Drain(t.Context(), second, "hot", "instance.cpu > 90%"); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []catalog.Subject{first, second, second} {
		if err := h.Undrain(t.Context(), subject, "hot"); err != nil {
			t.Fatal(err)
		}
	}
	if got := commands(); len(got) != 1 || !strings.HasPrefix(got[0], "instance web-2 drained by ") {
		t.Errorf("commands %q", got)
	}
	if err := h.Drain(t.Context(), catalog.Subject{Node: "none"}, "hot", "node.down"); err == nil {
		t.Error("a node that does not exist was drained")
	}
}

// scales records what a Swarm is asked.
type scales []string

func (s *scales) ScaleFrom(_ context.Context, service string, from, to uint64) error {
	*s = append(*s, fmt.Sprintf("%s %d %d", service, from, to))
	return nil
}

// A rule scales a service of the Swarm by the name that it has there.
func TestRulesScale(t *testing.T) {
	asked := scales{}
	h := &ruleDriver{swarm: &asked}
	if err := h.Scale(t.Context(), "web@swarm", 3, 4); err != nil || !slices.Equal(asked, scales{"web 3 4"}) {
		t.Errorf("error %v, asked %q", err, asked)
	}
	if err := (&ruleDriver{}).Scale(context.Background(), "web@swarm", 2, 4); err == nil {
		t.Error("no Swarm, and no error")
	}
}

// Rules are shown as they stand, and what they do is told.
func TestRulesAreShown(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	shops(t, file, "web web.example "+backend(t, "web"))
	p := startProgram(t, file, filepath.Join(dir, "state"), func(cfg *Config) {
		cfg.Rules = []rules.Rule{{Name: "few", When: "service.ready < 2"}}
	})
	c := p.client(t)
	testkit.Eventually(t, "the rule has fired", func() bool {
		list, err := c.Rules(t.Context())
		return err == nil && len(list.Items) == 1 && list.Items[0].Name == "web" && !list.Items[0].Fired.IsZero() && list.Items[0].Value == "1"
	})
	testkit.Eventually(t, "it is told", func() bool {
		list, err := c.Events(t.Context(), api.EventQuery{Standing: true})
		return err == nil && len(list.Items) == 1 && list.Items[0].Kind == "rule.fired" && list.Items[0].Details["when"] == "service.ready < 2"
	})
}

// Everything that is wrong with channels and rules is told at once, with which one
// is meant and, in a condition, where.
func TestFaultsOfChannelsAndRules(t *testing.T) {
	inDir(t, map[string]string{"fairway.yml": `
notify:
  channels:
    - {name: a, kind: webhook, urll: "https://a.example"}
rules:
  - {name: hot, when: node.cpu > 90}
  - {name: hot, when: source.stale, do: scale, min: 1, max: 2}
series: {every: 7s, subjects: 1}
`, "token": ""})
	_, err := Load(LoadOptions{})
	want := `configuration has 7 faults:
  fairway.yml:3: notify.channels: number 1: "urll" means nothing here; did you mean url?
  fairway.yml:8: series.every "7s": two minutes must be a multiple of it: 1s, 2s, 5s, 10s, 15s, 20s, 30s or 1m
  fairway.yml:8: series.subjects "1": must be between 10 and 20000
  fairway.yml:5: rules: number 1 (hot): when: column 12: a value such as 90% is expected
  fairway.yml:5: rules: number 2 (hot): service: which one is to be scaled? The condition is about something else
  fairway.yml:5: rules: number 2 (hot): another rule has this name`
	if err == nil || err.Error() != strings.Replace(want, "7 faults", "6 faults", 1) {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
	for text, want := range map[string]string{
		"{name: a, kind: mail, to: x":                     "number 1: ",
		"just text":                                       "number 1: write {name: …, …}",
		"{name: a, kind: webhook, secrets: {a: b}}":       "number 1: ",
		"{name: a, kind: webhook, url: 'https://a.b'}\n{": "number 2: ",
	} {
		_, err := Load(LoadOptions{Flags: map[string][]string{"notify.channels": {text}}, Path: "token"})
		if err == nil || !strings.Contains(err.Error(), "flag --notify.channels: notify.channels: "+want) || strings.Contains(err.Error(), "notify.Channel") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// The examples in the documentation pass.
func TestExamplesOfChannelsAndRules(t *testing.T) {
	for _, page := range []string{"../../docs/notify.md", "../../docs/rules.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```yaml\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("%s has no example", page)
		}
		for _, block := range blocks {
			example, _, _ := strings.Cut(block, "```")
			_, err := LoadBytes("fairway.yml", []byte("swarm: tcp://m1:2375\ndocker-insecure: true\n"+example), LoadOptions{})
			for _, fault := range asFaults(err) {
				if !strings.Contains(fault.Value, "/run/secrets/") {
					t.Errorf("%s: %s in\n%s", page, fault, example)
				}
			}
		}
	}
}

func asFaults(err error) confload.Faults {
	faults, _ := errors.AsType[confload.Faults](err)
	return faults
}
