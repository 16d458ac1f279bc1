package app

import (
	"strings"
	"testing"
)

// The pages are read at the start: another command may run where they are not.
func TestErrorPagesAreNotReadWithTheConfiguration(t *testing.T) {
	inDir(t, map[string]string{"fairway.yml": "error-pages: [{name: brand, dir: nowhere}]\n"})
	if _, err := Load(LoadOptions{}); err != nil {
		t.Error(err)
	}
}

// The headers of requests may hold what services trust, under any name.
func TestDefaultRequestHeadersAreNotShown(t *testing.T) {
	t.Chdir(t.TempDir())
	got, err := Load(LoadOptions{Flags: map[string][]string{
		"defaults.headers.request.set": {"X-Shared: hunter2"}, "defaults.headers.request.add": {"X-Other: hunter2"}, "defaults.headers.request.remove": {"X-Debug"},
		"defaults.headers.response.set": {"X-Frame-Options: DENY"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range got.Values() {
		name, ours := strings.CutPrefix(v.Key, "defaults.headers.")
		if want := map[string]string{
			"request.set": "X-Shared: ***", "request.add": "X-Other: ***", "request.remove": "X-Debug", "response.set": "X-Frame-Options: DENY",
		}[name]; ours && strings.Join(v.Value.([]string), "") != want {
			t.Errorf("%s is shown as %v, want %q", v.Key, v.Value, want)
		}
	}
}
