package forward

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxBytes    = 16 << 20
	maxPositive = time.Hour
	maxNegative = time.Minute
	maxFailure  = 2 * time.Second
	keepExpired = time.Hour // for the case that no resolver answers
	staleTTL    = 30
)

// cache keeps answers. What goes for want of a place is any of them.
type cache struct {
	most int

	mu      sync.Mutex
	entries map[string]*entry
	bytes   int
}

// entry is an answer that was kept; it is not changed.
type entry struct {
	m       *dns.Msg
	came    time.Time
	expires time.Time
	size    int
}

func newCache(most int) *cache { return &cache{most: most, entries: map[string]*entry{}} }

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// keyOf is what answers depend on.
func keyOf(question *dns.Msg) string {
	q := question.Question[0]
	opt := question.IsEdns0()
	return fmt.Sprintf("%s %d %t %t", strings.ToLower(q.Name), q.Qtype, question.CheckingDisabled, opt != nil && opt.Do())
}

// get returns an entry, nil for none, and whether it holds at this moment.
func (c *cache) get(key string, now time.Time) (*entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil || now.Sub(e.expires) > keepExpired {
		return nil, false
	}
	return e, now.Before(e.expires)
}

func (c *cache) put(key string, m *dns.Msg, now time.Time) {
	ttl := lifetime(m)
	if c.most == 0 || ttl <= 0 {
		return
	}
	e := &entry{m: m, came: now, expires: now.Add(ttl), size: m.Len() + len(key) + 256}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[key]; old != nil {
		if m.Rcode == dns.RcodeServerFailure && old.m.Rcode != dns.RcodeServerFailure {
			return // what was known is of more use when nothing answers
		}
		c.bytes -= old.size
		delete(c.entries, key)
	}
	for victim, old := range c.entries {
		if len(c.entries) < c.most && c.bytes+e.size <= maxBytes {
			break
		}
		c.bytes -= old.size
		delete(c.entries, victim)
	}
	c.entries[key] = e
	c.bytes += e.size
}

// lifetime is how long an answer may be kept.
func lifetime(m *dns.Msg) time.Duration {
	least := func(list []dns.RR, most time.Duration) time.Duration {
		for _, rr := range list {
			if rr.Header().Rrtype != dns.TypeOPT {
				most = min(most, time.Duration(rr.Header().Ttl)*time.Second)
			}
		}
		return most
	}
	switch {
	case m.Rcode == dns.RcodeSuccess && len(m.Answer) > 0:
		return least(m.Answer, maxPositive)
	case m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError:
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				return min(maxNegative, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
			}
		}
		return 0 // it does not say for how long
	case m.Rcode == dns.RcodeServerFailure:
		return maxFailure
	}
	return 0
}

// at is the answer at a moment: its times to live have gone down.
func (e *entry) at(now time.Time) *dns.Msg {
	age := uint32(now.Sub(e.came) / time.Second)
	return e.with(func(ttl uint32) uint32 { return ttl - min(ttl, age) })
}

// stale is the answer after its time.
func (e *entry) stale() *dns.Msg {
	return e.with(func(uint32) uint32 { return staleTTL })
}

func (e *entry) with(ttl func(uint32) uint32) *dns.Msg {
	m := e.m.Copy()
	for _, list := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range list {
			if rr.Header().Rrtype != dns.TypeOPT {
				rr.Header().Ttl = min(ttl(rr.Header().Ttl), uint32(maxPositive/time.Second))
			}
		}
	}
	return m
}
