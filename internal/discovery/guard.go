package discovery

import (
	"slices"
	"time"

	"fairway/internal/catalog"
)

// massFrom is the number of services from which on losing more than half of
// them at once waits for confirmation.
const massFrom = 4

// guard keeps services that vanish in masses until their absence is confirmed:
// the commonest outage of its kind is a source that suddenly says, without an
// error, that nothing exists. guard is a pure function.
//
// before are the services kept so far (held ones included), answer is what an
// error-free answer has, and held says since when services have been held. The
// result is what to keep now: the answer, and those of before that are missing
// in it but held.
//
// Services are held when the answer lacks every service of before, or more
// than half of at least four; and while some are held, whatever else goes
// missing is held, too. A service is let go by an answer that comes at least
// confirm after it was first missed and still lacks it. An answer that has it
// again ends its hold.
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
