package control

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Maintenance is in front of the filters of each route of the service and of no other, ends
// by itself, and goes on after a restart for what was left of it.
func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var snapshots catalog.Feed
		c, _, stop := onDisk(t, dir, &snapshots, &recordingEngine{})
		snapshots.Publish(servicesOf(1, "a x.test 10.0.0.1", "b y.test 10.0.0.2"))
		synctest.Wait()
		allowed := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		result, err := c.Give(t.Context(), Command{
			Kind: CommandMaintenance, Subject: catalog.Subject{Service: "a"}, Wait: time.Hour, Allow: allowed, Operator: "ann", Message: "back\nat  noon",
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := result.Command.String(), "service a in maintenance until "+result.Command.Until.Format(time.RFC3339); got != want || result.Command.Undo() != "fairway maintenance a off" {
			t.Errorf("%q, undone by %q", got, result.Command.Undo())
		}
		m := c.Table().Route("a").Maintenance()
		if m == nil || m.Message != "back at noon" || !m.Until.Equal(result.Command.Until) || len(m.Allow) != 1 {
			t.Fatalf("%+v", m)
		}
		if c.Table().Route("b").Maintenance() != nil {
			t.Error("the other service is in maintenance, too")
		}
		time.Sleep(40 * time.Minute)
		stop()

		c, _, stop = onDisk(t, dir, &snapshots, &recordingEngine{})
		defer stop()
		synctest.Wait()
		if c.Table().Route("a").Maintenance() == nil {
			t.Fatal("a restart has ended it")
		}
		time.Sleep(21 * time.Minute)
		synctest.Wait()
		if c.Table().Route("a").Maintenance() != nil || len(c.Commands()) != 0 {
			t.Errorf("it goes on: %v", c.Commands())
		}
	})
}

func TestMaintenanceRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var snapshots catalog.Feed
		c, _, stop := onDisk(t, t.TempDir(), &snapshots, &recordingEngine{})
		defer stop()
		snapshots.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		a := catalog.Subject{Service: "a"}
		for name, command := range map[string]Command{
			"too short": {Subject: a, Wait: time.Second},
			"too long":  {Subject: a, Wait: MaxMaintenance + 1},
			"too many":  {Subject: a, Allow: make([]netip.Prefix, maxAllow+1)},
		} {
			command.Kind = CommandMaintenance
			if _, err := c.Give(t.Context(), command); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What was recorded during maintenance is served without it: no command would end it.
func TestHeldRoutesAreNotInMaintenance(t *testing.T) {
	shut := []route.Filter{{Maintenance: &route.Maintenance{}}, {Compress: &route.Compress{}}}
	got := withoutMaintenance([]*route.Route{{ID: "a", Filters: shut}, {ID: "b", Filters: shut[1:]}})
	for _, r := range got {
		if len(r.Filters) != 1 || r.Filters[0].Compress == nil {
			t.Errorf("%s: %v", r.ID, r.Filters)
		}
	}
}
