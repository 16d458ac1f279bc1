package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// Runs reports whether the instance has neither stopped nor got a signal to.
func (in *Instance) Runs() bool { return in.liveness() == 2 }

func (in *Instance) liveness() int {
	switch in.State {
	case StateStopped:
		return 0
	case StateLeaving:
		return 1
	}
	return 2
}

// Newest returns the newest of the instances that are best off: that run, else that are
// stopping. It is nil when there are none.
func (s *Service) Newest() *Instance {
	if len(s.Instances) == 0 {
		return nil
	}
	return slices.MaxFunc(s.Instances, func(a, b *Instance) int {
		return cmp.Or(
			cmp.Compare(a.liveness(), b.liveness()),
			a.Created.Compare(b.Created),
			strings.Compare(a.ID, b.ID),
			strings.Compare(a.Source, b.Source),
		)
	})
}
