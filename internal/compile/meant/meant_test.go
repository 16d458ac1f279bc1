package meant

import (
	"slices"
	"testing"

	"fairway/internal/compile/native"
)

// What labels of other proxies are called here, the rule first, in any case and order.
func TestMeant(t *testing.T) {
	for _, tt := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"traefik.enable": "true", "org.example": "x", "virtual": ""}, ""},
		{
			map[string]string{"caddy_1": "a.example", "caddy_1.reverse_proxy": "{{upstreams 80}}", "caddy.nonsense": "x"},
			"labels of other proxies are not read; write fairway.host for caddy_1, fairway.port for caddy_1.reverse_proxy",
		},
	} {
		if got := Of(tt.labels); got != tt.want {
			t.Errorf("%v:\n%s\nwant\n%s", tt.labels, got, tt.want)
		}
	}
	for _, m := range meant { // each is a label that is read
		if !slices.ContainsFunc(native.Keys(), func(k native.Key) bool { return k.Name == m.own }) {
			t.Errorf("fairway.%s is no label", m.own)
		}
	}
}
