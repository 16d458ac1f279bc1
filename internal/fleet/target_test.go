package fleet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/fleet/driver"
)

// slowDriver answers only when its caller has gone or run out of time.
type slowDriver struct{ hostDriver }

func (slowDriver) Observe(ctx context.Context, _ bool) (driver.Observation, error) {
	<-ctx.Done()
	return driver.Observation{}, errors.New("docker exec: " + ctx.Err().Error())
}

func (slowDriver) Read(ctx context.Context) (driver.Reading, error) {
	<-ctx.Done()
	return driver.Reading{}, errors.New("docker exec: " + ctx.Err().Error())
}

// A caller that leaves before there is an answer makes no host unreachable; a host
// that does not answer in time is.
func TestLeavingSaysNothingOfTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTarget(driver.Target{}, slowDriver{})
		s.reading = &driver.Reading{}
		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		_, observed := s.observe(left, true)
		_, read := s.read(left)
		if observed == nil || read == nil || s.err != nil || s.unread != nil || s.reading == nil {
			t.Errorf("after leaving: %v, %v; kept %v, %v, %v", observed, read, s.err, s.unread, s.reading)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, observed = s.observe(late, true)
		_, read = s.read(t.Context())
		if observed == nil || read == nil || s.err == nil || s.unread == nil || s.reading != nil {
			t.Errorf("after no answer: %v, %v; kept %v, %v, %v", observed, read, s.err, s.unread, s.reading)
		}
	})
}
