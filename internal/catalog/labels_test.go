package catalog

import "testing"

func TestIsLabel(t *testing.T) {
	for key, want := range map[string]bool{
		"fairway.host": true, " Fairway.Host": true, "com.df.notify": true, "COM.DF.x": true,
		"fairway": false, "com.df": false, "traefik.enable": true, "caddy": true, "caddy_1.tls": true, "caddyshack": false, "com.github.nginx-proxy.nginx-proxy.keepalive": true, "": false, "my.fairway.host": false,
	} {
		if IsLabel(key) != want {
			t.Errorf("IsLabel(%q) is %t", key, !want)
		}
	}
}
