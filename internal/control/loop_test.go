package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/feed"
	"fairway/internal/history"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// disk is a history that can be full, or refuse to write commands alone.
type disk struct {
	*history.Store
	full, noRecords atomic.Bool

	mu       sync.Mutex
	appended []string // hashes
	refused  int      // calls while it was full
}

func (d *disk) refuse() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused++
	return history.ErrFull
}

func (d *disk) Append(t *route.Table, at time.Time, why history.Cause) (history.Entry, error) {
	if d.full.Load() {
		return history.Entry{}, d.refuse()
	}
	d.mu.Lock()
	d.appended = append(d.appended, t.Hash)
	d.mu.Unlock()
	return d.Store.Append(t, at, why)
}

func (d *disk) PutRecord(kind, name string, data []byte) error {
	if d.full.Load() || d.noRecords.Load() {
		return d.refuse()
	}
	return d.Store.PutRecord(kind, name, data)
}

func (d *disk) DeleteRecord(kind, name string) error {
	if d.full.Load() || d.noRecords.Load() {
		return d.refuse()
	}
	return d.Store.DeleteRecord(kind, name)
}

func (d *disk) hashes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.appended)
}

// onDisk is a running loop whose history is a disk; stop ends it.
func onDisk(t *testing.T, dir string, snapshots Feed, e Engine) (c *Control, d *disk, stop func()) {
	t.Helper()
	past, err := history.Open(history.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err = New(Options{Feed: snapshots, Compiler: labelCompiler{}, Engines: []Engine{e}, History: past, Metrics: &metrics.Set{}})
	if err != nil {
		t.Fatal(err)
	}
	d = &disk{Store: past}
	c.recorder = d
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return c, d, func() {
		cancel()
		if err := errors.Join(<-done, past.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A disk that is full for a while loses no table, and the order in which they went
// live is that of the history. A command that cannot be written is not in force.
func TestFullDiskLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var snapshots catalog.Feed
		c, d, stop := onDisk(t, t.TempDir(), &snapshots, &recordingEngine{})
		defer stop()
		var want []string
		publish := func(revision int) {
			snapshots.Publish(servicesOf(uint64(revision), fmt.Sprintf("a x%d.test 10.0.0.1", revision)))
			synctest.Wait()
			want = append(want, c.Table().Hash)
		}
		publish(1)
		d.full.Store(true)
		publish(2)
		publish(3)
		if _, err := c.Give(t.Context(), Command{Kind: CommandDrain, Subject: catalog.Subject{Service: "a"}}); !errors.Is(err, history.ErrFull) {
			t.Errorf("Give = %v, want ErrFull", err)
		}
		if len(c.Commands()) != 0 || c.Table().Backend("a").Endpoints[0].State != route.EndpointReady {
			t.Error("a command that is not on the disk is in force")
		}
		d.full.Store(false)
		time.Sleep(2 * retryWrite)
		if got := d.hashes(); !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
		d.full.Store(true)
		for revision := range maxEntries + 10 {
			publish(revision + 4)
		}
		if lost := c.meters.lost.Value(); lost != 10 {
			t.Errorf("%v given up, want 10", lost)
		}
		d.full.Store(false)
		time.Sleep(2 * retryWrite)
		if got := d.hashes(); !slices.Equal(got[3:], want[13:]) {
			t.Errorf("%d were recorded in the end, want the newest %d", len(got)-3, maxEntries)
		}
	})
}

// A disk that is full is tried at intervals, however many tables and ended commands
// there are to write.
func TestFullDiskIsTriedAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var snapshots catalog.Feed
		c, d, stop := onDisk(t, t.TempDir(), &snapshots, &recordingEngine{})
		defer stop()
		snapshots.Publish(servicesOf(1, "a x.test 10.0.0.1", "b y.test 10.0.0.2"))
		synctest.Wait()
		for _, service := range []string{"a", "b"} {
			if _, err := c.Give(t.Context(), Command{Kind: CommandPause, Subject: catalog.Subject{Service: service}, Wait: time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		d.full.Store(true)
		time.Sleep(10*retryWrite + retryWrite/2) // both pauses end
		for revision := range 50 {
			snapshots.Publish(servicesOf(uint64(revision+2), fmt.Sprintf("a x%d.test 10.0.0.1", revision)))
			synctest.Wait()
		}
		if d.refused > 25 { // one record and one table for each try
			t.Errorf("%d calls were refused in %s", d.refused, 10*retryWrite)
		}
		d.full.Store(false)
		time.Sleep(2 * retryWrite)
		if got := d.hashes(); got[len(got)-1] != c.Table().Hash {
			t.Errorf("the newest of %d entries is not what is live", len(got))
		}
	})
}

// A command record that cannot be written does not keep tables from the history,
// and is written as soon as it can be, with its newest value.
func TestCommandRecordHoldsUpNoTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var snapshots catalog.Feed
		c, d, stop := onDisk(t, dir, &snapshots, &recordingEngine{})
		snapshots.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		if _, err := c.Give(t.Context(), Command{Kind: CommandPause, Subject: catalog.Subject{Service: "a"}, Wait: time.Second}); err != nil {
			t.Fatal(err)
		}
		d.noRecords.Store(true)
		time.Sleep(10 * time.Second) // the pause ends
		snapshots.Publish(servicesOf(2, "a y.test 10.0.0.1"))
		synctest.Wait()
		if got := d.hashes(); got[len(got)-1] != c.Table().Hash {
			t.Errorf("the newest of %d entries is not what is live", len(got))
		}
		d.noRecords.Store(false)
		time.Sleep(2 * retryWrite)
		if records, err := d.Records(recordKind); err != nil || len(records) != 0 {
			t.Errorf("records %v, %v: the pause is over", records, err)
		}
		stop()
	})
}

// Two orders about one subject that an engine refuses leave what was in force
// before both.
func TestConcurrentOrdersAreWithdrawnOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var snapshots catalog.Feed
		engine := &recordingEngine{}
		c, d, stop := onDisk(t, t.TempDir(), &snapshots, engine)
		defer stop()
		snapshots.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		if _, err := c.Give(t.Context(), Command{Kind: CommandWeight, Subject: catalog.Subject{Service: "a"}, Weight: 7}); err != nil {
			t.Fatal(err)
		}
		good := c.Table().Hash
		only := &only{recordingEngine: engine, hash: good}
		c.o.Engines[0] = only // the loop waits, and reads this with the next order
		var given sync.WaitGroup
		for weight := range 5 {
			given.Go(func() {
				if _, err := c.Give(t.Context(), Command{Kind: CommandWeight, Subject: catalog.Subject{Service: "a"}, Weight: 10 + weight}); !errors.Is(err, ErrWithdrawn) {
					t.Errorf("Give = %v, want ErrWithdrawn", err)
				}
			})
		}
		given.Wait()
		synctest.Wait()
		if list := c.Commands(); len(list) != 1 || list[0].Weight != 7 || c.Table().Hash != good {
			t.Errorf("in force: %+v", list)
		}
		records, err := d.Records(recordKind)
		if err != nil || len(records) != 1 {
			t.Fatal(records, err)
		}
		if command, err := decodeCommand(records[0].Data); err != nil || command.Weight != 7 {
			t.Errorf("on the disk: %+v, %v", command, err)
		}
	})
}

// only is an engine that takes one table alone.
type only struct {
	*recordingEngine
	hash string
}

func (e *only) Apply(ctx context.Context, t *route.Table) error {
	if t.Hash != e.hash {
		return errors.New("no")
	}
	return e.recordingEngine.Apply(ctx, t)
}

// countingFeed counts how often the loop comes round, and stops it where it would
// never wait.
type countingFeed struct {
	catalog.Feed
	rounds atomic.Int64
}

func (f *countingFeed) Changed() <-chan struct{} {
	if f.rounds.Add(1) > 1000 {
		time.Sleep(time.Hour)
	}
	return f.Feed.Changed()
}

// A pause of the last run that is over before the first snapshot does not keep the
// loop busy.
func TestLoopWaitsForTheFirstSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var first catalog.Feed
		c, _, stop := onDisk(t, dir, &first, &recordingEngine{})
		first.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		if _, err := c.Give(t.Context(), Command{Kind: CommandPause, Subject: catalog.Subject{Service: "a"}, Wait: time.Second}); err != nil {
			t.Fatal(err)
		}
		stop()

		var second countingFeed
		c, _, stop = onDisk(t, dir, &second, &recordingEngine{})
		defer stop()
		time.Sleep(time.Minute)
		if n := second.rounds.Load(); n > 10 {
			t.Errorf("the loop came round %d times with nothing to do", n)
		}
		if len(c.Commands()) != 1 {
			t.Errorf("commands %v: there is nothing yet that a pause ends on", c.Commands())
		}
		second.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		if len(c.Commands()) != 0 || c.Table().Backend("a").Endpoints[0].State != route.EndpointReady {
			t.Errorf("commands %v after the first snapshot: the pause is over", c.Commands())
		}
	})
}

// The first retry comes after retryFirst, each later one after twice the wait.
func TestRetriesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil, nil)
		h.engine.setRefuse(errors.New("no"))
		h.feed.Publish(snapshotOf(1, "a"))
		synctest.Wait()
		h.engine.setRefuse(nil)
		time.Sleep(retryFirst)
		synctest.Wait()
		if h.control.Table() == nil {
			t.Errorf("not live %s after it was refused once", retryFirst)
		}
	})
}

// Readers follow the live table without asking again and again.
func TestTablesArePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil, nil)
		var tables *feed.Feed[route.Table] = h.control.Tables()
		h.feed.Publish(snapshotOf(1, "a"))
		first, err := tables.Next(t.Context(), nil)
		if err != nil || first.Revision != 1 {
			t.Fatal(first, err)
		}
		h.feed.Publish(snapshotOf(2, "a", "b"))
		if second, err := tables.Next(t.Context(), first); err != nil || second.Revision != 2 {
			t.Error(second, err)
		}
	})
}
