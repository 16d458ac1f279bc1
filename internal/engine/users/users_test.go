package users

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/files"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hashed = "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE="

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestFollow: a file is read, reread when it changes, and what is wrong with it is
// reported and clears.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	write(t, path, "ann:"+hashed+"\n")
	var changes atomic.Int64
	var reports atomic.Int64
	s := New(Options{Dirs: []string{dir}, Changed: func() { changes.Add(1) }, Reported: func() { reports.Add(1) }})
	defer s.Close()
	auth := &route.BasicAuth{File: path}
	if unreadable, faults := s.Report(auth); unreadable != "" || faults != nil {
		t.Errorf("of a file that is not followed it reports %q %q", unreadable, faults)
	}
	s.Follow([]Name{NameOf(auth)})
	f := s.File(NameOf(auth))
	if changes.Load() != 0 {
		t.Error("what Follow has waited for is notified as a change")
	}
	if c := f.Content(); c.Err != nil || len(c.Users) != 1 || c.Users[0].Name != "ann" {
		t.Fatalf("%+v", c)
	}
	reported := func(want string) {
		t.Helper()
		testkit.Eventually(t, "the report", func() string {
			unreadable, faults := s.Report(auth)
			if got := unreadable + strings.Join(faults, ";"); !strings.Contains(got, want) || want == "" && got != "" {
				return fmt.Sprintf("%q, want %q", got, want)
			}
			return ""
		})
	}
	reported("")
	write(t, path, "ann:rqXexS6ZhobKA\nbob:"+hashed+"\n")
	reported("line 1: user ann: the hash is DES-crypt")
	if c := f.Content(); len(c.Users) != 2 || c.Users[0].Hash != "" || c.Users[1].Hash != hashed {
		t.Errorf("%+v", c)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	reported("no such file")
	write(t, path, strings.Repeat("x", MaxBytes+1))
	reported(fmt.Sprintf("more than %d bytes", MaxBytes))
	write(t, path, strings.Repeat("no user\n", maxFaults+3))
	reported("3 more lines lock their user")
	before := changes.Load()
	write(t, path, "ann:"+hashed+"\n")
	reported("")
	testkit.Eventually(t, "the change", func() bool { return changes.Load() > before })
	if r, c := reports.Load(), changes.Load(); r <= c {
		t.Errorf("%d reports, the first among them, and %d changes", r, c)
	}
	s.Keep(nil)
	if s.File(NameOf(auth)) != nil || len(s.Contents()) != 0 {
		t.Error("the file is not forgotten")
	}
}

// TestFilesThatMayNotBeNamed: no kind of file delays anybody, and nothing is read that
// is no regular file below the directories.
func TestFilesThatMayNotBeNamed(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Dirs: []string{dir}})
	defer s.Close()
	names := []Name{{Path: fifo}, {Path: link}, {Path: dir}, {Path: "/etc/passwd"}, {Path: "/dev/zero"}, {Path: "/proc/self/fd/1"}, {Path: dir + "/../../etc/passwd"}}
	s.Follow(names)
	for _, name := range names {
		c := s.File(name).Content()
		if c.Err == nil || errors.Is(c.Err, errUnread) || c.Users != nil {
			t.Errorf("%s: %+v", name.Path, c)
		}
		if outside := !strings.HasPrefix(filepath.Clean(name.Path), dir+"/"); outside != errors.Is(c.Err, files.ErrOutside) {
			t.Errorf("%s: %v", name.Path, c.Err)
		}
	}
}

// TestNamed: each file once, and once more where it is read in another way.
func TestNamed(t *testing.T) {
	auth := func(file string, clear bool) route.Filter {
		return route.Filter{BasicAuth: &route.BasicAuth{File: file, Clear: clear}}
	}
	table := &route.Table{Routes: []*route.Route{
		{Filters: []route.Filter{auth("/a", false), {}}}, {Filters: []route.Filter{auth("/a", true), auth("", false)}}, {Filters: []route.Filter{auth("/a", false)}},
	}}
	if got := fmt.Sprint(Named(table)); got != "[{/a false} {/a true}]" {
		t.Error(got)
	}
}

// TestHangingFilesMakeRoom: files of a file system that does not answer keep no other
// from being read for long, and are read when it answers.
func TestHangingFilesMakeRoom(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	write(t, good, "ann:"+hashed+"\n")
	synctest.Test(t, func(t *testing.T) {
		var changes atomic.Int64
		s := New(Options{Dirs: []string{dir}, Changed: func() { changes.Add(1) }})
		answer := make(chan struct{})
		s.openBelow = func(dirs []string, path string) (*files.File, error) {
			if path != good {
				<-answer
				return nil, errors.New("it answers")
			}
			return files.OpenBelow(dirs, path)
		}
		var names []Name
		for i := range 3 * maxOpen {
			names = append(names, Name{Path: fmt.Sprint("/hangs/", i)})
		}
		s.Follow(names)
		s.Follow([]Name{{Path: good}})
		time.Sleep(4 * maxTurn)
		synctest.Wait()
		if c := s.File(Name{Path: good}).Content(); c.Err != nil || len(c.Users) != 1 {
			t.Errorf("a file cannot be read because of others: %v", c.Err)
		}
		if changes.Load() != 1 {
			t.Errorf("%d changes of what was read late", changes.Load())
		}
		close(answer)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := s.File(names[0]).Content().Err; err == nil || errors.Is(err, errUnread) || len(s.hanging) != 0 || len(s.open) != 0 {
			t.Errorf("%v, %d hang, %d are open", err, len(s.hanging), len(s.open))
		}
		s.Close()
		synctest.Wait()
	})
}
