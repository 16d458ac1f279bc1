package dockerflow

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// echo is a service in the shape in which the original shows it. The names and
// kinds of the fields are its contract; fields of its inner workings are always
// empty.
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

// echo shows a service. Of the parameters nothing is secret any more.
func (s Settings) echo(name string, params map[string]string) echo {
	list := func(names ...string) []string {
		var all []string
		for _, n := range names {
			all = append(all, s.list(params[n])...)
		}
		return all
	}
	flag := func(name string) bool { return yes(params[name]) }
	_, counted := params["replicas"]
	e := echo{
		AclName:                  params["aclName"],
		AddReqHeader:             list("addReqHeader", "addHeader"),
		AddResHeader:             list("addResHeader"),
		BackendExtra:             params["backendExtra"],
		CheckResolvers:           flag("checkResolvers"),
		CompressionAlgo:          params["compressionAlgo"],
		CompressionType:          params["compressionType"],
		ConnectionMode:           params["connectionMode"],
		DelReqHeader:             list("delReqHeader"),
		DelResHeader:             list("delResHeader"),
		DiscoveryType:            params["discoveryType"],
		Distribute:               flag("distribute"),
		IsDefaultBackend:         flag("isDefaultBackend"),
		ProxyInstanceName:        params["proxyInstanceName"],
		RedirectWhenHttpProto:    flag("redirectWhenHttpProto"),
		RedirectUnlessHttpsProto: flag("redirectUnlessHttpsProto"),
		Replicas:                 number(params["replicas"]),
		ReqPathReplace:           params["reqPathReplace"],
		ReqPathSearch:            params["reqPathSearch"],
		ServiceDomainAlgo:        params["serviceDomainAlgo"],
		ServiceCert:              params["serviceCert"],
		ServiceName:              name,
		SessionType:              params["sessionType"],
		SetReqHeader:             list("setReqHeader", "setHeader"),
		SetResHeader:             list("setResHeader"),
		TemplateBePath:           params["templateBePath"],
		TemplateFePath:           params["templateFePath"],
		IsGlobal:                 !counted,
		ServiceDest:              s.destinations(params),
	}
	for _, user := range strings.FieldsFunc(params["users"], func(r rune) bool { return r == ',' || r == '\n' }) {
		name, _, _ := strings.Cut(user, ":")
		e.Users = append(e.Users, echoUser{strings.TrimSpace(name), masked, flag("usersPassEncrypted")})
	}
	return e
}

// destinations reads the destinations out of the parameters: the indexed ones up
// to the first gap, for which those without an index are defaults; else the one
// without an index. There is always at least one; without anything it is empty but
// for its mode.
func (s Settings) destinations(params map[string]string) []destination {
	var all []destination
	for i := 1; i <= maxIndex; i++ {
		if !slices.ContainsFunc([]string{"servicePath", "port", "serviceDomain", "httpsPort"}, func(name string) bool {
			return params[indexed(name, i)] != ""
		}) {
			break
		}
		all = append(all, s.destination(i, func(name string) string { return cmp.Or(params[indexed(name, i)], params[name]) }))
	}
	if len(all) == 0 {
		all = append(all, s.destination(0, func(name string) string { return params[name] }))
	}
	for i := range all {
		all[i].HttpsOnly = all[i].HttpsOnly || s.HTTPSOnly || yes(params["httpsOnly"])
	}
	return all
}

// destination reads one destination.
func (s Settings) destination(index int, get func(string) string) destination {
	flag := func(name string) bool { return yes(get(name)) }
	d := destination{
		AllowedMethods:       s.list(get("allowedMethods")),
		BalanceGroup:         get("balanceGroup"),
		CheckTCP:             flag("checkTcp"),
		Clitcpka:             flag("clitcpka"),
		DeniedMethods:        s.list(get("deniedMethods")),
		DenyHttp:             flag("denyHttp"),
		HttpsOnly:            flag("httpsOnly"),
		HTTPSPort:            number(get("httpsPort")),
		HttpsRedirectCode:    get("httpsRedirectCode"),
		IgnoreAuthorization:  flag("ignoreAuthorization"),
		OutboundHostname:     get("outboundHostname"),
		PathType:             get("pathType"),
		Port:                 get("port"),
		RedirectFromDomain:   s.list(get("redirectFromDomain")),
		ReqMode:              strings.ToLower(cmp.Or(get("reqMode"), "http")),
		ReqPathSearchReplace: get("reqPathSearchReplace"),
		ServiceDomain:        s.list(get("serviceDomain")),
		ServiceGroup:         get("serviceGroup"),
		ServicePath:          s.list(get("servicePath")),
		ServicePathExclude:   s.list(get("servicePathExclude")),
		SrcPort:              number(get("srcPort")),
		SrcHttpsPort:         number(get("srcHttpsPort")),
		SslVerifyNone:        flag("sslVerifyNone"),
		TimeoutServer:        get("timeoutServer"),
		TimeoutClient:        get("timeoutClient"),
		TimeoutTunnel:        get("timeoutTunnel"),
		VerifyClientSsl:      flag("verifyClientSsl"),
		UserAgent:            echoUserAgent{Value: s.list(get("userAgent"))},
		UserDef:              get("userDef"),
		Index:                index,
	}
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

// number reads a number; what is none is zero.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
