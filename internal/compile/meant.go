package compile

import (
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
)

// meant names the labels of Fairway that say what labels of other proxies say: Traefik's
// rule and port, Caddy's site and port. It is empty where there are none.
func meant(labels map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		lower, own := strings.ToLower(k), ""
		site, option, _ := strings.Cut(lower, ".")
		switch caddy := site == "caddy" || strings.HasPrefix(site, "caddy_"); {
		case strings.HasPrefix(lower, "traefik.http.routers.") && strings.HasSuffix(lower, ".rule"):
			own = "rule"
		case strings.HasPrefix(lower, "traefik.http.services.") && strings.HasSuffix(lower, ".loadbalancer.server.port"):
			own = "port"
		case caddy && option == "":
			own = "host"
		case caddy && option == "reverse_proxy":
			own = "port"
		}
		if own != "" && len(list) < 4 {
			list = append(list, catalog.LabelPrefix+own+" for "+chars.Printable(k))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "labels of other proxies are not read; write " + strings.Join(list, ", ")
}
