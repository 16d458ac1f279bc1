package dockerflow

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"fairway/internal/catalog"
	labels "fairway/internal/compile/dockerflow"
)

// protects reports whether a label, with an index or without, protects its service.
func protects(label string) bool {
	name, _, _ := strings.Cut(label, ".")
	return slices.ContainsFunc(labels.Parameters(), func(p labels.Parameter) bool { return p.Protects && strings.EqualFold(p.Name, name) })
}

// maxIndex is the last index that is looked at.
const maxIndex = 10

// call is a service as a caller describes it: the parameters, by name with
// index ("port.2").
type call struct {
	service string
	params  map[string]string
}

// readCall reads a call from the query and the form, which holds the query, too. What
// is no parameter is ignored, for a Swarm Listener forwards every com.df.* label, also
// those for other programs.
func readCall(query, form url.Values) call {
	c := call{service: strings.TrimSpace(folded(form, "serviceName")), params: map[string]string{}}
	for _, p := range labels.Parameters() {
		switch {
		case p.LabelOnly:
		case p.Indexed:
			for _, key := range keysOf(p) {
				c.set(p, key, query.Get(key))
			}
		case p.Exact:
			c.set(p, p.Name, query.Get(p.Name))
		default:
			c.set(p, p.Name, folded(form, p.Name))
		}
	}
	if query.Has("reqPathSearch") && query.Has("reqPathReplace") {
		c.params["reqPathReplace"] = query.Get("reqPathReplace") // may be empty on purpose
	}
	return c
}

// keysOf are the names of a parameter, without an index and with each.
func keysOf(p labels.Parameter) []string {
	keys := []string{p.Name}
	for i := 1; p.Indexed && i <= maxIndex; i++ {
		keys = append(keys, indexed(p.Name, i))
	}
	return keys
}

// readMap reads a call from the parameters of one service in a listener's list.
func readMap(params map[string]string) call {
	values := url.Values{}
	for k, v := range params {
		values.Set(k, v)
	}
	return readCall(values, values)
}

// readEnvironment reads the services that variables describe: those that begin with
// DFP_SERVICE_, then DFP_SERVICE_1_, and so on until one has no name. The rules are
// those of a call. mode is the mode of a service that names none.
func readEnvironment(env map[string]string, mode string) []call {
	var calls []call
	for n := 0; ; n++ {
		prefix := "DFP_SERVICE_"
		if n > 0 {
			prefix += strconv.Itoa(n) + "_"
		}
		name := env[prefix+"SERVICE_NAME"]
		if name == "" && n > 0 {
			return calls
		}
		if name == "" {
			continue
		}
		values := url.Values{"serviceName": {name}}
		for _, p := range labels.Parameters() {
			for _, key := range keysOf(p) {
				v := env[prefix+strings.ReplaceAll(upperSnake(key), ".", "_")]
				if v = cmp.Or(v, env[prefix+strings.ToUpper(key)]); v != "" && !p.LabelOnly {
					values.Set(key, v)
				}
			}
		}
		if mode != "" && !values.Has("reqMode") {
			values.Set("reqMode", mode)
		}
		calls = append(calls, readCall(values, values))
	}
}

// upperSnake turns servicePathExclude into SERVICE_PATH_EXCLUDE.
func upperSnake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

func indexed(name string, i int) string { return name + "." + strconv.Itoa(i) }

// folded returns the first value under a name in any case; the exact name goes
// first.
func folded(values url.Values, name string) string {
	if v := values.Get(name); v != "" {
		return v
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if strings.EqualFold(key, name) && values.Get(key) != "" {
			return values.Get(key)
		}
	}
	return ""
}

// set keeps a value that was given. Booleans of the service are kept as true, or
// not at all.
func (c call) set(p labels.Parameter, key, value string) {
	switch {
	case value == "" || p.Boolean && !yes(value):
	case p.Boolean:
		c.params[key] = "true"
	default:
		c.params[key] = value
	}
}

// yes reads a boolean; what cannot be read is no.
func yes(value string) bool {
	v, err := strconv.ParseBool(value)
	return err == nil && v || value == "on"
}

// nameless refuses a call that names no service.
func (c call) nameless() (v verdict, decided bool) {
	if c.service != "" {
		return v, false
	}
	return refuse(http.StatusBadRequest, "serviceName parameter is mandatory"), true
}

// id is the ID of the posted service.
func (c call) id() string { return c.service + "@" + Source }

// posted returns the call as a service: its parameters as labels, and one instance
// that is reached under the name of the service, which Docker's DNS knows. The port
// comes from the labels.
func (c call) posted() *catalog.Service {
	own := make(map[string]string, len(c.params))
	for name, value := range c.params {
		own[LabelPrefix+name] = value
	}
	service := &catalog.Service{
		ID:        c.id(),
		Name:      c.service,
		Source:    Source,
		Labels:    own,
		OwnLabels: true,
		Posted:    true,
		Instances: []*catalog.Instance{{
			ID:        c.service,
			Name:      c.service,
			Source:    Source,
			State:     catalog.StateReady,
			Addresses: []catalog.Address{{Host: c.service, Reach: catalog.ReachFixed}},
		}},
	}
	if n, err := strconv.Atoi(c.params["replicas"]); err == nil {
		service.Replicas = &n
	}
	return service
}
