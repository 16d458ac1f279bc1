package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func of(n int) *int { return &n }

func TestFeedHandsOutTheNewestAndSkips(t *testing.T) {
	var f Feed[int]
	if f.Newest() != nil {
		t.Fatal("an empty feed has a value")
	}
	f.Publish(of(1))
	f.Publish(of(3))
	v, err := f.Next(t.Context(), nil)
	if err != nil || *v != 3 {
		t.Fatalf("Next(nil) = %v, %v; want 3", v, err)
	}
	changed := f.Changed()
	f.Publish(v)
	select {
	case <-changed:
		t.Error("the same value again counts as a change")
	default:
	}
	f.Publish(of(3)) // equal contents, another value
	select {
	case <-changed:
	default:
		t.Error("Changed stays open after another value")
	}
}

func TestFeedNextWaitsAndWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Feed[int]
		first := of(1)
		f.Publish(first)
		var wg sync.WaitGroup
		got := make([]int, 5)
		for i := range got {
			wg.Go(func() {
				v, err := f.Next(t.Context(), first)
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = *v
			})
		}
		synctest.Wait()
		for i, v := range got {
			if v != 0 {
				t.Fatalf("reader %d did not wait, it got %d", i, v)
			}
		}
		f.Publish(of(2))
		wg.Wait()
		for i, v := range got {
			if v != 2 {
				t.Errorf("reader %d got %d, want 2", i, v)
			}
		}
	})
}

func TestFeedNextEndsWithItsContext(t *testing.T) {
	var f Feed[int]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Next(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("Next = %v, want context.Canceled", err)
	}
}
