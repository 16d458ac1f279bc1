package marks

import (
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	id := "0123456789abcdef"
	for _, kind := range []Kind{Old, Kept, Failed} {
		name := Of(kind, id).On("shop-web-1")
		if base, m := Read(name); base != "shop-web-1" || m != Of(kind, id) {
			t.Errorf("%s: %q, %+v", name, base, m)
		}
	}
	for _, name := range []string{
		"", "web", "web.fairway-old", "web.fairway-old-0a1b2c3", "web.fairway-old-0a1b2c3dd", "web.fairway-new-0a1b2c3d",
		".fairway-old-0a1b2c3d", "web.fairway-old-0A1B2C3D",
	} {
		if base, m := Read(name); base != name || m.Kind != None {
			t.Errorf("%q: %q, %+v", name, base, m)
		}
	}
	if name := (Mark{}).On("web"); name != "web" {
		t.Error(name)
	}
}

// A restart makes the mark of a container that leaves void.
func TestLeavingEndsWithARestart(t *testing.T) {
	started := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	m := Gone(started)
	if !m.IsLeaving(started) || !m.IsLeaving(time.Time{}) || m.IsLeaving(started.Add(time.Nanosecond)) {
		t.Error("it is about one start alone")
	}
	if Of(Old, "x").IsLeaving(started) {
		t.Error("another mark counts")
	}
}

func TestAdmit(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "10s": 10 * time.Second, "-1s": 0, "x": 0, "100h": MaxAdmit} {
		if got := Admit(map[string]string{LabelAdmit: text}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
