package docker

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"fairway/internal/dockerapi"
)

// copies are containers of one Compose service, as an engine lists or inspects them.
func copies(n int) (list []dockerapi.Container) {
	for i := range n {
		number := strconv.Itoa(i + 1)
		list = append(list, dockerapi.Container{
			ID: "id" + number, Name: "shop-web-" + number, Status: "running",
			Labels: map[string]string{labelComposeProject: "shop", labelComposeService: "web", labelNumber: number, "fairway.host": "a.test"},
			Ports:  []dockerapi.Port{{Number: 80, Protocol: "tcp"}},
		})
	}
	return list
}

// same says whether two sets of labels are one in memory.
func same(a, b map[string]string) bool {
	const probe = "probe"
	a[probe] = ""
	_, found := b[probe]
	delete(a, probe)
	return found
}

// TestNothingIsHeldTwice: the copies of a service share their labels, without the number, also after
// inspections; a list that says nothing new is answered with what is known.
func TestNothingIsHeldTwice(t *testing.T) {
	take := func(known map[string]*dockerapi.Container) (l listing) {
		in := newIntake(known)
		for _, c := range copies(3) {
			l.containers = append(l.containers, in.container(c))
		}
		return l
	}
	w := newWorld("docker", localHost, "")
	w.list(take(w.known()), w.mark(time.Now()))
	for _, c := range copies(3) {
		c.Inspected, c.Started, c.StopSignal = true, time.Unix(1, 0), "SIGQUIT"
		w.inspected(c, w.mark(time.Now()))
	}
	list, _ := w.services()
	want := copies(1)[0].Labels
	delete(want, labelNumber)
	for _, i := range list[0].Instances {
		if !maps.Equal(i.Labels, want) || !same(i.Labels, list[0].Instances[0].Labels) {
			t.Errorf("%s has the labels %v, or holds them alone", i.Name, i.Labels)
		}
	}
	for _, c := range take(w.known()).containers {
		if c != w.containers[c.ID].facts {
			t.Errorf("%s is held twice after a list that says nothing new", c.ID)
		}
	}
	stopped := copies(3)[1]
	stopped.Status = "exited"
	if c := newIntake(w.known()).container(stopped); c == w.containers[c.ID].facts || c.Status != "exited" || !same(c.Labels, list[0].Instances[0].Labels) {
		t.Errorf("one that stopped is listed as %+v", c)
	}
}

// TestListBesideInspection: what an inspection brought while a list was read is kept, and what is known
// elsewhere is not written.
func TestListBesideInspection(t *testing.T) {
	w := newWorld("docker", localHost, "")
	first, found := newIntake(nil), copies(1)[0]
	w.list(listing{containers: []*dockerapi.Container{first.container(found)}}, w.mark(time.Now()))
	in, began := newIntake(w.known()), w.mark(time.Now())
	again := in.container(copies(1)[0])
	inspected := copies(1)[0]
	inspected.Inspected, inspected.StopSignal = true, "SIGQUIT"
	w.inspected(inspected, w.mark(time.Now()))
	w.list(listing{containers: []*dockerapi.Container{again}}, began)
	if f := w.facts("id1"); !f.Inspected || f.StopSignal != "SIGQUIT" {
		t.Errorf("the inspection is lost: %+v", f)
	}
	if again.Inspected {
		t.Error("what the list had was written")
	}
}
