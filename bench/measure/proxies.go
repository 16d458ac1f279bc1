package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// configure writes what the named proxy needs to serve n hosts, each with a
// backend of its own at the same address, and returns how to start it. All of
// them get one thread's worth of work, keep connections to the backend, set
// X-Forwarded-For and write no access log. An error that is exec.ErrNotFound
// says that the program is not installed. With a key pair they serve HTTPS, HTTP/2 included.
func configure(name, binary, dir, address, backend string, n int, pair *keyPair) (args []string, version string, err error) {
	write := func(file, text string) string {
		path := filepath.Join(dir, file)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		return path
	}
	if name != "fairway" && name != "fairway-haproxy" {
		program, _, _ := strings.Cut(name, "-")
		if binary, err = exec.LookPath(program); err != nil {
			return nil, "", err
		}
	}
	switch name {
	case "fairway", "fairway-haproxy":
		file := write("services.yml", fairwayServices(backend, n))
		args = []string{
			binary, "run", "--file", file, "--admin.listen", "off", "--state-dir", filepath.Join(dir, "state"),
			"--max-connections-per-client", strconv.Itoa(maxConns()),
		}
		if pair == nil {
			args = append(args, "--listen", address)
		} else {
			args = append(args, "--listen", "off", "--listen-tls", address, "--tls.certificates", pair.cert+","+pair.key)
		}
		version = "this one"
		if name == "fairway-haproxy" {
			if _, err := exec.LookPath("haproxy"); err != nil {
				return nil, "", err
			}
			args, version = append(args, onHAProxy()...), versionOf("haproxy", "-v")
		}
	case "nginx":
		conf := write("nginx.conf", nginxConf(dir, address, backend, n, pair))
		args, version = []string{binary, "-c", conf}, versionOf(binary, "-v")
	case "haproxy", "haproxy-equal":
		hosts := write("hosts.map", haproxyMap(n))
		conf := write("haproxy.cfg", haproxyConf(hosts, address, backend, n, name == "haproxy-equal", pair))
		args, version = []string{binary, "-db", "-f", conf}, versionOf(binary, "-v")
	case "caddy":
		conf := write("caddy.json", caddyConf(address, backend, n, pair))
		args, version = []string{binary, "run", "--config", conf}, versionOf(binary, "version")
	default:
		return nil, "", fmt.Errorf("unknown proxy %q", name)
	}
	return args, version, err
}

// maxConns is how many clients a proxy takes: as many as open files allow, twice each.
func maxConns() int {
	var files syscall.Rlimit
	check(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	return int(min((files.Cur-200)/2, 20_000))
}

// configureTCP is configure for connections that are passed through as they are.
func configureTCP(name, binary, dir, address, backend string) (args []string, version string, err error) {
	write := func(file, text string) string {
		path := filepath.Join(dir, file)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		return path
	}
	if name != "fairway" && name != "fairway-haproxy" {
		if binary, err = exec.LookPath(name); err != nil {
			return nil, "", err
		}
	}
	_, port, _ := net.SplitHostPort(address)
	switch name {
	case "fairway", "fairway-haproxy":
		file := write("services.yml", fmt.Sprintf("services:\n  - name: s0\n    labels: {fairway.scheme: tcp, fairway.listen: %q}\n    instances: [{address: %q}]\n", port, backend))
		args = []string{
			binary, "run", "--file", file, "--admin.listen", "off", "--state-dir", filepath.Join(dir, "state"),
			"--listen", freeAddress(), "--tcp-ports", port,
		}
		version = "this one"
		if name == "fairway-haproxy" {
			if _, err := exec.LookPath("haproxy"); err != nil {
				return nil, "", err
			}
			args, version = append(args, onHAProxy()...), versionOf("haproxy", "-v")
		}
	case "nginx":
		const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
		if _, err := os.Stat(module); err != nil {
			return nil, "", exec.ErrNotFound
		}
		conf := write("nginx.conf", fmt.Sprintf("load_module %s;\ndaemon off;\nuser root;\nworker_processes 1;\npid %s;\nerror_log stderr crit;\nevents { worker_connections 16384; }\n"+
			"stream { server { listen %s; proxy_pass %s; } }\n", module, filepath.Join(dir, "nginx.pid"), address, backend))
		args, version = []string{binary, "-c", conf}, versionOf(binary, "-v")
	case "haproxy":
		conf := write("haproxy.cfg", fmt.Sprintf("global\n  maxconn %d\n  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"+
			"listen in\n  bind %s\n  server s %s\n", maxConns(), address, backend))
		args, version = []string{binary, "-db", "-f", conf}, versionOf(binary, "-v")
	default:
		return nil, "", fmt.Errorf("%q passes no connections through here", name)
	}
	return args, version, err
}

// versionOf finds the first word with a digit and a dot in what a program says
// about its version.
func versionOf(binary, arg string) string {
	out, _ := exec.Command(binary, arg).CombinedOutput() //nolint:gosec,noctx // answers at once
	for _, word := range strings.Fields(string(out)) {
		word = strings.TrimPrefix(word, "nginx/")
		if strings.Contains(word, ".") && strings.ContainsAny(word, "0123456789") {
			return strings.TrimSuffix(word, ",")
		}
	}
	return "?"
}

func fairwayServices(backend string, n int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: s%d\n    labels: {fairway.host: %s}\n    instances: [{address: %q}]\n", i, hostOf(i), backend)
	}
	return b.String()
}

// nginxHead begins a configuration with everything but the servers.
func nginxHead(dir, name string) string {
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s;\n", kind, filepath.Join(dir, name+"-"+kind))
	}
	return fmt.Sprintf(`daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
pid %s;
error_log stderr crit;
events { worker_connections 16384; }
http {
access_log off;
%s`, filepath.Join(dir, name+".pid"), temp.String())
}

func nginxConf(dir, address, backend string, n int, pair *keyPair) string {
	var b strings.Builder
	b.WriteString(nginxHead(dir, "nginx"))
	b.WriteString(`server_names_hash_max_size 65536;
server_names_hash_bucket_size 128;
keepalive_requests 1000000000;
proxy_http_version 1.1;
map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
proxy_set_header Connection $connection_upgrade;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Host $host;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;
`)
	listen := address
	if pair != nil {
		listen += " ssl http2"
		fmt.Fprintf(&b, "ssl_certificate %s;\nssl_certificate_key %s;\nssl_session_tickets off;\n", pair.cert, pair.key)
	}
	for i := range n {
		fmt.Fprintf(&b, "upstream b%d { server %s; keepalive 64; keepalive_requests 1000000000; }\n", i, backend)
		fmt.Fprintf(&b, "server { listen %s; server_name %s; location / { proxy_pass http://b%d; } }\n", listen, hostOf(i), i)
	}
	b.WriteString("}\n")
	return b.String()
}

func haproxyMap(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s b%d\n", hostOf(i), i)
	}
	return b.String()
}

// haproxyConf is a configuration as one writes it by hand: the least there is to
// write, or with what Fairway's promises to requests.
func haproxyConf(hosts, address, backend string, n int, equal bool, pair *keyPair) string {
	defaults, rules := "  option forwardfor\n", ""
	if equal {
		defaults = "  retry-on conn-failure empty-response\n  option redispatch 1\n  balance roundrobin\n"
		rules = `  http-request set-var(txn.id) uuid()
  http-request set-header X-Request-Id %[var(txn.id)]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Real-Ip %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port 80
  http-request del-header forwarded
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS PUT DELETE }
  http-response set-header X-Request-Id %[var(txn.id)]
`
	}
	if pair != nil {
		address += " ssl crt " + pair.both + " alpn h2,http/1.1 no-tls-tickets"
		rules = strings.ReplaceAll(strings.ReplaceAll(rules, "-Proto http\n", "-Proto https\n"), "-Port 80\n", "-Port 443\n")
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
  maxconn %d
  nbthread 1
defaults
  mode http
%s  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind %s
%s  use_backend %%[req.hdr(host),lower,map(%s)]
`, maxConns(), defaults, address, rules, hosts)
	for i := range n {
		fmt.Fprintf(&b, "backend b%d\n  server s %s\n", i, backend)
	}
	return b.String()
}

func caddyConf(address, backend string, n int, pair *keyPair) string {
	var routes []object
	for i := range n {
		routes = append(routes, object{
			"match":    []object{{"host": []string{hostOf(i)}}},
			"handle":   []object{{"handler": "reverse_proxy", "upstreams": []object{{"dial": backend}}}},
			"terminal": true,
		})
	}
	server := object{"listen": []string{address}, "routes": routes, "automatic_https": object{"disable": true}}
	apps := object{"http": object{"servers": object{"bench": server}}}
	if pair != nil {
		server["tls_connection_policies"] = []object{{}}
		apps["tls"] = object{"certificates": object{"load_files": []object{{"certificate": pair.cert, "key": pair.key}}}}
	}
	text, _ := json.Marshal(object{ // which always encodes
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"level": "ERROR"}}},
		"apps":    apps,
	})
	return string(text)
}

// onHAProxy are the flags for a Fairway that has HAProxy serve, with one thread as the others.
func onHAProxy() []string {
	return []string{"--engine", "haproxy", "--haproxy.threads", "1", "--haproxy.max-connections", strconv.Itoa(maxConns()), "--haproxy.stop-with-fairway"}
}
