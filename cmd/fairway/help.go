package main

import (
	"cmp"
	"strings"

	"github.com/alecthomas/kong"
)

// describe gives each command its help in full, and each key of the configuration its
// group.
func describe(model *kong.Node) {
	for _, n := range model.Leaves(false) {
		n.Detail = cmp.Or(details[strings.TrimPrefix(n.Path(), model.Name+" ")], n.Detail)
		for _, f := range n.Flags {
			if f.Group != nil && f.Group.Key == "config" {
				f.Group = keyGroup(f.Name)
			}
		}
	}
}

// keyGroup is the group of flags that a key of the configuration is listed in.
func keyGroup(key string) *kong.Group {
	first, _, _ := strings.Cut(key, ".")
	title := "Requests"
	switch first {
	case "admin":
		title = "Admin API and pages"
	case "consul", "docker", "swarm", "docker-tls", "docker-ssh", "docker-insecure", "docker-label", "shared-services", "file", "label-files", "quiet", "bound":
		title = "Sources and labels"
	case "dockerflow":
		title = "Docker Flow"
	case "dns":
		title = "DNS"
	case "fleet":
		title = "Fleet"
	case "notify", "rules", "series":
		title = "Notifications, rules and readings"
	case "engine", "haproxy":
		title = "Engine"
	case "state-dir", "history", "access-log", "log":
		title = "State and logs"
	}
	return &kong.Group{Key: "config." + title, Title: title + ":"}
}

// keysHelp says what the flags of run and config are besides.
const keysHelp = `Each flag but --config is also an environment variable (--admin.listen is FAIRWAY_ADMIN_LISTEN) and a key of fairway.yml (listen: below admin:). Flags override variables, variables override the file.`

// details are the help of commands in full. What is indented there are examples.
var details = map[string]string{
	"run": `Without any flag it watches the local Docker engine and serves port 80, or 8000 where port 80 needs rights it does not have.

    fairway run
    fairway run --docker unix:///var/run/docker.sock --docker ssh://ops@edge2.example.com
    fairway run --file services.yml --listen 127.0.0.1:8000
    fairway run --tls.certificates cert.pem,key.pem --access-log -

SIGTERM and SIGINT drain: /ready answers 503, nothing new is accepted, and running requests may finish within drain-timeout; the admin API goes last. A second signal ends at once.

` + keysHelp,
	"check": `All files are checked together, as if everything in them ran on one machine: two services that claim the same host are a problem. A Compose file with labels under deploy, beside a configuration that watches a Swarm, or with --stack, is a stack: its labels are those of services, and those of containers a problem. Labels are read as the configuration says that is given, else the one that run would use, with the variables of the environment. What a configuration among the files names is looked at, too, as a start would: services files, the fleet file and how its hosts are reached, certificates with their keys, CA files, files of tokens, passwords and users. What only a daemon can know (addresses, the ports of an image) is left out. A service with labels of Traefik, Caddy or nginx-proxy alone gets a note with the labels of Fairway that say the same. The last line says which files were looked at. The exit code is 1 when there are problems; notes are none.

    fairway check compose.yml
    fairway check --stack stack.yml
    fairway check fairway.yml services.yml shop/compose.yml blog/compose.yml
    docker compose config | fairway check /dev/stdin

The last one sees a Compose file with all that it extends and includes, which are not followed otherwise.`,
	"config": `It takes the same flags as run, and checks as run does.

    fairway config
    fairway config --config /etc/fairway/fairway.yml -o json

` + keysHelp,
	"demo": `Starts a few labelled services, serves them, makes requests while services come, grow and
go, and prints what to try. Everything it has started is removed again at the end, which is
Ctrl-C. The services are containers of an image made from nothing but this program; nothing
is downloaded. Without a Docker engine they are processes.`,

	"status": `Lists every route, service and source that is not healthy, the worst first, with the reason and what to do, and any rollback or pin in force. The exit code is 1 when something is wrong, or not known yet.

    fairway status
    fairway status -o json | jq -r '.findings[] | "\(.state) \(.subject): \(.text)"'`,
	"routes": `Examples:

    fairway routes
    fairway routes --host shop.example.com
    fairway routes --state degraded,refused,down
    fairway routes --watch
    fairway routes --traffic -w
    fairway routes -o json | jq -r '.items[].id'`,
	"services": `Examples:

    fairway services
    fairway services shop-web
    fairway services shop-web -o json`,
	"nodes": `Examples:

    fairway nodes
    fairway nodes -o json`,
	"problems": `The exit code is 1 when there are problems.

    fairway problems
    fairway problems --service shop-web
    fairway problems -o json | jq -r '.items[] | "\(.service) \(.label): \(.text)"'`,
	"certs show": `Prints what is known of the certificates for a host: what Fairway does to get one, which label wants it, why the last order failed, and which files have it. The exit code is 1 when something is wrong.

    fairway certs show app.example.com`,
	"certs renew": `Returns before the certificate is there; certs show says how it goes. At most 5 orders are placed for a host in an hour.

    fairway certs renew app.example.com`,
	"certs revoke": `The authority revokes the certificate, it is taken out of use at once, and another one is ordered if a route still has the host.

    fairway certs revoke app.example.com --compromised`,
	"certs list": `Lists the certificates that the listeners show, the soonest end first, and before them the hosts that are served over HTTPS, or redirected there, without a certificate. The certificates of the admin API and the fleet are listed, too. The exit code is 1 when one has expired or cannot be read, a host has none or its last order failed, or the certificate authority cannot be used.

    fairway certs
    fairway certs -o wide
    fairway certs -o json | jq -r '.certificates[] | "\(.notAfter) \(.names[0])"'`,
	"sources": `A stale source answers with an error. What it said before is still served. The exit code is 1 when the state of a source is not current.

    fairway sources
    fairway sources -o json`,
	"errors": `Fairway keeps the newest twenty of each route, and as many requests that it refused itself, such as 401. Paths and clients are for operators; --follow needs that role.

    fairway errors
    fairway errors shop-web -o wide
    fairway errors -f`,
	"logs": `The lines of several instances stand in the order of their times, with the instance in front; -o wide adds the time. Reading a log needs the role operator, and is in the audit log. Of a task of a Swarm, a manager fetches the lines from its node. With --follow, instances that come later are not in it.

    fairway logs shop-web
    fairway logs shop-web-1 -f --tail 20
    fairway logs shop-web -o json | jq -r 'select(.stderr) | .text'`,
	"requests": `It works without an access log and costs nothing while nothing is printed. It needs the role operator. With HAProxy and no access log, of 500 requests a second or more about 250 are shown.

    fairway requests
    fairway requests shop-web --status 5xx
    fairway requests --failed -o json | jq -r .error`,
	"events": `The newest come first.

    fairway events
    fairway events --standing
    fairway events --kind node. -o json`,
	"notify channels": `The exit code is 1 when the last delivery on a channel failed.

    fairway notify channels`,
	"notify outbox": `Events are delivered in the order of the list. The exit code is 1 when events are pending.

    fairway notify outbox
    fairway notify outbox ops`,
	"notify test": `The running Fairway sends it, ahead of pending events. The exit code is 4 when the receiver refuses it.

    fairway notify test ops`,
	"rules": `The exit code is 1 when a rule has fired.

    fairway rules
    fairway rules -o json`,
	"explain": `Dry run: no request is sent. The exit code is 1 when no endpoint is eligible and no filter answers.

    fairway explain GET http://shop.example.com/demo
    fairway explain POST https://api.example.com/v1/orders -H 'X-Version: 2' --client 10.0.0.7`,
	"doctor": `It asks the running Fairway. When none answers, it reads the sources of the configuration itself. Either way a connection to each endpoint is made now. The exit code is 1 when something is not served.

    fairway doctor mycontainer
    fairway doctor shop-web -o json`,

	"plan": `What would change in what is served, before it is deployed: routes, backends, host names and problems, against what the running Fairway sees. Nothing is changed. The exit code is 1 when there would be new problems, else 0; see --detailed-exitcode.

    fairway plan -f compose.yml
    fairway plan -f stack.yml --stack -p shop --prune
    fairway plan --label shop-1=fairway.host=www.example.com
    docker compose config | fairway plan -p shop -f /dev/stdin

The last one sees a Compose file with all that it extends and includes, which are not followed otherwise. What only a deployment shows is not in the plan: addresses of new containers, the ports of a new image. The same planner answers fairway check (files alone, without a running Fairway), fairway explain (one request) and fairway doctor (why a service is not served).`,
	"history": `Each table that went live is an entry with its cause: the labels that changed, or the command of an operator with the reason.

    fairway history
    fairway history 12
    fairway history --service shop -o json`,
	"diff": `The exit code is 1 when the tables differ.

    fairway diff 12           changes since entry 12
    fairway diff 11 12`,
	"rollback": `Serves the routes of an entry again, with the endpoints of today, until you end it with fairway unpin. It survives restarts; fairway commands lists it. Containers that are gone are not started again.

    fairway rollback 12 -m "the new shop is broken"
    fairway rollback 12 --until changed
    fairway unpin`,
	"pin": `Labels have no effect until you end it with fairway unpin. Instances still come and go; with --endpoints recorded, new ones get no requests.

    fairway pin -m "no changes before the sale"
    fairway unpin`,
	"drain": `Stops new requests; running ones finish, and sticky clients move on. The drain survives restarts of Fairway and of the instance. It ends with fairway undrain.

    fairway drain shop-3 -m "memory leak"
    fairway drain node:edge2 -m "new kernel"`,
	"weight": `Sets the share of requests relative to the other endpoints of a route. The default is 1. With 0 only sticky clients get there.

    fairway weight shop-3 10
    fairway weight shop-3 default`,
	"pause": `Holds new requests until fairway resume; running ones finish. For a change that takes seconds, such as moving a database.

    fairway pause shop --for 1m -m "database moves"
    fairway resume shop`,
	"maintenance": `Answers the requests for a service with 503, Retry-After and a page with the message, until it is ended or its time is over; also across restarts of Fairway and of the service. Clients with --allow get through. Connections that are passed through are closed.

    fairway maintenance shop on -m "Back at noon." --for 2h --allow 10.0.0.0/8
    fairway maintenance shop off
    fairway maintenance`,
	"commands": `Rollbacks, pins, drains, weights, pauses and services in maintenance, with operator and reason.

    fairway commands`,

	"stats": `Reads the running containers of every engine of the configuration. Engines and containers that do not answer are listed below the rest; the exit code is 1 when none answers. CPU is as in docker stats: 100% is one full CPU. With --stream and -o json each line is one report.

With --since the running Fairway answers, also for routes. It keeps the last hour in full and 30 days at lower resolution. --latency shows within which time half, 95% and 99% of the requests of a route and of its instances were answered, within 10%, up to the last byte.

    fairway stats
    fairway stats go-demo --stream
    fairway stats --since 6h
    fairway stats --since 1h --by route
    fairway stats shop --latency --since 24h
    fairway stats --swarm --docker ssh://ops@node2.example.com --docker ssh://ops@node3.example.com`,
	"service create": `Waits until all tasks run and stay up. The exit code is 1 when they do not. The image is used as named; its digest is not resolved.

    fairway service create go-demo-db mongo:3.2.10 --network go-demo
    fairway service create go-demo vfarcic/go-demo:1.0 -e DB=go-demo-db --network go-demo --network proxy --label com.df.notify=true --label com.df.servicePath=/demo --label com.df.port=8080
    fairway service create util alpine --mode global --network go-demo -- sleep 1000000000`,
	"service scale": `Examples:

    fairway service scale go-demo=5
    fairway service scale go-demo=5 go-demo-db=1 --timeout 1m`,
	"service update": `Concurrent changes are kept: on a conflict the service is read again and the change applied to that.

    fairway service update go-demo --image vfarcic/go-demo:1.1 --update-order start-first
    fairway service update go-demo --label-add fairway.path=/demo --label-rm com.df.servicePath
    fairway service update go-demo --network-add monitoring --publish-rm 80 --publish-add mode=host,target=80,published=8081
    fairway service update go-demo --force --update-parallelism 1 --update-delay 5s`,
	"service rollback": `The Swarm keeps one previous specification. A second rollback undoes the first.

    fairway service rollback go-demo`,
	"service rm": `Removes as many as it can. The exit code is 1 when one does not exist.

    fairway service rm go-demo go-demo-db`,

	"token create": `The token is printed once. Fairway keeps only its SHA-256.

    fairway token create grafana
    fairway token create deploy --role operator --days 90 > deploy.token`,
	"token list": `Examples:

    fairway token list`,
	"token revoke": `Examples:

    fairway token revoke deploy`,
	"audit": `The newest comes first. Refused attempts are included.

    fairway audit
    fairway audit -n 1000 -o json`,

	"fleet put": `Stores the file byte for byte as a revision that never changes. Hosts get it with a rollout. The first revision of a document is released at once, as is every revision of a document without hosts.

    fairway fleet put 192.168.1.100 haproxy.cfg -m "8181 instead of 8080"
    fairway fleet get web > web.cfg; vi web.cfg; fairway fleet put web web.cfg --base 7`,
	"fleet check": `Each host validates it with its own HAProxy and checks that the addresses are free. Nothing is changed. The exit code is 1 when a host refuses it or cannot be reached.

    fairway fleet check web web.cfg
    fairway fleet check web --host edge1`,
	"fleet plan": `Shows the difference for each host without the revision. The exit code is 1 when a host was edited by hand, which stops a rollout, or cannot be reached.

    fairway fleet plan web
    fairway fleet plan web --revision 6 --host edge1`,
	"fleet rollout": `On each host HAProxy validates the configuration and reloads, and the reload is verified. Then the wave is watched. When more requests fail than before, or on any other failure, every host is restored. Unreachable hosts get the revision when they are back. The exit code is 1 when the rollout was reverted. Interrupting the command does not abort the rollout; fairway fleet stop does.

    fairway fleet rollout web
    fairway fleet rollout web --canary 2 --wave 10% --pause 1m`,
	"fleet rollback": `Rolls out an earlier revision.

    fairway fleet rollback web --canary 0 --wave 100% --pause 1s`,
	"fleet watch": `Follows a rollout that was started elsewhere or with --detach. Interrupting the command does not abort it. The exit code is 1 when the rollout was reverted.`,
	"fleet status": `Shows the last reading; hosts are read every 30 s. The exit code is 1 when a host is not current. With -o wide HAProxy's counters are included.

    fairway fleet status
    fairway fleet status web -o wide`,
	"fleet diff": `The exit code is 1 when they differ.

    fairway fleet diff web         changes of the newest revision
    fairway fleet diff web 3       changes since revision 3
    fairway fleet diff web 3 5`,
	"fleet drift": `Compares hosts with the released revision. Lines with a plus were added by hand. The exit code is 1 when a host was edited.

    fairway fleet drift web
    fairway fleet drift web --adopt edge2 -m "what ops did on Sunday"
    fairway fleet drift web --restore edge2`,
	"haproxy run": `Runs "fairway haproxy update", keeps the installed file when that fails, and runs HAProxy in master-worker mode. When HAProxy refuses the file, the last one that ran is restored.

    fairway haproxy run                  reload on SIGUSR2 or SIGHUP
    fairway haproxy run --follow         and poll for configurations

Each reload is verified with the new worker. SIGTERM and SIGINT stop within --grace, SIGUSR1 after the last connection. HAProxy is restarted when it exits.`,
	"haproxy update": `Fetches $CFG_GET_URL followed by $VIP, validates it with HAProxy, checks that the addresses are free, backs up the installed file and replaces it. HAProxy is not reloaded: send SIGUSR2 to the container after exit code 0.

    docker exec demo2 fairway haproxy update && docker kill -s USR2 demo2

The exit code is 0 when the file was replaced, 2 when it is unchanged, and 1 on any failure, an invalid command line included.`,
	"haproxy apply": `For a container with the entry point "fairway haproxy run". When the reload fails, the previous configuration is restored. The exit code is 0 when it runs now, 2 when it ran already, and 1 otherwise.

    docker exec -i demo2 fairway haproxy apply -o json < haproxy.cfg`,
	"haproxy status": `The exit code is 1 when no worker serves, for HEALTHCHECK in images. Between an update and its reload the digests of file and worker differ.

    docker exec demo2 fairway haproxy status`,

	"healthcheck": `The exit code is 0 when requests are served, also from the last good table, and 1 otherwise.

    HEALTHCHECK CMD ["/fairway", "healthcheck"]`,
	"openapi": `No running Fairway is asked. The admin API serves the same document at /v1/openapi.json.

    fairway openapi > fairway.json`,
	"completion": `Examples:

    source <(fairway completion bash)
    fairway completion zsh > "${fpath[1]}/_fairway"
    fairway completion fish > ~/.config/fish/completions/fairway.fish`,
}
