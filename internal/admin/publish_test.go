package admin

import (
	"time"

	"fairway/internal/api/published"
)

// publishes has an entry of each kind.
type publishes struct{}

func (publishes) State() published.Published {
	return published.Published{
		Registry: "agent of Consul", Owner: "ab12cd34ab12cd34ab12cd34ab12cd34", State: "behind", Reason: "not everything could be written", Read: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
		Entries: []published.PublishedEntry{
			{ID: "fairway:ab12cd34:0123456789ab:80", Name: "shop", Address: "192.168.1.88", Port: 8000, Tags: []string{"v1"}, Check: "passing", State: "registered", Service: "shop@docker", Instance: hostile, Source: "docker"},
			{ID: "fairway:ab12cd34:0123456789ab:90", Name: "shop-90", Address: "192.168.1.88", Port: 9000, Check: "critical", Output: "starting", State: "missing", Why: "it is not there", Error: "consul: the token may not do that (403): Permission denied", Since: time.Date(2026, 7, 1, 11, 0, 0, 0, time.UTC), Service: "shop@docker", Instance: hostile, Source: "docker"},
		},
		Problems: []published.PublishedProblem{{Service: "shop@docker", Instance: hostile, Text: "port 91 is published on 127.0.0.1 alone, and no other machine reaches it"}},
	}
}

func (publishes) Apply(bool) {}
func (publishes) Withdraw()  {}
