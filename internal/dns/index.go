package dns

import (
	"hash/maphash"
	"iter"
	"maps"
)

// parts is into how many maps an index is parted: a change copies those that it touches.
const parts = 256

var indexSeed = maphash.MakeSeed()

// index is a map that is never changed once its zone is made; the zone after it shares what is
// the same. The zero value is empty.
type index[K comparable, V any] struct {
	parts *[parts]map[K]V
	own   *[parts]bool // those that may be changed, while the zone is being made
}

func partOf[K comparable](key K) int { return int(maphash.Comparable(indexSeed, key) % parts) }

func (x index[K, V]) get(key K) (v V, ok bool) {
	if x.parts == nil {
		return v, false
	}
	v, ok = x.parts[partOf(key)][key]
	return v, ok
}

// at is the value of a key; the zero value for none.
func (x index[K, V]) at(key K) V {
	v, _ := x.get(key)
	return v
}

// next is an index that may be changed and has all of this one.
func (x index[K, V]) next() index[K, V] {
	out := index[K, V]{parts: new([parts]map[K]V), own: new([parts]bool)}
	if x.parts != nil {
		*out.parts = *x.parts
	}
	return out
}

// set changes the value of a key in an index that next has made; keep is false to remove it.
func (x index[K, V]) set(key K, v V, keep bool) {
	i := partOf(key)
	if !x.own[i] {
		x.own[i] = true
		if x.parts[i] = maps.Clone(x.parts[i]); x.parts[i] == nil {
			x.parts[i] = map[K]V{}
		}
	}
	if keep {
		x.parts[i][key] = v
	} else {
		delete(x.parts[i], key)
	}
}

// all are the keys with their values, in no order.
func (x index[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if x.parts == nil {
			return
		}
		for _, part := range x.parts {
			for k, v := range part {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

func (x index[K, V]) len() (n int) {
	if x.parts != nil {
		for _, part := range x.parts {
			n += len(part)
		}
	}
	return n
}
