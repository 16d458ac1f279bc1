package discovery

import (
	"slices"
	"time"

	"fairway/internal/catalog"
)

// massFrom is of how many services losing more than half waits for confirmation.
const massFrom = 4

// guard keeps services that vanish in masses until that is confirmed: a source may suddenly
// say, without an error, that nothing exists. It is a pure function of the services kept so
// far, an answer, and since when services are held; it returns what to keep now.
//
// Services are held when the answer lacks all, or more than half of at least four, or some
// are held already. An answer that comes at least confirm after a service was first missed
// and still lacks it lets it go.
func guard(before, answer []*catalog.Service, held map[string]time.Time, now time.Time, confirm time.Duration) (kept []*catalog.Service, holds map[string]time.Time) {
	present := make(map[string]bool, len(answer))
	for _, s := range answer {
		present[s.ID] = true
	}
	var missing []*catalog.Service
	active := false
	for _, s := range before {
		if present[s.ID] {
			continue
		}
		missing = append(missing, s)
		_, already := held[s.ID]
		active = active || already
	}
	doubtful := active || len(missing) > 0 &&
		(len(missing) == len(before) || len(before) >= massFrom && 2*len(missing) > len(before))
	if !doubtful {
		return answer, nil
	}
	kept = slices.Clone(answer)
	holds = make(map[string]time.Time)
	for _, s := range missing {
		since, already := held[s.ID]
		if !already {
			since = now
		}
		if already && now.Sub(since) >= confirm {
			continue
		}
		kept = append(kept, s)
		holds[s.ID] = since
	}
	return kept, holds
}
