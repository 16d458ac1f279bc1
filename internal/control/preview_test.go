package control

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/route"
)

func TestPreviewNamesWhatIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startSteered(t, t.TempDir())
		defer h.stop()
		h.feed.Publish(servicesOf(1, "a x.test 10.0.0.1", "b y.test 10.0.0.3"))
		synctest.Wait()
		h.feed.Publish(servicesOf(2, "a x.test 10.0.0.2", "c z.test 10.0.0.4"))
		synctest.Wait()
		if _, err := h.TakeBack(t.Context(), holdID, "ann", ""); !errors.Is(err, history.ErrNotFound) || err.Error() != "nothing is pinned or rolled back" {
			t.Errorf("without a hold: %v", err)
		}
		drain := Command{Kind: CommandDrain, Subject: catalog.Subject{Service: "a"}}
		if _, err := h.Give(t.Context(), drain); err != nil {
			t.Fatal(err)
		}
		p, err := h.Preview(Command{Kind: CommandRollback, Hold: &Hold{Entry: 1}})
		if err != nil || !slices.Equal(p.Unserved, []string{"c"}) || p.Before != h.Table() {
			t.Fatalf("%+v, %v", p, err)
		}
		// The endpoints are those of today, and the drain stays in force.
		if e := p.After.Backend("a").Endpoints; len(e) != 1 || e[0].ID != "10.0.0.2" || e[0].State != route.EndpointDraining {
			t.Errorf("a would have the endpoints %v", e)
		}
		// A command that is in force already would change nothing; what holds stays held.
		if _, err := h.Give(t.Context(), Command{Kind: CommandRollback, Hold: &Hold{Entry: 1}}); err != nil {
			t.Fatal(err)
		}
		if p, err = h.Preview(drain); err != nil || p.After.Hash != h.Table().Hash || !slices.Equal(p.Unserved, []string{"c"}) {
			t.Errorf("%+v, %v", p, err)
		}
		if _, err = h.Preview(Command{Kind: CommandRollback, Hold: &Hold{Entry: 99}}); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("an entry that does not exist: %v", err)
		}
	})
}

func TestWordsOfCommands(t *testing.T) {
	until := time.Date(2026, 3, 3, 12, 1, 0, 0, time.UTC)
	for _, tt := range []struct {
		command           Command
		text, ended, undo string
	}{
		{Command{Kind: CommandRollback, Hold: &Hold{Entry: 20, Release: ReleaseByHand}}, "rolled back to entry 20", "no longer rolled back to entry 20", "fairway unpin"},
		{
			Command{Kind: CommandRollback, Hold: &Hold{Entry: 20, Release: ReleaseByLabels}},
			"rolled back to entry 20, each service until its labels change", "no longer rolled back to entry 20", "fairway unpin",
		},
		{Command{Kind: CommandPin, Hold: &Hold{Entry: 20}}, "pinned at entry 20", "no longer pinned at entry 20", "fairway unpin"},
		{
			Command{Kind: CommandDrain, Subject: catalog.Subject{Service: "web@docker"}},
			"service web@docker drained", "service web@docker no longer drained", "fairway undrain web@docker",
		},
		{
			Command{Kind: CommandDrain, Subject: catalog.Subject{Node: "n1", NodeName: "edge"}},
			"node edge drained", "node edge no longer drained", "fairway undrain edge",
		},
		{
			Command{Kind: CommandWeight, Weight: 5, Subject: catalog.Subject{Instance: "web-1", Source: "docker"}},
			"weight of instance web-1 set to 5", "weight of instance web-1 no longer set to 5", "fairway weight web-1 default",
		},
		{
			Command{Kind: CommandPause, Until: until, Subject: catalog.Subject{Service: "web@docker"}},
			"service web@docker paused until 2026-03-03T12:01:00Z", "service web@docker no longer paused", "fairway resume web@docker",
		},
	} {
		if got := []string{tt.command.String(), tt.command.Ended(), tt.command.Undo()}; !slices.Equal(got, []string{tt.text, tt.ended, tt.undo}) {
			t.Errorf("%q, want %q", got, []string{tt.text, tt.ended, tt.undo})
		}
	}
}

// A record that says nothing of what its kind is about is refused, and not put into words.
func TestDamagedCommandsAreRefused(t *testing.T) {
	for _, record := range []string{
		`{"id":"hold","kind":"rollback","subject":{"service":"a"}}`, `{"id":"hold","kind":"pin"}`, `{"id":"x","kind":"drain"}`,
		`{"id":"x","kind":"drain","hold":{"entry":1,"hash":"x"}}`, `{"kind":"drain","subject":{"service":"a"}}`, `{`,
	} {
		if c, err := decodeCommand([]byte(record)); err == nil {
			t.Errorf("%s is read as %+v", record, c)
		}
	}
}

// Maintenance of then is no difference: a rollback does not hold a service for it. A preview
// says what Give would, also when there are too many commands.
func TestPreviewIsAsTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startSteered(t, t.TempDir())
		defer h.stop()
		h.feed.Publish(servicesOf(1, "a x.test 10.0.0.1", "b y.test 10.0.0.3"))
		synctest.Wait()
		shut := Command{Kind: CommandMaintenance, Subject: catalog.Subject{Service: "a"}}
		result, err := h.Give(t.Context(), shut)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.TakeBack(t.Context(), result.Command.ID, "", ""); err != nil {
			t.Fatal(err)
		}
		back := Command{Kind: CommandRollback, Hold: &Hold{Entry: result.Entry.Number, Release: ReleaseByLabels}}
		if p, err := h.Preview(back); !errors.Is(err, ErrRefused) {
			t.Errorf("what does not differ is held: %+v, %v", p.Command.Hold, err)
		}
		h.feed.Publish(servicesOf(2, "a x.test 10.0.0.1", "b z.test 10.0.0.3"))
		synctest.Wait()
		if p, err := h.Preview(back); err != nil || len(p.Command.Hold.Services) != 1 || p.Command.Hold.Services["b"].Labels == "" {
			t.Errorf("%+v, %v", p.Command.Hold, err)
		}
		full := *h.view.Load()
		full.commands = make([]Command, maxCommands)
		h.view.Store(&full)
		if _, err := h.Preview(shut); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "in force already") {
			t.Errorf("one more than there may be: %v", err)
		}
	})
}

// A hold of an earlier version says "released" where one says "unpinned" now.
func TestHoldsOfEarlierVersionsAreRead(t *testing.T) {
	c, err := decodeCommand([]byte(`{"id":"hold","kind":"rollback","hold":{"entry":20,"hash":"x","release":"released"},"operator":"ann","since":"2026-03-03T12:00:00Z"}`))
	if err != nil || c.Hold.Release != ReleaseByHand {
		t.Errorf("%+v, %v", c.Hold, err)
	}
}
