package admin

import (
	"strings"
	"testing"
)

// Names are found as people write them, and mistyped ones get a hint.
func TestNamesAreFound(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, options(t, w))
	for path, want := range map[string]string{
		"/v1/services/shop-1":              `"id":"shop@docker"`,
		"/v1/routes?service=shop-1":        `"id":"shop@docker"`,
		"/v1/services/shpo":                `no service \"shpo\"; did you mean shop?`,
		"/v1/doctor/shpo":                  `no service, container or other instance \"shpo\"; did you mean shop?`,
		"/v1/explain?url=http://shpo/":     `no route has the host shpo, did you mean shop.example.com?`,
		"/v1/explain?url=http://shop-1/":   `; shop-1 is a service: fairway doctor shop@docker`,
		"/v1/explain?url=http://nothing.x": `answered with 404`,
	} {
		if rec := ask(t, s, "GET", path, nil); !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
