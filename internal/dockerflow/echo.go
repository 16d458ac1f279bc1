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
	AclName                  string
	AddReqHeader             []string
	AddResHeader             []string
	BackendExtra             string
	CheckResolvers           bool
	CompressionAlgo          string
	CompressionType          string
	ConnectionMode           string
	Debug                    bool
	DebugFormat              string
	DelReqHeader             []string
	DelResHeader             []string
	DiscoveryType            string
	Distribute               bool
	IsDefaultBackend         bool
	ProxyInstanceName        string
	RedirectWhenHttpProto    bool
	RedirectUnlessHttpsProto bool
	Replicas                 int
	ReqPathReplace           string
	ReqPathSearch            string
	ServiceCert              string
	ServiceDomainAlgo        string
	ServiceName              string
	SessionType              string
	SetReqHeader             []string
	SetResHeader             []string
	TemplateBePath           string
	TemplateFePath           string
	UseGlobalUsers           bool
	Users                    []echoUser
	ServicePort              string
	AclCondition             string
	IsGlobal                 bool
	LookupRetry              int
	LookupRetryInterval      int
	ServiceDest              []destination
	Tasks                    []string
}

// echoUser is a user in an echo; the password is never shown.
type echoUser struct {
	Username      string
	Password      string
	PassEncrypted bool
}

// destination is one way to a service: a port, and what leads there.
type destination struct {
	AllowedMethods                []string
	BalanceGroup                  string
	CheckTCP                      bool
	Clitcpka                      bool
	DeniedMethods                 []string
	DenyHttp                      bool
	HttpsOnly                     bool
	HTTPSPort                     int `json:"HttpsPort"`
	HttpsRedirectCode             string
	IgnoreAuthorization           bool
	OutboundHostname              string
	PathType                      string
	Port                          string
	RedirectFromDomain            []string
	ReqMode                       string
	ReqModeFormatted              string
	ReqPathSearchReplace          string
	ServiceDomain                 []string
	ServiceGroup                  string
	ServiceHeader                 map[string]string
	ServicePath                   []string
	ServicePathExclude            []string
	SrcPort                       int
	SrcHttpsPort                  int
	SrcPortAcl                    string
	SrcPortAclName                string
	SrcHttpsPortAcl               string
	SrcHttpsPortAclName           string
	SslVerifyNone                 bool
	TimeoutServer                 string
	TimeoutClient                 string
	TimeoutTunnel                 string
	VerifyClientSsl               bool
	UserAgent                     echoUserAgent
	UserDef                       string
	Index                         int
	ReqPathSearchReplaceFormatted []string
	IncludeSrcPortACL             bool
	IncludeSrcHttpsPortACL        bool
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
