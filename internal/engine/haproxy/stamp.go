package haproxy

import (
	"os"
	"time"
)

// stamp tells whether a file changed, without reading it.
type stamp struct {
	modified time.Time
	size     int64
	// fresh is true when the file was changed so lately that another change
	// might leave the same stamp: clocks of file systems are coarse.
	fresh bool
}

// freshFor is how long a file counts as fresh.
const freshFor = 2 * time.Second

// stampOf returns the zero stamp for a file that cannot be seen.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	age := time.Since(info.ModTime())
	return stamp{modified: info.ModTime(), size: info.Size(), fresh: age < freshFor && age > -freshFor}
}

// same reports whether two stamps are equal.
func (s stamp) same(other stamp) bool {
	return s.modified.Equal(other.modified) && s.size == other.size
}

// holds reports whether a file that had the stamp s when it was read, and has now
// these, is certain to be unchanged.
func (s stamp) holds(now stamp) bool { return s.same(now) && !s.fresh }
