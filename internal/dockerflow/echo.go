package dockerflow

import (
	"cmp"
	"reflect"
	"strconv"
	"strings"

	labels "fairway/internal/compile/dockerflow"
)

// echo is a service as the original shows it. Names and kinds of the fields are its
// contract; those of its inner workings are always empty.
type echo struct {
	ServiceName string
	ServiceDest []destination
	Users       []echoUser

	AclCondition, AclName, BackendExtra, CompressionAlgo, CompressionType string
	ConnectionMode, DebugFormat, DiscoveryType, ProxyInstanceName         string
	ReqPathReplace, ReqPathSearch, ServiceCert, ServiceDomainAlgo         string
	ServicePort, SessionType, TemplateBePath, TemplateFePath              string

	AddReqHeader, DelReqHeader, SetReqHeader []string
	AddResHeader, DelResHeader, SetResHeader []string
	Tasks                                    []string

	CheckResolvers, Debug, Distribute, IsDefaultBackend, IsGlobal   bool
	RedirectUnlessHttpsProto, RedirectWhenHttpProto, UseGlobalUsers bool

	LookupRetry, LookupRetryInterval, Replicas int
}

// echoUser is a user in an echo; the password is never shown.
type echoUser struct {
	Username, Password string
	PassEncrypted      bool
}

// destination is one way to a service: a port, and what leads there.
type destination struct {
	Index         int
	ServiceHeader map[string]string
	UserAgent     echoUserAgent

	BalanceGroup, HttpsRedirectCode, OutboundHostname, PathType, Port      string
	ReqMode, ReqModeFormatted, ReqPathSearchReplace, ServiceGroup, UserDef string
	SrcPortAcl, SrcPortAclName, SrcHttpsPortAcl, SrcHttpsPortAclName       string
	TimeoutClient, TimeoutServer, TimeoutTunnel                            string

	AllowedMethods, DeniedMethods, RedirectFromDomain []string
	ServiceDomain, ServicePath, ServicePathExclude    []string
	ReqPathSearchReplaceFormatted                     []string

	CheckTCP, Clitcpka, DenyHttp, HttpsOnly, IgnoreAuthorization bool
	IncludeSrcPortACL, IncludeSrcHttpsPortACL                    bool
	SslVerifyNone, VerifyClientSsl                               bool

	HTTPSPort             int `json:"HttpsPort"`
	SrcPort, SrcHttpsPort int
}

type echoUserAgent struct {
	Value   []string
	AclName string
}

// fill sets the fields of an answer that are named like a parameter, by their types.
func (s Settings) fill(answer any, get func(name string) string) {
	fields := reflect.ValueOf(answer).Elem()
	for _, p := range labels.Parameters() {
		field := fields.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, p.Name) })
		if !field.IsValid() {
			continue
		}
		switch f := field.Addr().Interface().(type) {
		case *string:
			*f = get(p.Name)
		case *[]string:
			*f = s.list(get(p.Name))
		case *bool:
			*f = yes(get(p.Name))
		case *int:
			if n, err := strconv.Atoi(get(p.Name)); err == nil { // what is no number is zero
				*f = n
			}
		}
	}
}

// echo shows a service. Of the parameters nothing is secret any more.
func (s Settings) echo(name string, params map[string]string) echo {
	_, counted := params["replicas"]
	var e echo
	s.fill(&e, func(name string) string { return params[name] })
	e.ServiceName, e.IsGlobal, e.ServiceDest = name, !counted, s.destinations(params)
	e.AddReqHeader = append(e.AddReqHeader, s.list(params["addHeader"])...)
	e.SetReqHeader = append(e.SetReqHeader, s.list(params["setHeader"])...)
	for _, user := range strings.FieldsFunc(params["users"], func(r rune) bool { return r == ',' || r == '\n' }) {
		name, _, _ := strings.Cut(user, ":")
		e.Users = append(e.Users, echoUser{strings.TrimSpace(name), masked, yes(params["usersPassEncrypted"])})
	}
	return e
}

// destinations reads the destinations: the indexed ones up to the first gap, for which
// parameters without an index are defaults; else the one without an index.
func (s Settings) destinations(params map[string]string) []destination {
	var all []destination
	there := func(name string, index int) bool { return params[indexed(name, index)] != "" }
	for _, i := range labels.Destinations(there) {
		d := s.destination(i, func(name string) string { return cmp.Or(params[indexed(name, i)], params[name]) })
		d.HttpsOnly = d.HttpsOnly || s.HTTPSOnly || yes(params["httpsOnly"])
		all = append(all, d)
	}
	return all
}

func (s Settings) destination(index int, get func(string) string) destination {
	d := destination{Index: index, UserAgent: echoUserAgent{Value: s.list(get("userAgent"))}}
	s.fill(&d, get)
	d.ReqMode = strings.ToLower(cmp.Or(d.ReqMode, "http"))
	if len(d.ServiceDomain) > 0 && len(d.ServicePath) == 0 {
		d.ServicePath = []string{"/"}
	}
	if d.HTTPSPort > 0 {
		d.SrcPort = cmp.Or(d.SrcPort, 80)
		d.SrcHttpsPort = cmp.Or(d.SrcHttpsPort, 443)
	}
	for _, header := range s.list(get("serviceHeader")) {
		if name, value, ok := strings.Cut(header, ":"); ok {
			if d.ServiceHeader == nil {
				d.ServiceHeader = map[string]string{}
			}
			d.ServiceHeader[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return d
}
