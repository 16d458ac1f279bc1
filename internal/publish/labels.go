package publish

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"
)

// labels are what an instance says of its publication: labels of Fairway, and the variables
// and labels of Registrator, SERVICE_KEY and SERVICE_<port>_KEY.
type labels struct {
	all     map[string]string
	fairway map[string]string            // by key in lower case, without prefix
	general map[string]string            // SERVICE_, by key in lower case
	byPort  map[uint16]map[string]string // SERVICE_<port>_
	named   bool                         // it asks to be published
}

// VariablePrefix begins the names of variables that say how a container is published.
const VariablePrefix = "SERVICE_"

func readLabels(svc *catalog.Service, in *catalog.Instance) labels {
	l := labels{all: in.Labels, fairway: map[string]string{}, general: map[string]string{}, byPort: map[uint16]map[string]string{}}
	if len(svc.Labels) > 0 {
		l.all = maps.Clone(svc.Labels)
		for key, value := range in.Labels {
			if _, there := svc.Labels[key]; !there && !(svc.OwnLabels && catalog.IsLabel(key)) {
				l.all[key] = value
			}
		}
	}
	for key, value := range l.all {
		if catalog.HasPrefix(key, catalog.LabelPrefix) {
			l.fairway[strings.ToLower(strings.TrimSpace(key))[len(catalog.LabelPrefix):]] = strings.TrimSpace(value)
		}
		name, ok := strings.CutPrefix(key, VariablePrefix)
		if !ok || name == "" {
			continue
		}
		name = strings.ToLower(name)
		l.named = l.named || name == "name" && value != ""
		first, rest, _ := strings.Cut(name, "_")
		if port, err := strconv.ParseUint(first, 10, 16); err == nil && rest != "" {
			if l.byPort[uint16(port)] == nil {
				l.byPort[uint16(port)] = map[string]string{}
			}
			l.byPort[uint16(port)][rest] = value
			l.named = l.named || rest == "name" && value != ""
			continue
		}
		l.general[name] = value
	}
	return l
}

// own is a label of Fairway's.
func (l labels) own(key string) string { return l.fairway[key] }

// of are the keys for a port: its own go first.
func (l labels) of(port uint16) map[string]string {
	v := maps.Clone(l.general)
	maps.Copy(v, l.byPort[port])
	return v
}

// tags are the words for all, and those of an entry: \, is a comma.
func tags(fairway, service string, all []string, udp bool) (list []string) {
	const comma = "\x00"
	for _, text := range []string{service, fairway} {
		for word := range strings.SplitSeq(strings.ReplaceAll(text, `\,`, comma), ",") {
			if word = strings.ReplaceAll(strings.TrimSpace(word), comma, ","); word != "" {
				list = append(list, word)
			}
		}
	}
	list = append(list, all...)
	if udp {
		list = append(list, "udp")
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// The bounds of Consul for metadata, of which Fairway's own keys take some.
const (
	maxMeta      = 56
	maxMetaKey   = 128
	maxMetaValue = 512
)

// understood are the keys that mean something else than metadata.
func understood(key string) bool {
	return strings.HasPrefix(key, "check_") || slices.Contains([]string{"name", "id", "tags", "ignore", "enable_tag_override"}, key)
}

func meta(v map[string]string) (out map[string]string, faults []string) {
	out = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		value := v[key]
		switch {
		case understood(key):
		case len(out) == maxMeta:
			return out, append(faults, "it has more than "+strconv.Itoa(maxMeta)+" SERVICE_ keys for metadata; the rest is left out")
		case len(key) > maxMetaKey, strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "", strings.HasPrefix(key, "consul-"), strings.HasPrefix(key, "fairway-"):
			faults = append(faults, "SERVICE_"+strings.ToUpper(key)+" is no key that Consul takes, and is left out")
		case len(value) > maxMetaValue:
			faults = append(faults, "SERVICE_"+strings.ToUpper(key)+" has more than 512 bytes, which Consul does not take, and is left out")
		default:
			out[key] = value
		}
	}
	return out, faults
}

// checks are those that labels ask for, each by itself.
func checks(v map[string]string, e Entry, protocol, path string, tcp bool, faults *[]string) (list []Check) {
	fault := func(text string) { *faults = append(*faults, text) }
	duration := func(key string, otherwise, least time.Duration) time.Duration {
		text := v[key]
		if text == "" {
			return otherwise
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < least {
			fault("SERVICE_" + strings.ToUpper(key) + "=" + text + " is no duration of " + least.String() + " and more; " + otherwise.String() + " holds")
			return otherwise
		}
		return d
	}
	base := Check{
		Interval: duration("check_interval", 10*time.Second, time.Second), Timeout: duration("check_timeout", 0, time.Millisecond),
		Forget: duration("check_deregister_after", 0, time.Minute), Initial: v["check_initial_status"],
	}
	if !slices.Contains([]string{"", "passing", "warning", "critical"}, base.Initial) {
		fault("SERVICE_CHECK_INITIAL_STATUS=" + base.Initial + " is none of passing, warning and critical")
		base.Initial = ""
	}
	at := net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port)))
	add := func(kind string, change func(c *Check)) {
		c := base
		c.Kind, c.Target = kind, at
		change(&c)
		list = append(list, c)
	}
	overHTTP := func(scheme, path, method string) {
		add("http", func(c *Check) {
			c.Target = (&url.URL{Scheme: scheme, Host: at}).String() + "/" + strings.TrimPrefix(path, "/")
			c.Method, c.SkipVerify = method, isTrue(v["check_tls_skip_verify"])
		})
	}
	if p := v["check_http"]; p != "" {
		overHTTP("http", p, v["check_http_method"])
	} else if path != "" && protocol == "tcp" {
		overHTTP("http", path, "")
	}
	if p := v["check_https"]; p != "" {
		overHTTP("https", p, v["check_https_method"])
	}
	if v["check_tcp"] != "" || tcp && protocol == "tcp" {
		add("tcp", func(*Check) {})
	}
	if v["check_grpc"] != "" {
		add("grpc", func(c *Check) { c.TLS = isTrue(v["check_grpc_use_tls"]) })
	}
	if v["check_ttl"] != "" {
		if ttl := duration("check_ttl", 0, time.Second); ttl > 0 {
			add("ttl", func(c *Check) { c.Target, c.TTL, c.Interval = "", ttl, 0 })
		}
	}
	for _, key := range []string{"check_cmd", "check_script"} {
		if v[key] != "" {
			fault("SERVICE_" + strings.ToUpper(key) + " is refused: it would run a command on the machine of Consul's agent for everybody who may start containers; use SERVICE_CHECK_HTTP, _TCP, _GRPC or _TTL")
		}
	}
	return list
}
