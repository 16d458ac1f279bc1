// Package files reads files whose names or contents come from outside: from labels,
// from mounted directories, from an operator's configuration. It reads regular files
// alone and never more than a bound: a FIFO, a device or a file without end stops
// nothing.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrOutside is the reason why a file is not opened whose path is below none of the
// directories that were given.
var ErrOutside = errors.New("the file is not below a directory that may be named")

// ErrNotRegular is the reason why what is no regular file is not read.
var ErrNotRegular = errors.New("it is not a regular file")

// Read returns the contents of a regular file of at most most bytes; links are followed.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Read(most)
}

// maxSecret bounds a file with a secret, in bytes.
const maxSecret = 64 << 10

// Secret reads a file that holds a secret and nothing else but space around it. An empty one
// is an error.
func Secret(path string) (string, error) {
	data, err := Read(path, maxSecret)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", errors.New(path + " is empty")
	}
	return secret, nil
}

// ReadStream is Read for a path that the operator names: what it reads may be a pipe
// or a terminal, too, and it waits for the end of it.
func ReadStream(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return (&File{file: f}).Read(most)
}

// File is a regular file that is open for reading.
type File struct {
	file *os.File
	// Stamp is that of the moment when it was opened.
	Stamp Stamp
}

// Open opens a regular file, and waits for no other process, as with a FIFO.
func Open(path string) (*File, error) {
	return regular(os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0))
}

// OpenBelow is Open for a path from a label: it must be below one of the directories,
// by its text and with every symbolic link on the way resolved. The directories
// themselves may be links.
func OpenBelow(dirs []string, path string) (*File, error) {
	dir, name, ok := below(dirs, path)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrOutside}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := regular(root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0))
	var at *fs.PathError
	if errors.As(err, &at) {
		err = &fs.PathError{Op: "open", Path: path, Err: at.Err} // the whole path, for people
	}
	return f, err
}

// ReadBelow is Read for a path from a label; see OpenBelow.
func ReadBelow(dirs []string, path string, most int64) ([]byte, error) {
	f, err := OpenBelow(dirs, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Read(most)
}

// Below reports whether a path is, by its text, below one of the directories.
func Below(dirs []string, path string) bool {
	_, _, ok := below(dirs, path)
	return ok
}

// below returns the directory that a path is in, and its name there.
func below(dirs []string, path string) (dir, name string, ok bool) {
	if !filepath.IsAbs(path) {
		return "", "", false
	}
	path = filepath.Clean(path)
	for _, d := range dirs {
		d = filepath.Clean(d)
		rest, in := strings.CutPrefix(path, strings.TrimSuffix(d, string(filepath.Separator))+string(filepath.Separator))
		if in && rest != "" && filepath.IsAbs(d) && len(d) > len(dir) {
			dir, name, ok = d, rest, true
		}
	}
	return dir, name, ok
}

func regular(f *os.File, err error) (*File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: ErrNotRegular}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &File{f, stampOf(info)}, nil
}

// Read returns the contents; what has more than most bytes is an error.
func (f *File) Read(most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f.file, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, &fs.PathError{Op: "read", Path: f.file.Name(), Err: fmt.Errorf("it has more than %d bytes", most)}
	}
	return data, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Stamp shows whether a file changed; zero is that of a file that cannot be seen.
type Stamp struct {
	modified time.Time
	size     int64
	// fresh is true when the file was changed so lately that another change
	// might leave the same stamp: clocks of file systems are coarse.
	fresh bool
}

const freshFor = 2 * time.Second

// StampOf returns the stamp of a file.
func StampOf(path string) Stamp {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}
	}
	return stampOf(info)
}

func stampOf(info fs.FileInfo) Stamp {
	age := time.Since(info.ModTime())
	return Stamp{modified: info.ModTime(), size: info.Size(), fresh: age < freshFor && age > -freshFor}
}

// Same reports whether two stamps are equal.
func (s Stamp) Same(other Stamp) bool {
	return s.modified.Equal(other.modified) && s.size == other.size
}

// Holds reports whether a file that had s when it was read is certain to be unchanged.
func (s Stamp) Holds(now Stamp) bool { return s.Same(now) && !s.fresh }
