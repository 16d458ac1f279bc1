package env

import "time"

// proxyVariables are those of Docker Flow Proxy, which docs/docker-flow-env.md shows.
func proxyVariables() []variable {
	const second = time.Second
	return []variable{
		{name: "BIND_PORTS", secret: true, status: kept, meaning: "Further ports to listen on; `:ssl` and `accept-proxy` are understood (the latter wants `trusted-proxies`), other words of HAProxy are an error.", read: readPorts},
		{name: "CA_FILE", status: kept, meaning: "Authorities for client certificates, on every listener with TLS.", read: readText(func(e *Environment) *string { return &e.clientCA })},
		{name: "CAPTURE_REQUEST_HEADER", status: ignored, meaning: "the access log holds no request headers"},
		{name: "CERTS", status: ignored, harmless: []string{"This variable is deprecated since February 2017"}, meaning: "it meant nothing in the original either"},
		{name: "CFG_TEMPLATE_PATH", status: refused, harmless: []string{"/cfg/tmpl/haproxy.tmpl"}, meaning: "there is no template of HAProxy's configuration, and what yours protects would be open; use labels and fairway.yml"},
		{name: "CHECK_RESOLVERS", status: ignored, harmless: []string{"false"}, meaning: "names are resolved with every connection anyway"},
		{name: "COMPRESSION_ALGO", status: kept, meaning: "Any value compresses the answers of every service, by what the client accepts.", read: func(e *Environment, value string) error {
			e.Labels.Compress = value != ""
			return nil
		}},
		{name: "COMPRESSION_TYPE", status: ignored, meaning: "what is worth compressing is compressed"},
		{name: "CONNECTION_MODE", secret: true, status: ignored, harmless: []string{"http-keep-alive", "http-server-close"}, meaning: "connections are kept on both sides"},
		{name: "CRT_LIST_PATH", status: refused, meaning: "a crt-list of HAProxy is not read; mount the certificates below /certs, or name them in tls.certificates"},
		{name: "DEBUG", secret: true, status: kept, meaning: "`true` writes the access log to standard output, unless `access-log` says where to.", read: readSwitch(func(e *Environment) *bool { return &e.Debug })},
		{name: "DEBUG_ERRORS_ONLY", secret: true, status: ignored, harmless: []string{"false"}, meaning: "the access log holds every request"},
		{name: "DEBUG_HTTP_FORMAT", secret: true, status: ignored, meaning: "the access log is JSON"},
		{name: "DEBUG_TCP_FORMAT", secret: true, status: ignored, meaning: "the access log is JSON"},
		{name: "DEFAULT_PORTS", secret: true, status: kept, meaning: "As `BIND_PORTS`. 80 and 443 stand for `listen` and `listen-tls`, wherever those listen.", read: readPorts},
		{name: "DEFAULT_REQ_MODE", secret: true, status: ignored, harmless: []string{"http"}, meaning: "a listener takes HTTP; TCP has listeners of its own"},
		{name: "DEFAULT_PROTOCOL", secret: true, status: kept, meaning: "The mode of services in `DFP_SERVICE_*` that name none.", read: readText(func(e *Environment) *string { return &e.mode })},
		{name: "DISPLAY_CONFIG_ON_ERROR", status: ignored, meaning: "`fairway routes` shows what is served"},
		{name: "DNS_LOOKUP_PAUSE_MS", status: ignored, meaning: "certificates of other replicas are taken over without a pause"},
		{name: "DO_NOT_RESOLVE_ADDR", status: ignored, harmless: []string{"true", "false"}, meaning: "a name that cannot be resolved never hurts another service"},
		{name: "ENABLE_H2", status: ignored, harmless: []string{"true"}, meaning: "HTTP/2 is always offered over TLS"},
		{name: "EXTRA_FRONTEND", secret: true, status: refused, meaning: "lines of HAProxy's configuration have no meaning here, and what they protect would be open; use labels"},
		{name: "EXTRA_GLOBAL", secret: true, status: ignored, meaning: "lines of HAProxy's configuration have no meaning here"},
		{name: "FILTER_PROXY_INSTANCE_NAME", status: kept, meaning: "Services whose `proxyInstanceName` is not `PROXY_INSTANCE_NAME` are left alone.", read: readSwitch(func(e *Environment) *bool { return &e.Labels.FilterInstance })},
		{name: "HEALTHCHECK", status: ignored, harmless: []string{"true"}, meaning: "the image decides about its health check"},
		{name: "HTTPS_ONLY", status: kept, meaning: "Every service is sent to HTTPS.", read: readSwitch(func(e *Environment) *bool { return &e.Labels.HTTPSOnly })},
		{name: "IP", status: ignored, harmless: []string{"0.0.0.0"}, meaning: "dockerflow.proxy.listen says where the API listens"},
		{name: "LISTENER_ADDRESS", status: kept, meaning: "Swarm Listeners from which all services are pulled at start: hosts, `host:port` or URLs, separated by commas.", read: readList(func(e *Environment) *[]string { return &e.Listeners })},
		{name: "MODE", status: ignored, harmless: []string{"default", "swarm", "service"}, meaning: "it meant nothing in the original either"},
		{name: "PORT", status: kept, meaning: "The port of the other replicas' APIs; that of `dockerflow.proxy.listen` by default.", read: readText(func(e *Environment) *string { return &e.Port })},
		{name: "PREFERRED_CERTIFICATE", status: kept, meaning: "Patterns for names of certificate files that come first, separated by commas; the first of all answers clients that name no host.", read: readList(func(e *Environment) *[]string { return &e.Preferred })},
		{name: "PROXY_INSTANCE_NAME", status: kept, meaning: "The name of this proxy, for `FILTER_PROXY_INSTANCE_NAME`.", read: readText(func(e *Environment) *string { return &e.Labels.Instance })},
		{name: "RECONFIGURE_ATTEMPTS", status: ignored, harmless: []string{"20"}, meaning: "a change is tried until it works"},
		{name: "RELOAD_ATTEMPTS", status: ignored, harmless: []string{"5"}, meaning: "pulling from a listener is tried until it works"},
		{name: "RELOAD_INTERVAL", status: kept, meaning: "Milliseconds between two tries of pulling; the first comes at once.", read: readSeconds(time.Millisecond, func(e *Environment) *time.Duration { return &e.PullInterval })},
		{name: "REPEAT_RELOAD", status: kept, meaning: "Pulling goes on after the first success; services that the listener no longer lists are removed.", read: readSwitch(func(e *Environment) *bool { return &e.Repeat })},
		{name: "RESOLVERS", secret: true, status: ignored, harmless: []string{"nameserver dns 127.0.0.11:53"}, meaning: "names are resolved as the system says"},
		{name: "SEPARATOR", status: kept, meaning: "What separates the elements of lists; a comma by default.", read: readText(func(e *Environment) *string { return &e.Labels.Separator })},
		{name: "SERVICE_DOMAIN_ALGO", status: kept, meaning: "How domains are compared. The default here is the whole name, `hdr(host)`; the original's, `hdr_beg(host)`, also takes names of others that begin alike.", read: readText(func(e *Environment) *string { return &e.Labels.DomainAlgo })},
		{name: "SERVICE_NAME", status: kept, meaning: "The name of the proxy's own service, `proxy` by default: replicas are found as `tasks.<name>`.", read: readText(func(e *Environment) *string { return &e.ServiceName })},
		{name: "SKIP_ADDRESS_VALIDATION", status: kept, meaning: "`false` refuses a service whose name cannot be resolved.", read: func(e *Environment, value string) error {
			e.CheckAddress = value == "false"
			return nil
		}},
		{name: "SSL_BIND_CIPHERS", secret: true, status: ignored, meaning: "the ciphers are those that are safe today"},
		{name: "SSL_BIND_OPTIONS", secret: true, status: ignored, harmless: []string{"no-sslv3"}, meaning: "TLS 1.2 is the least"},
		{name: "STATS_USER", secret: true, status: ignored, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "STATS_PASS", secret: true, status: ignored, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "STATS_URI", secret: true, status: ignored, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "STATS_PORT", secret: true, status: ignored, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "STATS_USER_ENV", status: ignored, harmless: []string{"STATS_USER"}, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "STATS_PASS_ENV", status: ignored, harmless: []string{"STATS_PASS"}, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "STATS_URI_ENV", status: ignored, harmless: []string{"STATS_URI"}, meaning: "there is no statistics page of HAProxy; metrics are at /metrics"},
		{name: "TERMINATE_ON_RELOAD", status: ignored, harmless: []string{"false"}, meaning: "no connection is cut by a change"},
		{name: "TIMEOUT_CLIENT", secret: true, status: ignored, harmless: []string{"20"}, meaning: "a client that stalls is cut off by how much it sends or takes"},
		{name: "TIMEOUT_CONNECT", secret: true, status: kept, meaning: "Seconds to connect to a service; 3 by default.", read: readSeconds(second, func(e *Environment) *time.Duration { return &e.Limits.DialTimeout })},
		{name: "TIMEOUT_QUEUE", secret: true, status: ignored, harmless: []string{"30"}, meaning: "requests wait for a service only where a label says so"},
		{name: "TIMEOUT_SERVER", secret: true, status: kept, meaning: "Seconds to wait for the header of an answer; 60 by default.", read: readSeconds(second, func(e *Environment) *time.Duration { return &e.Limits.ResponseTimeout })},
		{name: "TIMEOUT_TUNNEL", secret: true, status: ignored, harmless: []string{"3600"}, meaning: "tunnels may be idle for an hour, or as long as the label timeoutTunnel says"},
		{name: "TIMEOUT_HTTP_REQUEST", secret: true, status: kept, meaning: "Seconds to receive the header of a request; 10 by default.", read: readSeconds(second, func(e *Environment) *time.Duration { return &e.Limits.HeaderTimeout })},
		{name: "TIMEOUT_HTTP_KEEP_ALIVE", secret: true, status: kept, meaning: "Seconds that a connection of a client may be idle; 120 by default.", read: readSeconds(second, func(e *Environment) *time.Duration { return &e.Limits.IdleTimeout })},
		{name: "USERS", secret: true, status: kept, meaning: "Users of every service that has none of its own. When none of them can be read, no user is let in.", read: func(e *Environment, value string) error {
			if value != "" {
				e.users = &value
			}
			return nil
		}},
		{name: "USERS_PASS_ENCRYPTED", secret: true, status: kept, meaning: "The passwords in `USERS` are hashes.", read: readSwitch(func(e *Environment) *bool { return &e.encrypted })},
	}
}

// listenerVariables are the variables of Docker Flow Swarm Listener. Of
// variables for the same thing the later one wins.
func listenerVariables() []variable {
	create := readURLs(func(e *Environment) *[]string { return &e.createService })
	remove := readURLs(func(e *Environment) *[]string { return &e.removeService })
	return []variable{
		{name: "DF_DOCKER_HOST", status: ignored, harmless: []string{"unix:///var/run/docker.sock"}, meaning: "the keys docker and swarm say what is watched"},
		{name: "DF_NOTIFY_LABEL", status: kept, meaning: "The label that must say `true`; `com.df.notify` by default. It also holds for the proxy's labels.", read: func(e *Environment, value string) error {
			e.Announcing.Label, e.Labels.NotifyLabel = value, value
			return nil
		}},
		{name: "DF_NOTIFICATION_URL", status: kept, meaning: "The oldest name, for both kinds of calls about services.", read: func(e *Environment, value string) error {
			if err := create(e, value); err != nil {
				return err
			}
			return remove(e, value)
		}},
		{name: "DF_NOTIFY_CREATE_SERVICE_URL", appended: true, status: kept, meaning: "URLs that are notified of services that come or change, separated by commas.", read: create},
		{name: "DF_NOTIFY_REMOVE_SERVICE_URL", appended: true, status: kept, meaning: "URLs that are notified of services that go.", read: remove},
		{name: "DF_NOTIF_CREATE_SERVICE_URL", status: kept, meaning: "An older name; it wins.", read: create},
		{name: "DF_NOTIF_REMOVE_SERVICE_URL", status: kept, meaning: "An older name; it wins.", read: remove},
		{name: "DF_NOTIFY_CREATE_NODE_URL", appended: true, status: kept, meaning: "URLs that are notified of nodes that come or change.", read: readURLs(func(e *Environment) *[]string { return &e.createNode })},
		{name: "DF_NOTIFY_REMOVE_NODE_URL", appended: true, status: kept, meaning: "URLs that are notified of nodes that go.", read: readURLs(func(e *Environment) *[]string { return &e.removeNode })},
		{name: "DF_NOTIFY_CREATE_SERVICE_METHOD", status: kept, meaning: "Methods for the URLs, in their order; the last one holds for the rest.", read: readList(func(e *Environment) *[]string { return &e.createMethods })},
		{name: "DF_NOTIFY_REMOVE_SERVICE_METHOD", status: kept, meaning: "Methods for the URLs, in their order; the last one holds for the rest.", read: readList(func(e *Environment) *[]string { return &e.removeMethods })},
		{name: "DF_RETRY", status: kept, meaning: "How often a call is tried again; 50 by default, as in the image.", read: func(e *Environment, value string) error {
			var retries time.Duration
			if err := readSeconds(1, func(*Environment) *time.Duration { return &retries })(e, value); err != nil || value == "" {
				return err
			}
			if e.Retries = int(retries); retries == 0 {
				e.Retries = -1
			}
			return nil
		}},
		{name: "DF_RETRY_INTERVAL", status: kept, meaning: "Seconds between two tries; 5 by default, as in the image. 0, which ended all retrying, means 1 here.", read: func(e *Environment, value string) error {
			err := readSeconds(time.Second, func(e *Environment) *time.Duration { return &e.RetryInterval })(e, value)
			if err == nil && value != "" {
				e.RetryInterval = max(e.RetryInterval, time.Second)
			}
			return err
		}},
		{name: "DF_USE_DOCKER_SERVICE_EVENTS", status: ignored, harmless: []string{"true"}, meaning: "events are always followed, and nothing depends on them alone"},
		{name: "DF_USE_DOCKER_NODE_EVENTS", status: ignored, harmless: []string{"true"}, meaning: "events are always followed, and nothing depends on them alone"},
		{name: "DF_SERVICE_POLLING_INTERVAL", status: ignored, harmless: []string{"-1"}, meaning: "the interval follows what happens"},
		{name: "DF_NODE_POLLING_INTERVAL", status: ignored, harmless: []string{"-1"}, meaning: "the interval follows what happens"},
		{name: "DF_INCLUDE_NODE_IP_INFO", status: kept, meaning: "Adds `nodeInfo`: where the instances of a service run.", read: readSwitch(func(e *Environment) *bool { return &e.Announcing.NodeInfo })},
		{name: "DF_NODE_IP_INFO_INCLUDES_TASK_ADDRESS", status: ignored, harmless: []string{"true"}, meaning: "nodeInfo holds the addresses of the instances"},
		{name: "DF_SERVICE_NAME_PREFIX", status: kept, meaning: "Goes, with an underscore behind it, before the name of every service.", read: readText(func(e *Environment) *string { return &e.Announcing.NamePrefix })},
		{name: "DF_NOTIFY_CREATE_SERVICE_IMMEDIATELY", status: ignored, harmless: []string{"true", "false"}, meaning: "notifications about services are always sent at once"},
	}
}
