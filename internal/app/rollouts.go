package app

import (
	"fmt"
	"strconv"

	"fairway/internal/fleet"
	"fairway/internal/notify"
)

// reportRollout reports how a rollout of the fleet has ended.
func (a *App) reportRollout(r fleet.Rollout) {
	_ = a.watching.notifier.Report(rolloutEvent(r)) // errors are logged
}

func rolloutEvent(r fleet.Rollout) notify.Event {
	e := notify.Event{
		Kind: notify.RolloutDone, Subject: "document/" + r.Document, Name: r.Document,
		Text:    fmt.Sprintf("revision %d of document %s is on all hosts", r.Revision, r.Document),
		Details: map[string]string{"author": r.Author, "message": r.Message, "rollout": strconv.FormatUint(r.Number, 10)},
	}
	if r.Phase != fleet.Done {
		e.Kind = notify.RolloutFailed
		e.Text = fmt.Sprintf("the rollout of revision %d of document %s ended as %s: %s", r.Revision, r.Document, r.Phase, r.Reason)
	}
	return e
}
