package compile

import (
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
)

// meant are labels of other proxies with the label of Fairway that says the same: Traefik's,
// with a star for the name of a router, service or middleware, then Caddy's, then variables
// of nginx-proxy.
var meant = []struct{ theirs, own string }{
	{"traefik.http.routers.*.rule", "rule"},
	{"traefik.http.routers.*.priority", "priority"},
	{"traefik.http.services.*.loadbalancer.server.port", "port"},
	{"traefik.http.services.*.loadbalancer.server.scheme", "scheme"},
	{"traefik.http.services.*.loadbalancer.healthcheck.path", "health.path"},
	{"traefik.http.services.*.loadbalancer.sticky.cookie.name", "sticky"},
	{"traefik.http.middlewares.*.stripprefix.prefixes", "strip-prefix"},
	{"traefik.http.middlewares.*.addprefix.prefix", "add-prefix"},
	{"traefik.http.middlewares.*.redirectscheme.scheme", "redirect-https"},
	{"traefik.http.middlewares.*.basicauth.users", "basic-auth"},
	{"traefik.http.middlewares.*.basicauth.usersfile", "basic-auth"},
	{"traefik.http.middlewares.*.ipallowlist.sourcerange", "ip-allow"},
	{"traefik.http.middlewares.*.ipwhitelist.sourcerange", "ip-allow"},
	{"traefik.http.middlewares.*.ratelimit.average", "rate-limit"},
	{"traefik.http.middlewares.*.compress", "compress"},
	{"traefik.docker.network", "network"},
	{"caddy", "host"},
	{"caddy.reverse_proxy", "port"},
	{"caddy.basic_auth", "basic-auth"},
	{"caddy.basicauth", "basic-auth"},
	{"caddy.encode", "compress"},
	{"virtual_host", "host"},
	{"virtual_path", "path"},
	{"virtual_port", "port"},
	{"virtual_proto", "scheme"},
}

// Meant names the labels of Fairway that say what those of other proxies say: labels of
// Traefik and Caddy, variables of nginx-proxy. It is empty where there are none.
func Meant(labels map[string]string) string {
	// of is a label by its form in the list above.
	of := map[string]string{}
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(labels))) {
		parts := strings.Split(strings.ToLower(k), ".")
		switch {
		case strings.HasPrefix(parts[0], "caddy_"):
			parts[0] = "caddy" // of several sites
		case len(parts) > 3 && parts[0] == "traefik" && parts[1] == "http":
			parts[3] = "*"
		}
		of[strings.Join(parts, ".")] = k
	}
	var list []string
	for _, m := range meant {
		if k, ok := of[m.theirs]; ok && len(list) < 4 {
			list = append(list, catalog.LabelPrefix+m.own+" for "+chars.Printable(k))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "labels of other proxies are not read; write " + strings.Join(list, ", ")
}
