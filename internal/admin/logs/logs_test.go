package logs

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/admin/stream"
	"fairway/internal/api"
	"fairway/internal/catalog"
)

// instance has written one line, and goes on or has ended.
type instance struct{ goesOn bool }

// Read makes it a Source.
func (i instance) Read(ctx context.Context, _ *catalog.Instance, _ int, _ bool, got func(time.Time, string, bool) error) error {
	if err := got(time.Now(), "started", false); err != nil || !i.goesOn {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestCutIsNoEnd: a log that is cut by a stop, or by a role that was lost, does not say that
// the instance has ended.
func TestCutIsNoEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		goesOn, stop bool
		ends         bool
	}{
		"the instance ends": {ends: true},
		"a stop":            {goesOn: true, stop: true},
		"a role is lost":    {goesOn: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, rec, streams := time.Now(), httptest.NewRecorder(), stream.New()
			out, err := streams.Open(rec, httptest.NewRequest("GET", "/", nil), api.RoleOperator, func() bool {
				return tt.stop || time.Since(began) < 3*time.Second
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.stop {
				time.AfterFunc(2*time.Second, streams.Stop)
			}
			Follow(out, instance{tt.goesOn}, &catalog.Instance{}, 1)
			out.Close()
			if body := rec.Body.String(); !strings.Contains(body, `"started"`) || strings.Contains(body, "event: end") != tt.ends {
				t.Errorf("%s: %s", name, body)
			}
		})
	}
}
