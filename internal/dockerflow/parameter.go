package dockerflow

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"fairway/internal/catalog"
)

// parameter is one of the vocabulary. A parameter of the service is found under
// its name in any case, in the query or the form, unless it is exact; one of a
// destination may be indexed, and is found under its exact name in the query.
type parameter struct {
	name        string
	destination bool
	exact       bool
	boolean     bool
	// protects is true of those without which a service would serve more requests, or
	// requests of more clients.
	protects bool
}

// parameters is the vocabulary of reconfigure. What is not in it is ignored, for a
// Swarm Listener forwards every com.df.* label, also those for other programs.
var parameters = []parameter{
	{name: "aclName"},
	{name: "distribute", boolean: true},
	{name: "proxyInstanceName"},
	{name: "replicas", exact: true},
	{name: "discoveryType"},
	{name: "sessionType"},
	{name: "connectionMode"},
	{name: "checkResolvers", boolean: true},
	{name: "compressionAlgo"},
	{name: "compressionType"},
	{name: "addReqHeader", exact: true},
	{name: "addHeader", exact: true},
	{name: "setReqHeader", exact: true},
	{name: "setHeader", exact: true},
	{name: "delReqHeader", exact: true},
	{name: "addResHeader", exact: true},
	{name: "setResHeader", exact: true},
	{name: "delResHeader", exact: true},
	{name: "backendExtra", protects: true},
	{name: "isDefaultBackend", boolean: true},
	{name: "redirectWhenHttpProto", boolean: true},
	{name: "redirectUnlessHttpsProto", boolean: true},
	{name: "reqPathSearch"},
	{name: "reqPathReplace"},
	{name: "serviceCert"},
	{name: "serviceDomainAlgo"},
	{name: "serviceDomainMatchAll", exact: true, boolean: true},
	{name: "templateFePath"},
	{name: "templateBePath"},
	{name: "users", exact: true, protects: true},
	{name: "usersSecret", exact: true},
	{name: "usersPassEncrypted", exact: true, boolean: true},

	{name: "port", destination: true},
	{name: "httpsPort", destination: true},
	{name: "srcPort", destination: true},
	{name: "srcHttpsPort", destination: true},
	{name: "servicePath", destination: true},
	{name: "servicePathExclude", destination: true},
	{name: "pathType", destination: true},
	{name: "serviceDomain", destination: true},
	{name: "serviceHeader", destination: true, protects: true},
	{name: "userAgent", destination: true},
	{name: "reqMode", destination: true},
	{name: "httpsOnly", destination: true},
	{name: "httpsRedirectCode", destination: true},
	{name: "denyHttp", destination: true},
	{name: "allowedMethods", destination: true},
	{name: "deniedMethods", destination: true},
	{name: "redirectFromDomain", destination: true},
	{name: "reqPathSearchReplace", destination: true},
	{name: "outboundHostname", destination: true},
	{name: "sslVerifyNone", destination: true},
	{name: "verifyClientSsl", destination: true},
	{name: "ignoreAuthorization", destination: true},
	{name: "timeoutServer", destination: true},
	{name: "timeoutTunnel", destination: true},
	{name: "timeoutClient", destination: true},
	{name: "checkTcp", destination: true},
	{name: "clitcpka", destination: true},
	{name: "serviceGroup", destination: true},
	{name: "balanceGroup", destination: true},
	{name: "userDef", destination: true},
}

// protects reports whether a label, with an index or without, protects its service.
func protects(label string) bool {
	name, _, _ := strings.Cut(label, ".")
	return slices.ContainsFunc(parameters, func(p parameter) bool { return p.protects && strings.EqualFold(p.name, name) })
}

// maxIndex is the last index that is looked at.
const maxIndex = 10

// call is a service as a caller describes it: the parameters, by name with
// index ("port.2").
type call struct {
	service string
	params  map[string]string
}

// readCall reads a call from the query and the form, which holds the query, too.
func readCall(query, form url.Values) call {
	c := call{service: strings.TrimSpace(folded(form, "serviceName")), params: map[string]string{}}
	for _, p := range parameters {
		switch {
		case p.destination:
			c.set(p, p.name, query.Get(p.name))
			for i := 1; i <= maxIndex; i++ {
				c.set(p, indexed(p.name, i), query.Get(indexed(p.name, i)))
			}
		case p.exact:
			c.set(p, p.name, query.Get(p.name))
		default:
			c.set(p, p.name, folded(form, p.name))
		}
	}
	if query.Has("reqPathSearch") && query.Has("reqPathReplace") {
		c.params["reqPathReplace"] = query.Get("reqPathReplace") // may be empty on purpose
	}
	return c
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
		for _, p := range parameters {
			variable := prefix + upperSnake(p.name)
			if v := cmp.Or(env[variable], env[prefix+strings.ToUpper(p.name)]); v != "" {
				values.Set(p.name, v)
			}
			for i := 1; p.destination && i <= maxIndex; i++ {
				if v := env[variable+"_"+strconv.Itoa(i)]; v != "" {
					values.Set(indexed(p.name, i), v)
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
func (c call) set(p parameter, key, value string) {
	if p.boolean {
		if yes(value) {
			c.params[key] = "true"
		}
		return
	}
	if value != "" {
		c.params[key] = value
	}
}

// yes reads a boolean; what cannot be read is no.
func yes(value string) bool {
	v, err := strconv.ParseBool(value)
	return err == nil && v || value == "on"
}

// id is the ID of the posted service.
func (c call) id() string { return c.service + "@" + Source }

// posted returns the call as a service: its parameters as labels, and one instance
// that is reached under the name of the service, which Docker's DNS knows. The port
// comes from the labels.
func (c call) posted() *catalog.Service {
	labels := make(map[string]string, len(c.params))
	for name, value := range c.params {
		labels[LabelPrefix+name] = value
	}
	service := &catalog.Service{
		ID:        c.id(),
		Name:      c.service,
		Source:    Source,
		Labels:    labels,
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
