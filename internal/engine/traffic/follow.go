package traffic

import (
	"slices"
	"sync/atomic"
)

// followRoom is how many lines wait for a follower; those that come meanwhile are lost.
const followRoom = 512

// Follower gets the lines of requests as they come, until Close.
type Follower struct {
	// C yields the lines.
	C    <-chan Request
	feed chan Request
	lost atomic.Uint64
	log  *Log
	want func(*Request) bool
}

// Lost is how many lines it did not get because it took the others too slowly.
func (f *Follower) Lost() uint64 { return f.lost.Load() }

// Close ends it. C is not closed.
func (f *Follower) Close() {
	f.log.changeFollowers(func(all []*Follower) []*Follower {
		return slices.DeleteFunc(all, func(one *Follower) bool { return one == f })
	})
}

// Follow gives the lines that want, called from any goroutine, is true for; also those of
// connections to TCP listeners, with the method TCP. It never keeps a request waiting.
func (l *Log) Follow(want func(*Request) bool) *Follower {
	feed := make(chan Request, followRoom)
	f := &Follower{C: feed, feed: feed, log: l, want: want}
	l.changeFollowers(func(all []*Follower) []*Follower { return append(all, f) })
	return f
}

// changeFollowers changes a copy of the list, which requests read without a lock.
func (l *Log) changeFollowers(change func([]*Follower) []*Follower) {
	for {
		before := l.followers.Load()
		var all []*Follower
		if before != nil {
			all = slices.Clone(*before)
		}
		var next *[]*Follower
		if all = change(all); len(all) > 0 {
			next = &all
		}
		if l.followers.CompareAndSwap(before, next) {
			return
		}
	}
}

// pass gives a line to those who follow.
func (l *Log) pass(line *Request) {
	all := l.followers.Load()
	if all == nil {
		return
	}
	for _, f := range *all {
		if !f.want(line) {
			continue
		}
		select {
		case f.feed <- *line:
		default:
			f.lost.Add(1)
		}
	}
}
