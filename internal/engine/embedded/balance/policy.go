package balance

import (
	"math"
	"math/rand/v2"

	"fairway/internal/route"
)

// choose picks one of the candidates by policy, nil when there are none. Every
// candidate has a share above zero. The caller holds the backend's lock.
func choose(policy route.BalancePolicy, candidates []*Endpoint, k Key) *Endpoint {
	switch len(candidates) {
	case 0:
		return nil
	case 1:
		return candidates[0]
	}
	switch policy {
	case route.BalanceLeastConn:
		return leastConn(candidates)
	case route.BalanceRandom2:
		return random2(candidates)
	case route.BalanceHash:
		return rendezvous(candidates, hashKey(k))
	default:
		return roundRobin(candidates)
	}
}

// roundRobin is smooth weighted round-robin: every candidate gains its share,
// the richest is picked and pays what all have gained.
func roundRobin(candidates []*Endpoint) *Endpoint {
	best := candidates[0]
	var total int64
	for _, e := range candidates {
		e.current += e.share
		total += e.share
		if e.current > best.current {
			best = e
		}
	}
	best.current -= total
	return best
}

// leastConn picks the least busy by share, and goes round among equals.
func leastConn(candidates []*Endpoint) *Endpoint {
	least := loadOf(candidates[0])
	for _, e := range candidates[1:] {
		if l := loadOf(e); l.less(least) {
			least = l
		}
	}
	var best *Endpoint
	var total int64
	for _, e := range candidates {
		// Requests that end meanwhile make loads smaller, never greater: there
		// is always one that is not above the least.
		if least.less(loadOf(e)) {
			continue
		}
		e.current += e.share
		total += e.share
		if best == nil || e.current > best.current {
			best = e
		}
	}
	best.current -= total
	return best
}

// random2 draws two different candidates by weight and picks the less busy one;
// of two equals the first drawn, which keeps the weights when none is busy.
func random2(candidates []*Endpoint) *Endpoint {
	var total int64
	for _, e := range candidates {
		total += e.share
	}
	first := draw(candidates, nil, total)
	second := draw(candidates, first, total-first.share)
	if loadOf(second).less(loadOf(first)) {
		return second
	}
	return first
}

// draw picks one other than not, by share; total is the sum of the shares.
func draw(candidates []*Endpoint, not *Endpoint, total int64) *Endpoint {
	n := rand.Int64N(total)
	var last *Endpoint
	for _, e := range candidates {
		if e == not {
			continue
		}
		last = e
		if n -= e.share; n < 0 {
			break
		}
	}
	return last
}

// load is how busy an endpoint is in relation to its share.
type load struct{ inFlight, share int64 }

func loadOf(e *Endpoint) load { return load{e.inFlight.Load(), e.share} }

func (l load) less(m load) bool { return l.inFlight*m.share < m.inFlight*l.share }

// rendezvous is weighted highest random weight hashing: every candidate draws a score
// from the key, the highest wins. One that leaves or joins moves no other's keys.
func rendezvous(candidates []*Endpoint, key uint64) *Endpoint {
	var best *Endpoint
	highest := math.Inf(-1)
	for _, e := range candidates {
		if s := score(key, e.hash, e.share); s > highest {
			best, highest = e, s
		}
	}
	return best
}

// score is -share/ln(u), u in (0,1): the highest is drawn in proportion to the share.
func score(key, endpoint uint64, share int64) float64 {
	u := (float64(mix(key^endpoint)>>11) + 0.5) / (1 << 53)
	return -float64(share) / math.Log(u)
}

// hashKey has no seed: a restart moves no client.
func hashKey(k Key) uint64 {
	if k.Hash != "" {
		return hashString(k.Hash)
	}
	client := k.Client.As16() // the same for an IPv4 address and its mapped form
	return hashString(string(client[:]))
}

// hashString is FNV-1a with 64 bits, mixed.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64: every bit of x changes half of the result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
