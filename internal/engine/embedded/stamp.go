package embedded

import (
	"os"
	"time"
)

// fileStamp tells whether a file changed, without reading it.
type fileStamp struct {
	modified time.Time
	size     int64
	// fresh is true when the file was changed so lately that another change
	// might leave the same stamp: clocks of file systems are coarse.
	fresh bool
}

// freshFor is how long a file counts as fresh.
const freshFor = 2 * time.Second

// stampOf returns the zero stamp for a file that cannot be seen.
func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	age := time.Since(info.ModTime())
	return fileStamp{modified: info.ModTime(), size: info.Size(), fresh: age < freshFor && age > -freshFor}
}

// same reports whether two stamps are equal.
func (s fileStamp) same(other fileStamp) bool {
	return s.modified.Equal(other.modified) && s.size == other.size
}

// holds reports whether a file that had the stamp s when it was read, and has now
// these, is certain to be unchanged.
func (s fileStamp) holds(now fileStamp) bool { return s.same(now) && !s.fresh }
