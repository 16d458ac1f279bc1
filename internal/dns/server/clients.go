package server

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/dns"
)

// maxClients is how many of those who ask are known; of more, those that asked long ago are
// forgotten.
const maxClients = 1000

// clients knows who asks. Its methods may be called by any goroutine.
type clients struct {
	mu  sync.Mutex
	all map[netip.Addr]client
}

type client struct {
	questions uint64
	last      int64 // seconds since 1970
}

// count notes a question.
func (c *clients) count(from netip.Addr, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, known := c.all[from]
	if !known && len(c.all) >= maxClients {
		c.forget()
	}
	c.all[from] = client{one.questions + 1, now.Unix()}
}

// forget makes place for one: the oldest of a few that are met by chance goes.
func (c *clients) forget() {
	var oldest netip.Addr
	met := 0
	for from, one := range c.all {
		if !oldest.IsValid() || one.last < c.all[oldest].last {
			oldest = from
		}
		if met++; met == 16 {
			break
		}
	}
	delete(c.all, oldest)
}

// list returns them, the newest first.
func (c *clients) list(z *dns.Zone) []names.NameClient {
	c.mu.Lock()
	out := make([]names.NameClient, 0, len(c.all))
	for from, one := range c.all {
		out = append(out, names.NameClient{Address: from.String(), Instance: z.InstanceAt(from), Questions: one.questions, Last: time.Unix(one.last, 0).UTC()})
	}
	c.mu.Unlock()
	slices.SortFunc(out, func(a, b names.NameClient) int {
		if n := b.Last.Compare(a.Last); n != 0 {
			return n
		}
		return strings.Compare(a.Address, b.Address)
	})
	return out
}
