package swarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/swarm"
	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi/dockertest"
)

// TestRandomHistory lets anything happen in any order, managers failing in
// between, and demands that once all is well the tasks that can serve are ready,
// and no others.
func TestRandomHistory(t *testing.T) {
	states := []swarm.TaskState{"new", "pending", "assigned", "preparing", "ready", "starting", "running", "complete", "shutdown", "failed", "rejected", "orphaned"}
	wishes := []swarm.TaskState{"ready", "running", "shutdown", "remove"}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [4]int {
			return [4]int{rapid.IntRange(0, 9).Draw(rt, "what"), rapid.IntRange(0, 5).Draw(rt, "which"), rapid.IntRange(0, 11).Draw(rt, "how"), rapid.IntRange(0, 4000).Draw(rt, "pause")}
		}), 1, 25).Draw(rt, "steps")
		bubble(t, 2, withShop, func(l *lab, w *watch) {
			for _, s := range steps {
				id, service, e := fmt.Sprintf("t%d", s[1]), []string{"shop", "api"}[s[1]%2], l.engines[s[1]%2]
				switch s[0] {
				case 0, 1, 2:
					l.task(id, service, is(states[s[2]]), at(s[1]+1, fmt.Sprintf("n%d", s[2]%3+1)))
				case 3:
					l.task(id, service, want(wishes[s[2]%4]))
				case 4:
					l.removeTask(id)
				case 5:
					l.service(service)
				case 6:
					l.removeService(service)
				case 7:
					l.node(fmt.Sprintf("n%d", s[1]%3+1), []swarm.NodeState{"ready", "down", "unknown"}[s[2]%3])
				case 8:
					e.container([]string{"kill", "die"}[s[2]%2], id, "signal", "15")
				case 9:
					e.Disturb("/tasks", []dockertest.Fault{dockertest.Error, "", dockertest.Truncate}[s[2]%3])
				}
				time.Sleep(time.Duration(s[3]) * time.Millisecond)
			}
			for _, e := range l.engines {
				e.Calm()
			}
			time.Sleep(hintTTL + 15*time.Second)
			synctest.Wait()
			var got []string
			for line := range strings.SplitSeq(describe(w.newest()), "\n") {
				if strings.Contains(line, " "+string(catalog.StateReady)+" ") {
					name, _, _ := strings.Cut(line, " ready")
					got = append(got, name)
				}
			}
			if diff := cmp.Diff(l.ready(), got); diff != "" {
				rt.Errorf("ready (-want +got):\n%s\n%s", diff, describe(w.newest()))
			}
		})
	})
}

// ready lists the tasks that shall be served, the simple way.
func (l *lab) ready() (list []string) {
	l.do(func() {
		for _, t := range l.tasks {
			s := l.services[t.ServiceID]
			if s != nil && t.Status.State == "running" && t.DesiredState == "running" && l.nodes[t.NodeID].Status.State != "down" {
				list = append(list, fmt.Sprintf("%s@swarm: %s.%d", s.Spec.Name, s.Spec.Name, t.Slot))
			}
		}
	})
	slices.Sort(list)
	return list
}
