package fleet

import (
	"fmt"
	"slices"

	"fairway/internal/fleet/driver"
)

// The gate stops a rollout when more requests, or connections to servers, fail than
// did before: at least leastFailures, more than worseFactor times the part of all that
// failed before, and more than worsePart of all on top of it.
const (
	leastFailures = 5
	worseFactor   = 2
	worsePart     = 0.01
)

// Worse says what is worse with one HAProxy than it was, in words; empty when
// nothing is. before is what was counted before the change, over any time;
// after what the new worker has counted since. allowDown lets backends be without any
// server up that were not before.
func Worse(before, after driver.Reading, allowDown bool) string {
	if was, is, bad := exceeded(before.Failed, before.Requests, after.Failed, after.Requests); bad {
		return fmt.Sprintf("%.1f %% of requests fail, %.1f %% did before (%d of %d answered with a status from 500)",
			100*is, 100*was, after.Failed, after.Requests)
	}
	// Sessions stand for what TCP brings, requests for what HTTP brings.
	if was, is, bad := exceeded(before.ConnectFailures, max(before.Requests, before.Sessions), after.ConnectFailures, max(after.Requests, after.Sessions)); bad {
		return fmt.Sprintf("%d connections to servers failed among %d requests (%.1f %%, before %.1f %%)",
			after.ConnectFailures, max(after.Requests, after.Sessions), 100*is, 100*was)
	}
	for _, backend := range after.Down {
		if !allowDown && !slices.Contains(before.Down, backend) {
			return fmt.Sprintf("backend %s has no server up, which was not so before", backend)
		}
	}
	return ""
}

// exceeded compares two parts of a whole.
func exceeded(failedBefore, allBefore, failed, all int64) (was, is float64, bad bool) {
	if allBefore > 0 {
		was = float64(failedBefore) / float64(allBefore)
	}
	is = min(1, float64(failed)/float64(max(all, 1)))
	return was, is, failed >= leastFailures && is > was*worseFactor && is > was+worsePart
}
