//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/api"
	"fairway/internal/testkit"
	"fairway/test/smtpsink"
)

// arrivals are the times at which something was told, by subject.
type arrivals struct {
	mu sync.Mutex
	at map[string][]time.Time
}

func (a *arrivals) note(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[string][]time.Time{}
	}
	a.at[subject] = append(a.at[subject], time.Now())
}

func (a *arrivals) of(subject string) []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]time.Time(nil), a.at[subject]...)
}

// TestNodeKilledIsTold kills the workers of a Swarm one after the other: a mail and a
// webhook tell of each within two seconds after the managers have noticed, once,
// also when Fairway itself is killed in between.
func TestNodeKilledIsTold(t *testing.T) {
	t.Parallel()
	s := startNodes(t, 1, shortHeartbeat)
	s.overlay(shared)
	s.app(6)

	var hooks arrivals
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Type string
			Data struct{ Subject string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") {
			t.Errorf("%v, header %v", err, r.Header)
		}
		hooks.note(body.Type + " " + body.Data.Subject)
	}))
	defer hook.Close()
	var mails arrivals
	sink, err := smtpsink.Listen("", smtpsink.Options{Reply: func(m smtpsink.Mail) string {
		for line := range strings.Lines(m.Data) {
			if subject, ok := strings.CutPrefix(strings.TrimSpace(line), "subject: "); ok {
				mails.note(subject)
			}
		}
		return ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()

	manager := s.list[0]
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	channels := `{name: hook, kind: webhook, url: "` + hook.URL + `", secrets: ["` + secret + `"]}` + "\n" +
		`{name: mail, kind: mail, server: "` + sink.Addr() + `", tls: none, from: fairway@example.com, to: [ops@example.com], events: [node.*, test]}`
	o := proxyOptions{docker: "tcp://" + manager.ip + ":2375", state: filepath.Join(dir, "state"), args: []string{
		"--swarm", "tcp://" + manager.ip + ":2375", "--docker-insecure", "--admin.anonymous", "operator",
		"--notify.channels", channels, "--notify.name", "lab", "--series.every", "1s",
	}}
	p := startProxy(t, o).synced()
	for _, name := range []string{"hook", "mail"} {
		if _, err := p.client().TestChannel(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if len(hooks.of("test channel/hook")) != 1 || len(mails.of("channel/mail")) != 1 {
		t.Fatalf("the test events have not arrived")
	}

	var dead []*node
	for _, victim := range []*node{s.list[2], s.list[1]} {
		testkit.Eventually(t, "every task runs for Fairway", func() string { return p.allReady("app", 6) })
		victim.kill()
		killed := time.Now()
		testkit.Eventually(t, "the node is down", func() string {
			if state := s.state(manager, victim); state != swarm.NodeStateDown {
				return string(state)
			}
			return ""
		})
		down := time.Now()
		dead = append(dead, victim)
		subject := "node/" + victim.id
		testkit.Eventually(t, "mail and webhook", func() string {
			if len(hooks.of("node.down "+subject)) == 0 {
				return "no webhook"
			}
			if len(mails.of(subject)) == 0 {
				return "no mail"
			}
			return ""
		})
		byHook, byMail := hooks.of("node.down " + subject)[0], mails.of(subject)[0]
		t.Logf("down %s after the kill; the webhook came %s later, the mail %s", down.Sub(killed).Round(10*time.Millisecond),
			byHook.Sub(down).Round(10*time.Millisecond), byMail.Sub(down).Round(10*time.Millisecond))
		testkit.Eventually(t, "everything is delivered", p.delivered)
		if err := p.process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		p = startProxy(t, o).synced()
	}
	time.Sleep(5 * time.Second)
	for _, n := range dead {
		if hook, mail := len(hooks.of("node.down node/"+n.id)), len(mails.of("node/"+n.id)); hook != 1 || mail != 1 {
			t.Errorf("%s: told %d times by webhook, %d times by mail", n.name, hook, mail)
		}
	}
	standing, err := p.client().Events(t.Context(), api.EventQuery{Standing: true, Kind: "node."})
	if err != nil || len(standing.Items) != 2 {
		t.Errorf("%v, %+v stands", err, standing.Items)
	}
	testkit.Eventually(t, "what the manager uses is kept", func() string {
		// Of the last moments every reading is kept, of those before only means.
		kept, err := p.client().Series(t.Context(), api.SeriesNodes, manager.id, api.SeriesQuery{From: time.Now().Add(-20 * time.Second)})
		if err != nil {
			return err.Error()
		}
		known := 0 // of a machine that is read for the first time CPU may not be known yet
		for _, point := range kept.Points {
			if point.Means[0] != nil {
				known++
			}
		}
		if known < 3 {
			return fmt.Sprintf("%d points, %d of them with CPU", len(kept.Points), known)
		}
		return ""
	})
}

// delivered waits until nothing is to be told any more.
func (p *proxy) delivered() string {
	list, err := p.client().Channels(p.t.Context())
	if err != nil {
		return err.Error()
	}
	for _, c := range list.Items {
		if c.Pending > 0 {
			return c.Name + " has not delivered everything"
		}
	}
	return ""
}

// allReady waits for so many instances of a service.
func (p *proxy) allReady(service string, want int) string {
	list, err := p.client().Service(p.t.Context(), service)
	if err != nil {
		return err.Error()
	}
	ready := 0
	for _, item := range list.Items {
		for _, in := range item.Instances {
			if in.State == "ready" && item.Source == "swarm" {
				ready++
			}
		}
	}
	if ready != want {
		return "not all are ready"
	}
	return ""
}
