package catalog

import (
	"maps"
	"slices"
	"strings"
)

// variables are the names of variables that a dialect reads. Nothing else of an environment
// gets into the catalogue.
var variables = []string{
	"ACME_HTTP_CHALLENGE_LOCATION", "CERT_NAME", "ENABLE_HTTP_ON_MISSING_CERT", "EXTERNAL_HTTPS_PORT", "EXTERNAL_HTTP_PORT", "HSTS",
	"HTTPS_METHOD", "LETSENCRYPT_EMAIL", "LETSENCRYPT_HOST", "LETSENCRYPT_SINGLE_DOMAIN_CERTS", "LETSENCRYPT_TEST", "NETWORK_ACCESS",
	"SERVER_TOKENS", "SSL_POLICY", "VIRTUAL_DEST", "VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS", "VIRTUAL_PATH", "VIRTUAL_PORT", "VIRTUAL_PROTO", "VIRTUAL_ROOT",
}

// namesHost are those of them that make a container one of nginx-proxy's.
var namesHost = []string{"VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS"}

// IsVariable reports whether a variable means something to Fairway.
func IsVariable(name string) bool {
	_, found := slices.BinarySearch(variables, name)
	return found
}

// Variables are those of an environment, as of os.Environ, that mean something to Fairway;
// nil unless one of them names hosts. Of several with one name the last counts.
func Variables(environ []string) map[string]string {
	var found map[string]string
	hosts := false
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !IsVariable(name) {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[name] = value
		hosts = hosts || slices.Contains(namesHost, name)
	}
	if !hosts {
		return nil
	}
	return found
}

// Declared returns the labels and variables of an instance together, as dialects read them.
// It is not to be written to.
func (in *Instance) Declared() map[string]string { return declared(in.Labels, in.Env) }

// Declared returns the labels and variables of the service itself; see Instance.Declared.
func (s *Service) Declared() map[string]string { return declared(s.Labels, s.Env) }

func declared(labels, env map[string]string) map[string]string {
	all := maps.Clone(env)
	if env == nil {
		if !haveVariable(labels) {
			return labels
		}
		all = map[string]string{}
	}
	for key, value := range labels {
		if !IsVariable(key) { // a label of such a name is none of ours
			all[key] = value
		}
	}
	return all
}

func haveVariable(labels map[string]string) bool {
	for key := range labels {
		if IsVariable(key) {
			return true
		}
	}
	return false
}

// Prefixes of labels of other proxies.
const (
	TraefikPrefix = "traefik."
	NginxPrefix   = "com.github.nginx-proxy.nginx-proxy."
	CaddyLabel    = "caddy" // alone, or with an underscore or a dot behind it
)

// IsCaddyLabel reports whether a label is one of Caddy's.
func IsCaddyLabel(key string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(key), CaddyLabel)
	return ok && (rest == "" || rest[0] == '_' || rest[0] == '.')
}

// DecidesItself says whether labels of Fairway say how the service is served, or that it is
// not: others only name it.
func (s *Service) DecidesItself() bool {
	decides := func(labels map[string]string) bool {
		for key := range labels {
			if !HasPrefix(key, LabelPrefix) {
				continue
			}
			local := strings.ToLower(strings.TrimSpace(key))[len(LabelPrefix):]
			first, _, _ := strings.Cut(local, ".")
			if !slices.Contains([]string{"service", "tags", "dns", "publish"}, first) {
				return true
			}
		}
		return false
	}
	return decides(s.Labels) || slices.ContainsFunc(s.Instances, func(in *Instance) bool { return decides(in.Labels) })
}
