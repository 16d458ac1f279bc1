package fleet

import (
	"fmt"
	"slices"
)

// Tolerance says how much worse a HAProxy may do with a new revision than it did
// before. The zero value of each field means its default.
type Tolerance struct {
	// Factor is how many times as many requests, or connections to servers, may
	// fail as before, as a part of all; default 2.
	Factor float64 `json:"factor"`
	// Part is the part of all that may fail on top of before; default 0.01.
	Part float64 `json:"part"`
	// Least is how many failures it takes to say anything at all; default 5.
	Least int64 `json:"least"`
	// Down lets backends be without any server up that were not before.
	Down bool `json:"down,omitempty"`
}

func (t Tolerance) withDefaults() Tolerance {
	if t.Factor == 0 {
		t.Factor = 2
	}
	if t.Part == 0 {
		t.Part = 0.01
	}
	if t.Least == 0 {
		t.Least = 5
	}
	return t
}

// Worse says what is worse with one HAProxy than it was, in words; empty when
// nothing is. before is what was counted before the change, over whatever time;
// after what the new worker has counted since.
func Worse(before, after Reading, t Tolerance) string {
	t = t.withDefaults()
	if was, is, bad := t.exceeded(before.Failed, before.Requests, after.Failed, after.Requests); bad {
		return fmt.Sprintf("%.1f %% of requests fail, %.1f %% did before (%d of %d answered with a status from 500)",
			100*is, 100*was, after.Failed, after.Requests)
	}
	// Sessions stand for what TCP brings, requests for what HTTP brings.
	if was, is, bad := t.exceeded(before.ConnectFailures, max(before.Requests, before.Sessions), after.ConnectFailures, max(after.Requests, after.Sessions)); bad {
		return fmt.Sprintf("%d connections to servers failed among %d requests (%.1f %%, before %.1f %%)",
			after.ConnectFailures, max(after.Requests, after.Sessions), 100*is, 100*was)
	}
	for _, backend := range after.Down {
		if !t.Down && !slices.Contains(before.Down, backend) {
			return fmt.Sprintf("backend %s has no server up, which was not so before", backend)
		}
	}
	return ""
}

// exceeded compares two parts of a whole.
func (t Tolerance) exceeded(failedBefore, allBefore, failed, all int64) (was, is float64, bad bool) {
	if allBefore > 0 {
		was = float64(failedBefore) / float64(allBefore)
	}
	is = min(1, float64(failed)/float64(max(all, 1)))
	return was, is, failed >= t.Least && is > was*t.Factor && is > was+t.Part
}
