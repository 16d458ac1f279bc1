package traffic

import (
	"os"
	"sync"
	"time"
)

// File is the file of an access log. When another program has moved or removed it, as
// logrotate does, the next lines go to a new file of its name.
type File struct {
	path string

	mu     sync.Mutex // orders Write, which one goroutine calls, and Close
	file   *os.File
	looked time.Time
}

// lookEvery is how often a File looks whether its name still means its file.
const lookEvery = time.Second

// OpenFile opens the file of a name to append to it.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, looked: time.Now()}
	var err error
	f.file, err = f.open()
	return f, err
}

func (f *File) open() (*os.File, error) {
	return os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

// Write appends.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= lookEvery {
		f.looked = now
		f.follow()
	}
	return f.file.Write(p)
}

// follow opens the file of the name when that is another one. What cannot be opened
// leaves the file of before.
func (f *File) follow() {
	mine, err := f.file.Stat()
	if err != nil {
		return
	}
	if named, err := os.Stat(f.path); err == nil && os.SameFile(mine, named) {
		return
	}
	if next, err := f.open(); err == nil {
		_ = f.file.Close()
		f.file = next
	}
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
