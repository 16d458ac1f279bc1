package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// child is what the test binary does instead of testing when it is asked to by
// a variable.
func child() bool {
	if dir := os.Getenv("FAIRWAY_HISTORY_FULL"); dir != "" {
		if err := fillUp(dir); err != nil {
			fmt.Println("error", err)
		}
		return true
	}
	dir := os.Getenv("FAIRWAY_HISTORY_CHILD")
	if dir == "" {
		return false
	}
	if err := writeUntilKilled(dir); err != nil {
		fmt.Println("error", err)
	}
	return true
}

// crashOptions keep few entries, so that removing old ones is killed, too.
func crashOptions(dir string) Options {
	return Options{Dir: dir, MaxEntries: alwaysKept, MaxRevisions: 20}
}

// writeUntilKilled writes entries, revisions and records, whose contents follow
// from their numbers, and prints each number after it was acknowledged.
func writeUntilKilled(dir string) error {
	began := time.Now()
	s, err := Open(crashOptions(dir))
	if err != nil {
		return err
	}
	if alarm := s.Status().Alarm; alarm != "" {
		return errors.New(alarm)
	}
	fmt.Println("open", time.Since(began).Microseconds())
	for {
		r, err := s.Append(crashTable(s.Status().Newest+1), time.Now(), Cause{Text: "crash"})
		if err != nil {
			return err
		}
		fmt.Println("entry", r.Number)
		newest, err := s.Revision("demo", 0)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		v, err := s.PutRevision(Draft{Document: "demo", Expect: newest.Number, Author: "a", Content: crashContent(newest.Number + 1)})
		if err != nil {
			return err
		}
		fmt.Println("revision", v.Number)
		if err := s.PutRecord("rollout", "r", fmt.Appendf(nil, "%d", r.Number)); err != nil {
			return err
		}
		fmt.Println("record", r.Number)
	}
}

// crashTable is the table of an entry: what is in it follows from the number.
func crashTable(number uint64) *route.Table {
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("service-%d-%d", i, number>>(i%8)))
	}
	t, err := route.New(number, nil, routesOf(names), nil, nil)
	if err != nil {
		panic(err)
	}
	return t
}

func routesOf(names []string) (routes []*route.Route) {
	for _, n := range names {
		r := routeOf(n, n+".example.com")
		r.Backend, r.Refused = "", "test"
		routes = append(routes, r)
	}
	return routes
}

func crashContent(number uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "line of revision %d\n", number), int(number%300))
}

// TestKill kills a process that writes at any moment, again and again: nothing
// that was acknowledged is lost, nothing is there in part, numbers have no gaps,
// and opening takes less than a second.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 200
	switch {
	case testkit.Soaking():
		rounds = 10_000
	case testing.Short():
		rounds = 20
	}
	dir := t.TempDir()
	var (
		acked   = map[string]uint64{}
		slowest time.Duration
		killed  int
	)
	for range rounds {
		took, inTime := killOnce(t, dir, acked)
		slowest = max(slowest, took)
		if inTime {
			killed++
		}
		checkAcknowledged(t, dir, acked)
		if t.Failed() {
			return
		}
	}
	if slowest > time.Second {
		t.Errorf("opening took %s", slowest)
	}
	t.Logf("%d kills, %d of them after the first write; %d entries, %d revisions; the slowest start took %s",
		rounds, killed, acked["entry"], acked["revision"], slowest)
}

// killOnce runs a writer, kills it after 0 to 30 ms, and notes what it had
// acknowledged and how long its start took.
func killOnce(t *testing.T, dir string, acked map[string]uint64) (start time.Duration, wrote bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FAIRWAY_HISTORY_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		what, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Errorf("the writer says: %s", lines.Text())
			break
		}
		if what == "open" {
			start = time.Duration(n) * time.Microsecond
			timer = time.AfterFunc(rand.N(30*time.Millisecond), func() { _ = cmd.Process.Kill() })
			continue
		}
		acked[what], wrote = n, true
	}
	if timer == nil {
		_ = cmd.Process.Kill()
	} else {
		defer timer.Stop()
	}
	_ = cmd.Wait() // it was killed
	return start, wrote
}

// checkAcknowledged opens the store and compares it with what was acknowledged,
// and notes what is there: at most one write of each kind may be there that the
// writer did not live to tell of.
func checkAcknowledged(t *testing.T, dir string, acked map[string]uint64) {
	t.Helper()
	s, err := Open(crashOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if alarm := s.Status().Alarm; alarm != "" {
		t.Errorf("alarm: %s", alarm)
	}
	entries, err := s.Entries(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if acked["entry"] > 0 && (len(entries) == 0 || entries[0].Number < acked["entry"] || entries[0].Number > acked["entry"]+1) {
		t.Fatalf("entry %d was acknowledged, the newest of %d is %+v", acked["entry"], len(entries), entries[:min(1, len(entries))])
	}
	for i, e := range entries {
		if i > 0 && e.Number != entries[i-1].Number-1 {
			t.Errorf("after entry %d comes %d", entries[i-1].Number, e.Number)
		}
	}
	for _, e := range entries[:min(3, len(entries))] {
		if r, err := s.Entry(e.Number); err != nil || r.Table.Hash != crashTable(e.Number).Hash {
			t.Errorf("entry %d is not what was written: %v", e.Number, err)
		}
	}
	v, err := s.Revision("demo", 0)
	if err != nil && (acked["revision"] > 0 || !errors.Is(err, ErrNotFound)) {
		t.Fatal(err)
	}
	if v.Number < acked["revision"] || v.Number > acked["revision"]+1 || !bytes.Equal(v.Content, crashContent(v.Number)) {
		t.Errorf("revision %d was acknowledged, the newest is %d", acked["revision"], v.Number)
	}
	data, err := s.Record("rollout", "r")
	if err != nil && (acked["record"] > 0 || !errors.Is(err, ErrNotFound)) {
		t.Fatal(err)
	}
	n, _ := strconv.ParseUint(string(data), 10, 64)
	if n < acked["record"] {
		t.Errorf("record %d was acknowledged, it is %d", acked["record"], n)
	}
	acked["entry"], acked["revision"], acked["record"] = s.Status().Newest, v.Number, n
}

// TestPowerCut replays commits as a disk may have seen them when the power went:
// of the pages of a commit any part, torn at sectors, before the page that makes
// it count; or all of them. What is there then is the state before or after.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	commits, variants := 40, 6
	if testkit.Soaking() {
		commits, variants = 1000, 10
	}
	dir := t.TempDir()
	o := Options{Dir: dir, MaxEntries: alwaysKept}
	s := open(t, o)
	before := contentsOf(t, s.path)
	random := rand.New(rand.NewPCG(1, 2))
	opened := 0
	for n := range uint64(commits) {
		var err error
		switch n % 3 {
		case 0:
			_, err = s.Append(crashTable(n+1), time.Now(), Cause{Text: "power"})
		case 1:
			_, err = s.PutRevision(Draft{Document: "demo", Expect: n / 3, Author: "a", Content: crashContent(n)})
		case 2:
			err = s.PutRecord("rollout", "r", fmt.Appendf(nil, "%d", n))
		}
		if err != nil {
			t.Fatal(err)
		}
		after := contentsOf(t, s.path)
		for range variants {
			opened++
			committed := random.IntN(3) == 0
			image := tornImage(random, before, after, committed)
			checkImage(t, image, n, committed)
			if t.Failed() {
				t.Fatalf("commit %d, committed %v", n, committed)
			}
		}
		before = after
	}
	t.Logf("%d images of %d commits", opened, commits)
}

func contentsOf(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const sector = 512

// tornImage is the file as it may be after a power cut: sectors of the two first
// pages are all old or, when committed, all new; of the others each is either,
// and all are new when committed.
func tornImage(random *rand.Rand, before, after []byte, committed bool) []byte {
	image := bytes.Clone(before)
	if committed || random.IntN(2) == 0 { // growing the file is synced on its own
		image = append(image, make([]byte, max(0, len(after)-len(image)))...)
	}
	metas := 2 * os.Getpagesize()
	for at := 0; at+sector <= min(len(image), len(after)); at += sector {
		isNew := committed || at >= metas && random.IntN(2) == 0
		if isNew {
			copy(image[at:at+sector], after[at:at+sector])
		}
	}
	return image
}

// checkImage opens an image and demands the state after commit n, or the one
// before when it was not committed.
func checkImage(t *testing.T, image []byte, n uint64, committed bool) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), image, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir, MaxEntries: alwaysKept})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if alarm := s.Status().Alarm; alarm != "" {
		t.Errorf("alarm: %s", alarm)
	}
	last := int64(n) // the number of the newest commit that must be there
	if !committed {
		last--
	}
	newestOf := func(kind int64) int64 { // the newest commit of a kind up to last; -1 for none
		if last < kind {
			return -1
		}
		return last - (last-kind)%3
	}
	if want := newestOf(0); want >= 0 {
		r, err := s.Entry(0)
		if err != nil || r.Revision != uint64(want)+1 || r.Table.Hash != crashTable(uint64(want)+1).Hash {
			t.Errorf("entry of commit %d: %d, %v", want, r.Revision, err)
		}
	} else if s.Status().Entries != 0 {
		t.Error("there is an entry too early")
	}
	if want := newestOf(1); want >= 0 {
		v, err := s.Revision("demo", 0)
		if err != nil || v.Number != uint64(want)/3+1 || !bytes.Equal(v.Content, crashContent(uint64(want))) {
			t.Errorf("revision of commit %d: %d, %v", want, v.Number, err)
		}
	}
	if want := newestOf(2); want >= 0 {
		if data, err := s.Record("rollout", "r"); err != nil || string(data) != strconv.FormatInt(want, 10) {
			t.Errorf("record of commit %d: %s, %v", want, data, err)
		}
	}
}

// A process that dies while it makes the file leaves one under another name,
// which is thrown away.
func TestUnfinishedCreation(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName+".new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Dir: dir})
	if err := s.PutRecord("a", "b", nil); err != nil || s.Status().Alarm != "" {
		t.Fatal(err, s.Status())
	}
	if _, err := os.Stat(filepath.Join(dir, fileName+".new")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the unfinished file is still there")
	}
}

// While another process has the file nothing is moved aside; when it has gone the
// next write succeeds.
func TestAnotherProcessHasTheFile(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Options{Dir: dir})
	if err := first.PutRecord("a", "b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	second := open(t, Options{Dir: dir})
	if err := second.PutRecord("a", "b", []byte("y")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a second writer: %v", err)
	}
	if _, err := second.Record("a", "b"); !errors.Is(err, ErrUnavailable) || second.Status().Alarm == "" {
		t.Errorf("a second reader: %v, %+v", err, second.Status())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second.tried = time.Time{}
	if err := second.PutRecord("a", "b", []byte("y")); err != nil || second.Status().Alarm != "" {
		t.Errorf("after the first has gone: %v, %+v", err, second.Status())
	}
	if moved, _ := filepath.Glob(filepath.Join(dir, "*damaged*")); len(moved) != 0 {
		t.Errorf("moved aside: %q", moved)
	}
}
