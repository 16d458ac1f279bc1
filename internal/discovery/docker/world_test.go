package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"fairway/internal/dockerapi"
)

// crowd makes n containers as a list shows them.
func crowd(n int) listing {
	l := listing{networks: []dockerapi.Network{{ID: "net", Name: "web", Driver: "bridge"}}}
	for i := range n {
		l.containers = append(l.containers, &dockerapi.Container{
			ID: fmt.Sprintf("%064x", i), Name: fmt.Sprintf("web-%d", i), Image: "app:1", Status: "running", NetworkMode: "web",
			Labels:      map[string]string{"fairway.host": fmt.Sprintf("h%d.example.com", i), "maintainer": "somebody"},
			Created:     time.Unix(int64(i), 0).UTC(),
			Attachments: []dockerapi.Attachment{{Network: "web", NetworkID: "net", IPv4: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}},
			Ports:       []dockerapi.Port{{Number: 8080, Protocol: "tcp"}},
		})
	}
	return l
}

// again copies l the way a new list arrives: equal, and made anew.
func (l listing) again() listing {
	next := listing{networks: l.networks}
	for _, c := range l.containers {
		c := *c
		c.Labels = maps.Clone(c.Labels)
		next.containers = append(next.containers, &c)
	}
	return next
}

// TestQuietList demands that a list that says nothing new leaves every service
// as it was.
func TestQuietList(t *testing.T) {
	w := newWorld("docker", localHost, "")
	l := crowd(100)
	w.list(l, w.mark(time.Now()))
	w.changed(true)
	before, _ := w.services()
	w.list(l.again(), w.mark(time.Now()))
	if w.changed(true) {
		t.Error("something changed")
	}
	after, vanished := w.services()
	if vanished || len(after) != len(before) {
		t.Errorf("%d services, vanished %v", len(after), vanished)
	}
	known := map[any]bool{}
	for _, s := range before {
		known[s] = true
	}
	for _, s := range after {
		if !known[s] {
			t.Errorf("%s has a new pointer", s.ID)
		}
	}
}

func BenchmarkQuietList(b *testing.B) {
	w := newWorld("docker", localHost, "")
	l := crowd(10_000)
	w.list(l, w.mark(time.Now()))
	w.services()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		next := l.again()
		b.StartTimer()
		w.list(next, w.mark(time.Now()))
		w.services()
	}
}

func BenchmarkOneChange(b *testing.B) {
	w := newWorld("docker", localHost, "")
	l := crowd(10_000)
	w.list(l, w.mark(time.Now()))
	w.services()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		action := []string{"die", "health_status: healthy"}[i%2]
		w.containers[l.containers[5].ID].set("running", "", "")
		w.event(dockerapi.Event{Type: "container", Action: action, ID: l.containers[5].ID}, time.Now())
		if w.changed(true) {
			w.services()
		}
	}
}
