package labelref

import "testing"

// A label is found whether its route has a name or none.
func TestMeans(t *testing.T) {
	for _, c := range []struct {
		label, name string
		want        bool
	}{
		{"fairway.host", "fairway.host", true},
		{"fairway.api.host", "fairway.host", true},
		{"Fairway.API.Host", "fairway.host", true},
		{"fairway.hots", "fairway.host", false},
		{"fairway.request-header.set.X-A", "fairway.request-header.set.", true},
		{"fairway.api.request-header.set.X-A", "fairway.request-header.set.", true},
		{"fairway.host", "fairway.path", false},
		{"traefik.host", "fairway.host", false},
		{"", "fairway.host", false},
	} {
		if got := Means(c.label, c.name); got != c.want {
			t.Errorf("%s is %s: %v", c.label, c.name, got)
		}
	}
}
