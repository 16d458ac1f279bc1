package app

import (
	"os"
	"sync"
	"time"
)

// logFile is a file that is appended to. When another program has moved or removed
// it, as logrotate does, the next lines go to a new file of its name.
type logFile struct {
	path string

	mu     sync.Mutex // orders Write, which one goroutine calls, and Close
	file   *os.File
	looked time.Time
}

// logLook is how often a logFile looks whether its name still means its file.
const logLook = time.Second

func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path, looked: time.Now()}
	var err error
	l.file, err = l.open()
	return l, err
}

func (l *logFile) open() (*os.File, error) {
	return os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

// Write appends.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.looked) >= logLook {
		l.looked = now
		l.follow()
	}
	return l.file.Write(p)
}

// follow opens the file of the name when that is another one. What cannot be opened
// leaves the file of before.
func (l *logFile) follow() {
	mine, err := l.file.Stat()
	if err != nil {
		return
	}
	if named, err := os.Stat(l.path); err == nil && os.SameFile(mine, named) {
		return
	}
	if next, err := l.open(); err == nil {
		_ = l.file.Close()
		l.file = next
	}
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
