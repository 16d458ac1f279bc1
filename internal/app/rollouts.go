package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"fairway/internal/fleet"
	"fairway/internal/notify"
)

// rolloutEvery is how often rollouts are looked at.
const rolloutEvery = 2 * time.Second

// reportRollouts reports how rollouts of the fleet end, until ctx ends. Those that
// ended before are not reported.
func reportRollouts(ctx context.Context, n *notify.Notifier, f *fleet.Fleet) error {
	seen := map[string]fleet.Rollout{}
	ticker := time.NewTicker(rolloutEvery)
	defer ticker.Stop()
	for first := true; ; {
		list, err := f.List()
		for _, d := range list {
			r, name := d.Rollout, d.Newest.Document
			before, known := seen[name]
			seen[name] = r
			changed := !known || before.Number != r.Number || before.Phase != r.Phase
			if !first && changed && r.Number != 0 && r.Phase.Ended() {
				_ = n.Report(rolloutEvent(name, r)) // errors are logged
			}
		}
		first = first && err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func rolloutEvent(document string, r fleet.Rollout) notify.Event {
	e := notify.Event{
		Kind: notify.RolloutDone, Subject: "document/" + document, Name: document,
		Text:    fmt.Sprintf("revision %d of document %s is on all hosts", r.Revision, document),
		Details: map[string]string{"author": r.Author, "message": r.Message, "rollout": strconv.FormatUint(r.Number, 10)},
	}
	if r.Phase != fleet.Done {
		e.Kind = notify.RolloutFailed
		e.Text = fmt.Sprintf("the rollout of revision %d of document %s ended as %s: %s", r.Revision, document, r.Phase, r.Reason)
	}
	return e
}
