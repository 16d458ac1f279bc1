package discovery

import (
	"slices"
	"time"

	"fairway/internal/catalog"
)

// linger marks services of which nothing runs any more, but did a moment ago: a
// container that is restarted or replaced is stopped in between.
type linger struct {
	period  time.Duration
	up      map[string]bool     // ID of each service of the last list of which something ran
	stopped map[string]lingerer // the marked ones, by ID
}

// lingerer is a service of which nothing runs any more since a moment.
type lingerer struct {
	since         time.Time
	plain, marked *catalog.Service // as it came, and with the mark
}

// resume takes over a list of the last run, and returns it without marks: the moment of
// those that had one begins anew.
func (l *linger) resume(list []*catalog.Service) []*catalog.Service {
	list, l.up = slices.Clone(list), map[string]bool{}
	for i, s := range list {
		if s.RanLately {
			plain := *s
			plain.RanLately = false
			list[i], l.up[s.ID] = &plain, true
		}
	}
	return list
}

// mark returns the list with the marks, and when the first of them ends; zero for
// none. Unchanged services keep their pointers.
func (l *linger) mark(list []*catalog.Service, now time.Time) (marked []*catalog.Service, ends time.Time) {
	up, stopped := make(map[string]bool, len(list)), map[string]lingerer{}
	for _, s := range list {
		switch {
		case slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.State != catalog.StateStopped }):
			up[s.ID] = true
		default:
			x, known := l.stopped[s.ID]
			if l.up[s.ID] {
				x, known = lingerer{since: now}, true
			}
			end := x.since.Add(l.period)
			if !known || !now.Before(end) {
				break
			}
			if x.plain != s {
				copied := *s
				copied.RanLately = true
				x.plain, x.marked = s, &copied
			}
			stopped[s.ID] = x
			s = x.marked
			if ends.IsZero() || end.Before(ends) {
				ends = end
			}
		}
		marked = append(marked, s)
	}
	l.up, l.stopped = up, stopped
	return marked, ends
}
