package command

import (
	"strings"
	"testing"
	"time"

	"fairway/internal/deploy/marks"
	"fairway/internal/dockerapi"
)

// A container is found by the name that it had before the mark, or by its ID; never by the
// beginning of the ID of another.
func TestCalled(t *testing.T) {
	id := func(letter string) string { return strings.Repeat(letter, 64) }
	list := []dockerapi.Container{
		{ID: id("d"), Name: "other"},
		{ID: id("1"), Name: marks.Gone(time.Unix(1, 0)).On("db")},
		{ID: id("2"), Name: marks.Of(marks.Kept, id("2")).On("db")},
		{ID: id("3"), Name: "web"},
		{ID: id("4"), Name: marks.Of(marks.Old, id("4")).On("web")},
	}
	for text, want := range map[string]string{
		"db": id("1"), list[1].Name: id("1"), id("3"): id("3"), id("d")[:12]: id("d"), "other": id("d"),
		"d": "no container d", "dd": "no container dd", "web": "several containers are web while it is deployed: name one by its ID",
	} {
		got, err := called(list, text)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
