package compile

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
			map[string]string{"Traefik.HTTP.Services.web.LoadBalancer.Server.Port": "80", "traefik.http.routers.web.rule": "Host(`a`)", "traefik.http.routers.web2.rule": "Host(`b`)"},
			"labels of other proxies are not read; write fairway.rule for traefik.http.routers.web.rule, fairway.port for Traefik.HTTP.Services.web.LoadBalancer.Server.Port",
		},
		{
			map[string]string{"caddy_1": "a.example", "caddy_1.reverse_proxy": "{{upstreams 80}}", "caddy.nonsense": "x"},
			"labels of other proxies are not read; write fairway.host for caddy_1, fairway.port for caddy_1.reverse_proxy",
		},
		{
			map[string]string{"VIRTUAL_HOST": "a.example", "VIRTUAL_PORT": "80"},
			"labels of other proxies are not read; write fairway.host for VIRTUAL_HOST, fairway.port for VIRTUAL_PORT",
		},
	} {
		if got := Meant(tt.labels); got != tt.want {
			t.Errorf("%v:\n%s\nwant\n%s", tt.labels, got, tt.want)
		}
	}
	for _, m := range meant { // each is a label that is read
		if !slices.ContainsFunc(native.Keys(), func(k native.Key) bool { return k.Name == m.own }) {
			t.Errorf("fairway.%s is no label", m.own)
		}
	}
}
