package embedded

import (
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"fairway/internal/engine/embedded/bucket"
	"fairway/internal/route"
)

// limiterFor returns the limiter that the route, if any, had for the same limit, or a new one.
func (lr *liveRoute) limiterFor(def route.RateLimit) *bucket.Limiter {
	if lr != nil {
		for _, l := range lr.limiters {
			if l.Def() == def {
				return l
			}
		}
	}
	return bucket.New(def)
}

// limitRate refuses what comes too fast.
func limitRate(l *bucket.Limiter) filter {
	return func(_ context.Context, q *request) *answer {
		if slices.Contains(q.charged, l) {
			return nil
		}
		wait := l.Take(q.Client, time.Now())
		if wait <= 0 {
			q.charged = append(q.charged, l)
			return nil
		}
		seconds := min(int(math.Ceil(wait.Seconds())), 3600)
		return &answer{status: http.StatusTooManyRequests, code: "rate-limited", text: "too many requests", retryAfter: seconds}
	}
}
