package rate

import (
	"math/rand/v2"
	"testing"
	"time"

	"fairway/internal/route"
)

// ask is what the rules of a rate limit do, with the 32 bits that HAProxy keeps. It
// returns how many seconds the client must wait, zero when it passes.
func (b Bucket) ask(full *uint32, micros int64) int64 {
	now := micros / b.Unit & (Wrap - 1)
	ahead := int64(0)
	if *full != 0 {
		ahead = (int64(*full)-now+Wrap/2)&(Wrap-1) - Wrap/2
	}
	ahead = max(ahead, 0)
	if ahead > b.Burst {
		return min(((ahead-b.Burst)*b.Unit+999_999)/1_000_000, 3600)
	}
	*full = uint32((now + ahead + b.Interval) & (Wrap - 1))
	return 0
}

// TestBucket holds the arithmetic to a token bucket in floating point, over hours
// and at every rate. HAProxy forgets a client when its bucket is full again, as
// expire has it.
func TestBucket(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		f := &route.RateLimit{Requests: 1 + rng.IntN(1000), Per: time.Duration(1+rng.IntN(3600)) * time.Second, Burst: 1 + rng.IntN(50)}
		b := Of(f)
		interval := f.Per.Seconds() / float64(f.Requests)
		if interval*float64(f.Burst) > 86400 {
			continue
		}
		tokens, last, full, seen := float64(f.Burst), 0.0, uint32(0), 0.0
		at := 1.7e9 + rng.Float64()*1e6
		for range 400 {
			at += rng.ExpFloat64() * interval
			if at-seen > b.Expire.Seconds() {
				full = 0
			}
			tokens = min(tokens+(at-last)/interval, float64(f.Burst))
			last, seen = at, at
			wait := b.ask(&full, int64(at*1e6))
			switch slack := 1e-3; {
			case wait == 0 && tokens < 1-slack:
				t.Fatalf("%+v: passed with %f tokens", f, tokens)
			case wait > 0 && tokens > 1+slack:
				t.Fatalf("%+v: must wait %d s with %f tokens", f, wait, tokens)
			case wait > 0:
				if want := (1 - tokens) * interval; float64(wait) < want-1e-3*f.Per.Seconds() || float64(wait) > want+1.01+1e-3*f.Per.Seconds() {
					if wait != 3600 {
						t.Fatalf("%+v: must wait %d s, want %f", f, wait, want)
					}
				}
			default:
				tokens--
			}
		}
	}
}
