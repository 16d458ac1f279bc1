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

// verdict is the answer to a call that is decided without doing anything.
type verdict struct {
	code    int
	status  string
	message string
}

// judge decides about a call as far as that needs nothing but the call: the answer,
// or nil for a call that is to be carried out. Only the first destination counts,
// and the order of the checks is that of the original. 409 stands for a service
// that another proxy serves; listeners take it for success.
func (s Settings) judge(c call) *verdict {
	if c.service == "" {
		return refuse(http.StatusBadRequest, "serviceName parameter is mandatory")
	}
	if !isHostName(c.service) {
		return refuse(http.StatusBadRequest, "serviceName is the name that Docker's DNS knows: letters, digits, dots, dashes and underscores")
	}
	first := s.destinations(c.params)[0]
	if first.ReqMode == "http" {
		if len(first.ServicePath) == 0 && len(first.ServiceDomain) == 0 {
			return refuse(http.StatusConflict, "when using reqMode http, servicePath or serviceDomain are mandatory")
		}
	} else if first.SrcPort == 0 || first.Port == "" {
		return refuse(http.StatusBadRequest, "when NOT using reqMode http (e.g. tcp), srcPort and port parameters are mandatory")
	}
	if first.Port == "" && first.HTTPSPort == 0 {
		return refuse(http.StatusBadRequest, "port parameter is mandatory")
	}
	if replicas, given := c.params["replicas"]; given {
		if _, err := strconv.Atoi(replicas); err != nil {
			return refuse(http.StatusBadRequest, "replicas is not a number")
		}
	}
	return nil
}

func refuse(code int, message string) *verdict { return &verdict{code, statusNOK, message} }

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
		switch v := s.judge(c); {
		case v != nil:
			refused = append(refused, c.service+": "+v.message)
		case !gone(c):
			services = append(services, c.posted())
		}
	}
	return services, refused
}
