package dockerflow

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"fairway/internal/catalog"
)

// Settings say how calls are read. The zero value is what the original does
// without any variables.
type Settings struct {
	// Separator separates the elements of lists; empty means a comma.
	Separator string
	// HTTPSOnly makes every destination answer on HTTPS alone.
	HTTPSOnly bool
	// Instance is the name of this proxy. When FilterInstance is set, services
	// for proxies of another name are left alone.
	Instance       string
	FilterInstance bool
}

// verdict is the answer to a call: a status of HTTP, of which only 200 is good, and
// what is to be said.
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

// judge decides about a call as far as that needs nothing but the call: decided is
// false for a call that is to be carried out. Only the first destination counts,
// and the order of the checks is that of the original. 409 stands for a service
// that another proxy serves; listeners take it for success.
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

// gone reports whether a call says that the service has no running copy, which
// removes it.
func gone(c call) bool {
	n, err := strconv.Atoi(c.params["replicas"])
	return err == nil && n == 0
}

// isHostName allows what may stand in a host name, and an underscore, which Docker
// allows as well.
func isHostName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	return len(s) <= 253 && !strings.HasPrefix(s, ".") && strings.Trim(s, allowed) == ""
}

// list splits a list.
func (s Settings) list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, cmp.Or(s.Separator, ","))
}

// EnvironmentServices returns the services that the variables DFP_SERVICE_* and
// DFP_SERVICE_<n>_* describe, and the reasons why others are left out. mode is the
// mode of a service that names none; empty means http.
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
