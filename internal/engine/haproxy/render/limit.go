package render

import (
	"time"

	"fairway/internal/route"
)

// bucket is a rate limit in HAProxy's arithmetic: the generic cell rate algorithm, a
// token bucket that keeps one number for each client, the time at which it is full again,
// modulo 2^32 in units long enough for half of it to hold a whole bucket.
type bucket struct {
	unit     int64 // microseconds
	interval int64 // units for one request
	burst    int64 // units by which the time of a client may be ahead
	expire   time.Duration
}

const wrap = 1 << 32

func bucketOf(f *route.RateLimit) bucket {
	burst := int64(max(f.Burst, 1))
	per := max(f.Per, time.Millisecond)
	interval := 24 * time.Hour / time.Duration(burst)
	if f.Requests > 0 {
		interval = max(per/time.Duration(f.Requests), time.Microsecond)
	}
	// Not more than a day is kept, as with the embedded engine.
	whole := min(float64(interval)*float64(burst), float64(24*time.Hour))
	unit := max(int64(whole/float64(time.Microsecond))/(wrap/4), 1)
	in := func(d float64) int64 { return int64(d / float64(time.Microsecond) / float64(unit)) }
	b := bucket{unit: unit, interval: max(in(float64(interval)), 1), expire: max(time.Duration(whole), time.Second)}
	b.burst = min(b.interval*(burst-1), wrap/2-b.interval)
	return b
}

// limitTable is the section that keeps the clients of a limit.
func limitTable(id string, place int, f *route.RateLimit) string {
	return "limit-" + digest("limit", id, itoa(place), itoa(f.Requests), f.Per.String(), itoa(f.Burst))
}

func (r *renderer) writeLimits(t *text, q *route.Route) {
	for i := range q.Filters {
		if f := q.Filters[i].RateLimit; f != nil {
			t.section("backend %s from %s", limitTable(q.ID, i, f), httpSection)
			t.note("rate limit of route %s", q.ID)
			t.line("stick-table type ipv6 size 65536 expire %s peers %s store gpt0", span(bucketOf(f).expire), peersSection)
		}
	}
}

// rateLimit writes the rules of a limit. An IPv6 client is its /64.
func (d *dedicated) rateLimit(place int, f *route.RateLimit) {
	b, counter := bucketOf(f), d.limits
	d.limits++
	d.line("http-request track-sc%d var(txn.client),ipmask(32,64) table %s", counter, limitTable(d.route.ID, place, f))
	d.line("http-request set-var(txn.now) date(0,us),div(%d),and(%d)", b.unit, wrap-1)
	d.line("http-request set-var(txn.full) sc_get_gpt0(%d)", counter)
	d.line("http-request set-var(txn.ahead) int(0)")
	d.line("http-request set-var(txn.ahead) var(txn.full),sub(txn.now),add(%d),and(%d),sub(%d) if !{ var(txn.full) -m int 0 }", wrap/2, wrap-1, wrap/2)
	d.line("http-request set-var(txn.ahead) int(0) if { var(txn.ahead) -m int lt 0 }")
	d.line("http-request set-var(txn.wait) var(txn.ahead),sub(%d),mul(%d),add(999999),div(1000000)", b.burst, b.unit)
	d.line("http-request set-var(txn.wait) int(3600) if { var(txn.wait) -m int gt 3600 }")
	tooMany := problem{status: 429, code: "rate-limited", text: "too many requests"}
	d.line("http-request return status 429 %s hdr Retry-After %%[var(txn.wait)] if { var(txn.ahead) -m int gt %d }", tooMany.payload(), b.burst)
	d.line("http-request sc-set-gpt0(%d) var(txn.now),add(txn.ahead),add(%d),and(%d)", counter, b.interval, wrap-1)
}
