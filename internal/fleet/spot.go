package fleet

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"fairway/internal/history"
)

// spot is what the running process knows of one place. It is not durable: what
// must outlive the process is in the ledger.
type spot struct {
	place Place
	hand  hand
	turn  chan struct{} // holds one token: one hand at a time is on a container

	mu      sync.Mutex
	sight   Sight     // the newest good look; Time is zero while there is none
	reading *Reading  // the newest
	recent  *Reading  // what was counted between the two newest readings
	err     error     // why the newest look has failed
	unread  error     // why there is no reading, when there should be one
	tried   time.Time // when the newest look ended
	repair  error     // why what is owed could not be given
	wait    time.Duration
	after   time.Time // when it may be tried again

	digests map[uint64]string // of revisions as this place has them, for templates
}

func newSpot(p Place, h hand) *spot {
	return &spot{place: p, hand: h, turn: make(chan struct{}, 1), digests: map[uint64]string{}}
}

// same tells whether two places are the same, apart from what templates use.
func (p Place) same(q Place) bool {
	return maps.Equal(p.Values, q.Values) && p.Host == q.Host && p.Docker == q.Docker && p.Document == q.Document && p.Container == q.Container &&
		p.Label == q.Label && p.File == q.File && p.Stats == q.Stats && p.StatsUser == q.StatsUser
}

// take waits for its turn; leave gives it back.
func (s *spot) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *spot) leave() { <-s.turn }

// look looks at the host and remembers what it saw. The caller has the turn.
func (s *spot) look(ctx context.Context, content bool) (Sight, error) {
	sight, err := s.hand.look(ctx, content)
	if gone(ctx, err) {
		return sight, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.err = time.Now(), err
	if err != nil {
		s.reading, s.recent = nil, nil // nobody shall take them for those of now
		return sight, err
	}
	sight.Time = s.tried
	s.sight = sight
	s.sight.Content = nil // a thousand of them may be much
	return sight, nil
}

// gone is true where whoever asked has gone before there was an answer, as those do who
// leave a page: that says nothing of the host.
func gone(ctx context.Context, err error) bool {
	return err != nil && errors.Is(ctx.Err(), context.Canceled)
}

// readTime is how long a reading may take.
const readTime = 5 * time.Second

// read takes a reading and remembers it. It needs no turn.
func (s *spot) read(ctx context.Context) (Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	r, err := s.hand.read(ctx)
	if gone(ctx, err) {
		return r, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread = err; err != nil {
		s.reading, s.recent = nil, nil // nobody shall take them for those of now
		return r, err
	}
	if s.reading != nil && r.Time.Sub(s.reading.Time) >= time.Second {
		between := r.since(s.reading)
		s.recent = &between
	}
	s.reading = &r
	return r, nil
}

// baseline is what the host's HAProxy did of late, to compare with after a
// change: since the last reading when enough came in, else since its worker
// began. Nil when it cannot be asked.
func (s *spot) baseline(ctx context.Context) *Reading {
	s.mu.Lock()
	last := s.reading
	s.mu.Unlock()
	now, err := s.read(ctx)
	if err != nil {
		return nil
	}
	if last != nil {
		if of := now.since(last); of.Requests >= enough {
			return &of
		}
	}
	return &now
}

// enough requests say how a HAProxy usually does.
const enough = 200

// last returns what is known without asking anybody.
func (s *spot) last() (sight Sight, reading, recent *Reading, tried time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sight, s.reading, s.recent, s.tried, s.err
}

// digest is the digest of a revision as this place has it.
func (f *Fleet) digest(s *spot, r history.Revision) (string, error) {
	if !f.current().Templates[s.place.Document] {
		return r.Digest, nil
	}
	s.mu.Lock()
	digest, ok := s.digests[r.Number]
	s.mu.Unlock()
	if ok {
		return digest, nil
	}
	content, err := f.content(s.place, r)
	if err != nil {
		return "", err
	}
	digest = digestOf(content)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[r.Number] = digest
	return digest, nil
}

// content is a revision as a place has it.
func (f *Fleet) content(p Place, r history.Revision) ([]byte, error) {
	if r.Content == nil {
		var err error
		if r, err = f.Revision(r.Document, r.Number); err != nil {
			return nil, err
		}
	}
	return f.current().render(r.Content, p)
}

// maxRendered is how many revisions of a template are tried to recognise one.
const maxRendered = 50

// recognise finds the revision that a digest is of; zero for none.
func (f *Fleet) recognise(s *spot, digest string) (uint64, error) {
	list, err := f.revisions(s.place.Document)
	if err != nil {
		return 0, err
	}
	template := f.current().Templates[s.place.Document]
	for i, r := range list {
		if template && i == maxRendered {
			break
		}
		// A revision of before a template has got its values cannot be rendered.
		if d, err := f.digest(s, r); err == nil && d == digest {
			return r.Number, nil
		}
	}
	return 0, nil
}

// byDigest returns what has a digest: a revision as the place has it, or what
// was kept.
func (f *Fleet) byDigest(s *spot, digest string) ([]byte, error) {
	number, err := f.recognise(s, digest)
	if err != nil {
		return nil, err
	}
	if number > 0 {
		r, err := f.Revision(s.place.Document, number)
		if err != nil {
			return nil, err
		}
		return f.content(s.place, r)
	}
	return f.ledger.kept(digest)
}
