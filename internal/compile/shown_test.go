package compile

import (
	"testing"
)

// TestShownLabels: a value is shown by the key that it stands behind.
func TestShownLabels(t *testing.T) {
	const secret = "hunter2"
	shown := ShownLabels()
	for _, c := range []struct{ key, value, want string }{
		{"fairway.host", "a.example", "a.example"},
		{" Fairway.API.Path ", "/api", "/api"},
		{"fairway.headers.request.set.X-A", secret, "***"},
		{"fairway.api.headers.request.add.X-A", secret, "***"},
		{"fairway.headers.request.remove", "X-A", "X-A"},
		{"fairway.headers.response.set.Server", "shop", "shop"},
		{"fairway.headers.response.add.Set-Cookie", "a=" + secret, "***"},
		{"fairway.headers.requst.set.X-A", secret, "***"},
		{"fairway.header.request.set.X-A", secret, "***"},
		{"fairway.headers.set.Authorization", secret, "***"},
		{"fairway.basicauth", "ann:" + secret, "***"},
		{"fairway.basic-auth", "ann:" + secret, "***"},
		{"fairway.basic-auth.users", "ann:" + secret, "***"},
		{"fairway.basic-auth", "file:/run/secrets/users", "file:/run/secrets/users"},
		{"fairway.redirect", "308 https://b.example/x", "308 https://b.example/x"},
		{"fairway.redirect", "https://ann:" + secret + "@b.example", "***"},
		{"fairway.health.path", "/up?token=" + secret, "/up?***"},
		{"fairway.health.headers.X-A", secret, "***"},
		{"fairway.api.health.headers.authorization", secret, "***"},
		{"fairway.rule", "Host(`a.example`)  &&  Header(`X-Env`, `test`)", "Host(`a.example`)  &&  Header(`X-Env`, `test`)"},
		{"fairway.rule", "Host(`a.example`) && !Header(`X-Token`, `" + secret + "`, `x`)", "Host(`a.example`) && !Header(`X-Token`, `***`)"},
		{"fairway.rule", "Headerr(`X-Token`, `" + secret + "`)", "***"},
		{"fairway.rule", "Host(`a.example`) " + secret, "***"},
		{"com.df.port", "8080", "8080"},
		{"com.df.port.2", "8080", "8080"},
		{"com.df.users", "ann,bob", "ann,bob"},
		{"com.df.users", "ann:x," + secret + ",y:" + secret, "ann:***"},
		{"com.df.users", "ann,bob:" + secret + "\ncid:" + secret + "\n", "ann,bob:***\ncid:***"},
		{"com.df.addHeader", "X-A " + secret, "***"},
		{"com.df.setReqHeader", "X-A " + secret, "***"},
		{"com.df.setResHeader", "Set-Cookie a=" + secret, "***"},
		{"com.df.serviceHeader.1", "X-Token:" + secret, "***"},
		{"com.df.serviceHeader", "X-Version:2", "X-Version:2"},
		{"com.df.backendExtra", "http-request set-header X-A " + secret, "***"},
		{"com.df.alertIf", secret, "***"},
		{"com.example.password", secret, "***"},
		{"traefik.enable", "true", "true"},
		{"traefik.docker.network", "proxy", "proxy"},
		{"traefik.frontend.auth.basic", "ann:" + secret, "***"},
		{"traefik.http.routers.x.middlewares", "auth", "auth"},
		{"traefik.http.routers.x.password", secret, "***"},
		{"traefik.http.services.x.loadbalancer.server.port", "80", "80"},
		{"traefik.http.services.x.loadbalancer.server.url", "http://ann:" + secret + "@db/", "***"},
		{"traefik.http.services.x.loadbalancer.healthcheck.path", "/up?token=" + secret, "/up?***"},
		{"traefik.http.services.x.loadbalancer.healthcheck.headers.X-Token", secret, "***"},
		{"traefik.http.middlewares.x.forwardauth.address", "http://auth:9091/v?rd=" + secret, "http://auth:9091/v?***"},
		{"traefik.http.middlewares.x.forwardauth.address", "http://ann:" + secret + "@auth/", "***"},
		{"traefik.http.middlewares.x.basicauth.users", "ann:" + secret, "***"},
		{"traefik.http.middlewares.x.basicauth.user", "ann:" + secret, "***"},
		{"traefik.tcp.routers.x.rule", "HostSNI(`*`)", "HostSNI(`*`)"},
		{"traefik.udp.routers.x.entrypoints", "dns", "dns"},
	} {
		if got := shown(c.key, c.value); got != c.want {
			t.Errorf("%s=%s is shown as %s, not %s", c.key, c.value, got, c.want)
		}
	}
}
