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

// call is a service as a caller describes it: parameters by name and index ("port.2").
type call struct {
	service string
	params  map[string]string
}

// readCall reads the parameters of a call from the query and the form, which holds both.
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

// readEnvironment reads the services that variables describe, as calls: those that begin with
// DFP_SERVICE_, then DFP_SERVICE_1_, and so on until one has no name.
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

// folded returns the first value under a name in any case, the exact one first.
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

// set keeps a value that was given; a boolean as true, or not at all.
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

func (c call) id() string { return c.service + "@" + Source }

// posted returns the call as a service: its parameters as labels, and one instance under the
// name of the service, which Docker's DNS knows.
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

// Settings say how calls are read: as labels are.
type Settings labels.Options

// verdict is the answer to a call: a status of HTTP, 200 or bad, and what is said.
type verdict struct {
	code    int
	message string
}

func done(message string) verdict { return verdict{http.StatusOK, message} }

func refuse(code int, message string) verdict { return verdict{code, message} }

// status is the word of the verdict in the answer.
func (v verdict) status() string {
	if v.code == http.StatusOK {
		return statusOK
	}
	return statusNOK
}

// judge refuses a call that nothing can come of; decided is false for any other. As in
// the original, only the first destination counts, and the checks have this order. 409 is
// what listeners take for success.
func (s Settings) judge(c call) (v verdict, decided bool) {
	first := s.destinations(c.params)[0]
	isHTTP := first.ReqMode == "http"
	replicas, counted := c.params["replicas"]
	_, err := strconv.Atoi(replicas)
	switch {
	case c.service == "":
		v = refuse(http.StatusBadRequest, "serviceName parameter is mandatory")
	case !isHostName(c.service):
		v = refuse(http.StatusBadRequest, "serviceName is the name that Docker's DNS knows: letters, digits, dots, dashes and underscores")
	case isHTTP && len(first.ServicePath) == 0 && len(first.ServiceDomain) == 0:
		v = refuse(http.StatusConflict, "when using reqMode http, servicePath or serviceDomain are mandatory")
	case !isHTTP && (first.SrcPort == 0 || first.Port == ""):
		v = refuse(http.StatusBadRequest, "when NOT using reqMode http (e.g. tcp), srcPort and port parameters are mandatory")
	case first.Port == "" && first.HTTPSPort == 0:
		v = refuse(http.StatusBadRequest, "port parameter is mandatory")
	case counted && err != nil:
		v = refuse(http.StatusBadRequest, "replicas is not a number")
	}
	return v, v.code != 0
}

// foreign reports whether the service of a call is for a proxy of another name.
func (s Settings) foreign(c call) bool {
	return s.FilterInstance && !strings.EqualFold(c.params["proxyInstanceName"], s.Instance)
}

// gone reports whether a call says that nothing runs, which removes the service.
func gone(c call) bool {
	n, err := strconv.Atoi(c.params["replicas"])
	return err == nil && n == 0
}

// isHostName allows what may stand in a host name, and an underscore, as Docker does.
func isHostName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	return len(s) <= 253 && !strings.HasPrefix(s, ".") && strings.Trim(s, allowed) == ""
}

func (s Settings) list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, cmp.Or(s.Separator, ","))
}

// EnvironmentServices returns the services that the variables DFP_SERVICE_* and
// DFP_SERVICE_<n>_* describe, and the reasons why others are left out. mode is that of a
// service that names none; empty means http.
func (s Settings) EnvironmentServices(env map[string]string, mode string) (services []*catalog.Service, refused []string) {
	for _, c := range readEnvironment(env, mode) {
		switch v, decided := s.judge(c); {
		case decided:
			refused = append(refused, c.service+": "+v.message)
		case !gone(c):
			services = append(services, c.posted())
		}
	}
	return services, refused
}
