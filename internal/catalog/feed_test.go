package catalog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestFeedHandsOutTheNewestAndSkips(t *testing.T) {
	var f Feed
	if f.Newest() != nil {
		t.Fatal("an empty feed has a snapshot")
	}
	f.Publish(&Snapshot{Revision: 1})
	f.Publish(&Snapshot{Revision: 3})
	s, err := f.Next(t.Context(), 0)
	if err != nil || s.Revision != 3 {
		t.Fatalf("Next(0) = %v, %v; want revision 3", s, err)
	}
	f.Publish(&Snapshot{Revision: 2}) // older: ignored
	if got := f.Newest().Revision; got != 3 {
		t.Fatalf("an older snapshot replaced the newest: revision %d", got)
	}
}

func TestFeedNextWaitsAndWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Feed
		f.Publish(&Snapshot{Revision: 1})
		var wg sync.WaitGroup
		got := make([]uint64, 5)
		for i := range got {
			wg.Go(func() {
				s, err := f.Next(t.Context(), 1)
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = s.Revision
			})
		}
		synctest.Wait()
		for i, r := range got {
			if r != 0 {
				t.Fatalf("reader %d did not wait, it got revision %d", i, r)
			}
		}
		f.Publish(&Snapshot{Revision: 2})
		wg.Wait()
		for i, r := range got {
			if r != 2 {
				t.Errorf("reader %d got revision %d, want 2", i, r)
			}
		}
	})
}

func TestFeedNextEndsWithItsContext(t *testing.T) {
	var f Feed
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Next(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("Next = %v, want context.Canceled", err)
	}
}
