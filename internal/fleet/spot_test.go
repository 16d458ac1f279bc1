package fleet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// slowHand answers when whoever asks has lost patience or gone.
type slowHand struct{ hand }

func (slowHand) look(ctx context.Context, _ bool) (Sight, error) {
	<-ctx.Done()
	return Sight{}, errors.New("docker exec: " + ctx.Err().Error())
}

func (slowHand) read(ctx context.Context) (Reading, error) {
	<-ctx.Done()
	return Reading{}, errors.New("docker exec: " + ctx.Err().Error())
}

// Who leaves before there is an answer makes no host unreachable; one that does not
// answer in time is.
func TestLeavingSaysNothingOfTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpot(Place{}, slowHand{})
		s.reading = &Reading{}
		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		_, looked := s.look(left, true)
		_, read := s.read(left)
		if looked == nil || read == nil || s.err != nil || s.unread != nil || s.reading == nil || !s.tried.IsZero() {
			t.Errorf("after leaving: %v, %v; kept %v, %v, %v", looked, read, s.err, s.unread, s.reading)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, looked = s.look(late, true)
		_, read = s.read(t.Context())
		if looked == nil || read == nil || s.err == nil || s.unread == nil || s.reading != nil {
			t.Errorf("after no answer: %v, %v; kept %v, %v, %v", looked, read, s.err, s.unread, s.reading)
		}
	})
}
