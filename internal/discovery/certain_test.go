package discovery

import (
	"testing"
	"time"

	"fairway/internal/catalog"
)

// What a source was told to leave out is gone at once; from any other source it
// would be held.
func TestCertainRemovalIsNotHeld(t *testing.T) {
	for _, certain := range []bool{false, true} {
		c, err := New(Options{Sources: []Source{newScript("a")}, Feed: &catalog.Feed{}, Confirm: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c.accept(c.states[0], catalog.Answer{Services: []*catalog.Service{{ID: "x@a", Source: "a"}}})
		c.accept(c.states[0], catalog.Answer{Certain: certain})
		if gone := len(c.states[0].services) == 0; gone != certain {
			t.Errorf("certain %v: gone %v", certain, gone)
		}
	}
}

// Certificates reach the snapshot, make it a new one when they change, and
// outlive the run.
func TestCertificatesAreFacts(t *testing.T) {
	feed := &catalog.Feed{}
	cert := catalog.Certificate{File: "/certs/a.pem", Source: "a"}
	o := Options{Sources: []Source{newScript("a")}, Feed: feed}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.publish()
	c.accept(c.states[0], catalog.Answer{Certificates: []catalog.Certificate{cert}})
	c.publish()
	s := feed.Newest()
	if s.Revision != 2 || len(s.Certificates) != 1 || s.Certificates[0] != cert {
		t.Fatalf("snapshot %+v", s)
	}
	o.Feed, o.Restored = &catalog.Feed{}, s
	if c, err = New(o); err != nil {
		t.Fatal(err)
	}
	c.restore()
	if got := o.Feed.Newest().Certificates; len(got) != 1 || got[0] != cert {
		t.Errorf("restored %v", got)
	}
}
