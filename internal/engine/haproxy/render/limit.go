package render

import (
	"fairway/internal/engine/haproxy/rate"
	"fairway/internal/route"
)

// limitTable is the section that keeps the clients of a limit.
func limitTable(id string, place int, f *route.RateLimit) string {
	return "limit-" + digest("limit", id, itoa(place), itoa(f.Requests), f.Per.String(), itoa(f.Burst))
}

func (r *renderer) writeLimits(t *text, q *route.Route) {
	for i := range q.Filters {
		if f := q.Filters[i].RateLimit; f != nil {
			t.section("backend %s from %s", limitTable(q.ID, i, f), httpSection)
			t.note("rate limit of route %s", q.ID)
			t.line("stick-table type ipv6 size 65536 expire %s peers %s store gpt0", span(rate.Of(f).Expire), peersSection)
		}
	}
}

// rateLimit writes the rules of a limit. An IPv6 client is its /64.
func (d *dedicated) rateLimit(place int, f *route.RateLimit) {
	b, counter := rate.Of(f), d.limits
	d.limits++
	d.line("http-request track-sc%d var(txn.client),ipmask(32,64) table %s", counter, limitTable(d.route.ID, place, f))
	d.line("http-request set-var(txn.now) date(0,us),div(%d),and(%d)", b.Unit, rate.Wrap-1)
	d.line("http-request set-var(txn.full) sc_get_gpt0(%d)", counter)
	d.line("http-request set-var(txn.ahead) int(0)")
	d.line("http-request set-var(txn.ahead) var(txn.full),sub(txn.now),add(%d),and(%d),sub(%d) if !{ var(txn.full) -m int 0 }", rate.Wrap/2, rate.Wrap-1, rate.Wrap/2)
	d.line("http-request set-var(txn.ahead) int(0) if { var(txn.ahead) -m int lt 0 }")
	d.line("http-request set-var(txn.wait) var(txn.ahead),sub(%d),mul(%d),add(999999),div(1000000)", b.Burst, b.Unit)
	d.line("http-request set-var(txn.wait) int(3600) if { var(txn.wait) -m int gt 3600 }")
	tooMany := problem{status: 429, code: "rate-limited", text: "too many requests"}
	d.line("http-request return status 429 %s hdr Retry-After %%[var(txn.wait)] if { var(txn.ahead) -m int gt %d }", tooMany.payload(), b.Burst)
	d.line("http-request sc-set-gpt0(%d) var(txn.now),add(txn.ahead),add(%d),and(%d)", counter, b.Interval, rate.Wrap-1)
}
