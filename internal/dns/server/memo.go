package server

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"sync"

	"fairway/internal/dns"
	"fairway/internal/metrics"

	miekg "github.com/miekg/dns"
)

const (
	memoShards = 64
	memoBytes  = 16 << 20 // in all; a shard that has its share begins anew
	entryCosts = 160      // bytes beside those of key and replies, about
	variants   = 8        // replies that are kept where the order of records cannot be changed in them
	headerLen  = 12
	maxMemoRaw = 300 // bytes of a question that is kept
)

// memo keeps the replies of one zone: packets that differ in nothing but the ID, of askers who
// see alike, get the same reply but for the order of its records. Its methods may be called by
// any goroutine.
type memo struct {
	zone   *dns.Zone
	seed   maphash.Seed
	shards [memoShards]memoShard
}

type memoShard struct {
	mu    sync.RWMutex
	bytes int
	kept  map[string]*kept
}

// kept is immutable.
type kept struct {
	replies [][]byte // one of them is sent
	count   int      // records that may be in any order, of size bytes each, from at on; 0 for none
	size    int
	at      int
	whole   bool // there are enough replies
	qtype   uint16
	rcode   int
	counter *metrics.Counter
}

func newMemo(z *dns.Zone) *memo { return &memo{zone: z, seed: maphash.MakeSeed()} }

// appendKey appends what the reply to a packet depends on; false where it is not kept.
func (m *memo) appendKey(key []byte, p dns.Packet) ([]byte, bool) {
	if p.TCP || len(p.Raw) < headerLen || len(p.Raw) > maxMemoRaw {
		return key, false
	}
	key, ok := m.zone.AppendView(key, p.From)
	return append(key, p.Raw[2:]...), ok
}

func (m *memo) shard(key []byte) *memoShard {
	return &m.shards[maphash.Bytes(m.seed, key)%memoShards]
}

// get returns what is kept of a key; nil for nothing that can be sent.
func (m *memo) get(key []byte) *kept {
	s := m.shard(key)
	s.mu.RLock()
	k := s.kept[string(key)]
	s.mu.RUnlock()
	if k == nil || !k.whole {
		return nil
	}
	return k
}

// put keeps a reply that Handle has made, with what counts it.
func (m *memo) put(key []byte, r dns.Reply, counter *metrics.Counter) {
	if !r.Keep {
		return
	}
	next := &kept{replies: [][]byte{r.Out}, whole: true, qtype: r.Type, rcode: r.Rcode, counter: counter}
	if n := int(binary.BigEndian.Uint16(r.Out[6:])); n > 1 {
		if next.at, next.size = alike(r.Out, n); next.size > 0 && r.AnyOrder {
			next.count = n
		} else if next.whole = false; r.Type != miekg.TypeSRV {
			return
		}
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	cost := len(r.Out) + 24
	if before := s.kept[string(key)]; before != nil && !next.whole {
		if before.whole {
			return
		}
		next.replies = append(before.replies[:len(before.replies):len(before.replies)], r.Out)
		next.whole = len(next.replies) >= variants
	} else if before != nil {
		return
	} else {
		cost += len(key) + entryCosts
	}
	if s.bytes += cost; s.kept == nil || s.bytes > memoBytes/memoShards {
		s.kept, s.bytes = map[string]*kept{}, cost
	}
	s.kept[string(key)] = next
}

// alike finds the records of an answer where all have the name of the question, and one size;
// zero where they have not.
func alike(reply []byte, n int) (at, size int) {
	at = questionEnd(reply)
	const fixed = 12 // bytes of a record before its data
	for i, next := 0, at; i < n; i++ {
		if next+fixed > len(reply) || reply[next] != 0xc0 || reply[next+1] != headerLen {
			return 0, 0
		}
		qtype, length := binary.BigEndian.Uint16(reply[next+2:]), int(binary.BigEndian.Uint16(reply[next+10:]))
		if qtype != miekg.TypeA && qtype != miekg.TypeAAAA || size != 0 && size != fixed+length {
			return 0, 0
		}
		size = fixed + length
		next += size
	}
	return at, size
}

// questionEnd is where the question of a packet ends, whose name is written out.
func questionEnd(packet []byte) int {
	at := headerLen
	for at < len(packet) && packet[at] != 0 {
		at += int(packet[at]) + 1
	}
	return min(at+5, len(packet))
}

// appendReply appends a reply to the question raw.
func (k *kept) appendReply(out, raw []byte) []byte {
	reply := k.replies[0]
	if n := len(k.replies); n > 1 {
		reply = k.replies[rand.IntN(n)]
	}
	begin := len(out)
	out = append(out, reply...)
	copy(out[begin:], raw[:2])
	if k.count > 1 {
		shuffle(out[begin+k.at:begin+k.at+k.count*k.size], k.size)
	}
	return out
}

// shuffle puts records of a size into a random order.
func shuffle(records []byte, size int) {
	var held [28]byte // of AAAA; those of A are shorter
	for i := len(records)/size - 1; i > 0; i-- {
		j := rand.IntN(i + 1)
		a, b := records[i*size:(i+1)*size], records[j*size:(j+1)*size]
		copy(held[:], a)
		copy(a, b)
		copy(b, held[:size])
	}
}
