// Package fairway holds nothing but the tests that keep the house in order: who
// may import whom, that every package says what it is for, and the measures
// that keep files and functions readable.
package fairway

import (
	"strings"
	"testing"
)

// allowed is the house: each package with the packages of ours it may import,
// and why the arrow is there. Floors run from 1 (bottom) to 5; imports run down.
// docs/architecture.md draws the same table.
var allowed = map[string]struct {
	floor   int
	imports []string
}{
	// The agent runs beside HAProxy, without anything else of Fairway.
	"cmd/fairway": {5, []string{"internal/acme/command", "internal/app", "internal/check", "internal/api", "internal/console", "internal/api/local", "internal/demo", "internal/deploy/command", "internal/dns/command", "internal/fleet/agent/command", "internal/human", "internal/owners/command", "internal/publish/command", "internal/plan", "internal/printer", "internal/swarmservice", "internal/tail", "internal/trust", "internal/usage"}},
	// trust puts the root of the authority into the stores of a machine.
	"internal/trust": {5, []string{"internal/api", "internal/api/anchor", "internal/console", "internal/fleet/agent/command"}},
	// printer is what commands print of answers.
	"internal/printer": {2, []string{"internal/api", "internal/api/automatic", "internal/console", "internal/human", "internal/nearest", "internal/usage"}},
	// tail prints streams of the API.
	"internal/tail": {2, []string{"internal/api", "internal/console", "internal/human"}},

	// check looks at what a configuration names, in the ways in which app would use it.
	"internal/check": {5, []string{"internal/admin/access", "internal/app", "internal/condition", "internal/confload", "internal/dockerapi", "internal/engine/certs", "internal/files", "internal/fleet", "internal/plan", "internal/route", "internal/yamlnode"}},

	// demo runs the program in-process against containers it starts itself.
	"internal/demo": {5, []string{"internal/app", "internal/api", "internal/atomicfile", "internal/clock", "internal/dockerapi", "internal/serve"}},

	// app is the composition root: the one place that knows every part.
	"internal/app": {4, []string{
		"internal/acme", "internal/acme/setup", "internal/app/dialects", "internal/app/lifecycle", "internal/app/machine",
		"internal/consul/setup", "internal/publish/consul", "internal/engine/errorpage",
		"internal/condition", "internal/engine/certs", "internal/feed", "internal/yamlnode",
		"internal/admin", "internal/admin/access", "internal/admin/oidc", "internal/api", "internal/api/local", "internal/catalog", "internal/compile", "internal/containerlog", "internal/control",
		"internal/discovery", "internal/discovery/certificates", "internal/discovery/docker", "internal/discovery/file", "internal/discovery/posted",
		"internal/discovery/swarm", "internal/dockerapi", "internal/dockerflow", "internal/dockerflow/env", "internal/dockerflow/statistics",
		"internal/engine/embedded", "internal/engine/embedded/balance", "internal/engine/embedded/terminate", "internal/metrics", "internal/route", "internal/route/tlsoption",
		"internal/admin/ui", "internal/engine/haproxy", "internal/engine/haproxy/binary", "internal/engine/haproxy/process", "internal/engine/haproxy/lua", "internal/engine/haproxy/render",
		"internal/dns/server", "internal/files", "internal/fleet", "internal/fleet/agent", "internal/heap", "internal/history", "internal/nearest", "internal/notify", "internal/notify/observe", "internal/owners", "internal/plan", "internal/rules", "internal/serve", "internal/series", "internal/engine/traffic", "internal/swarmservice", "internal/usage", "internal/confload",
		"internal/fleet/driver", // the kinds of its errors
	}},

	// machine is what the machine lets the process do.
	"internal/app/machine": {1, nil}, "internal/app/lifecycle": {1, nil}, "internal/app/dialects": {3, []string{"internal/compile", "internal/compile/traefik", "internal/files", "internal/nearest", "internal/route/tlsoption"}},

	// plan makes up what a change would bring and compiles that; its requests are those of the API.
	"internal/plan": {3, []string{
		"internal/api", "internal/catalog", "internal/compile", "internal/compile/meant", "internal/compose", "internal/condition", "internal/discovery", "internal/discovery/file",
		"internal/engine/users", "internal/files", "internal/human", "internal/owners", "internal/route", "internal/yamlnode",
	}},
	// compose reads Compose files, without Docker.
	"internal/compose": {1, []string{"internal/catalog", "internal/files", "internal/nearest", "internal/yamlnode"}},

	// control records what it applies, and keeps the commands of operators.
	"internal/control": {3, []string{"internal/atomicfile", "internal/catalog", "internal/clock", "internal/feed", "internal/history", "internal/human", "internal/metrics", "internal/route", "internal/route/diff"}},

	"internal/discovery": {2, []string{"internal/catalog", "internal/clock", "internal/discovery/poll", "internal/metrics"}},
	// docker reads from names how far a deploy is.
	"internal/discovery/docker":   {2, []string{"internal/catalog", "internal/clock", "internal/deploy/marks", "internal/discovery/daemon", "internal/discovery/poll", "internal/dockerapi"}},
	"internal/discovery/file":     {2, []string{"internal/catalog", "internal/clock", "internal/discovery/poll", "internal/files", "internal/yamlnode"}},
	"internal/discovery/consul":   {2, []string{"internal/catalog", "internal/clock", "internal/consul", "internal/discovery/poll", "internal/metrics"}},
	"internal/discovery/consulkv": {2, []string{"internal/catalog", "internal/clock", "internal/consul", "internal/discovery/file", "internal/discovery/poll"}},
	"internal/discovery/swarm":    {2, []string{"internal/catalog", "internal/clock", "internal/discovery/daemon", "internal/discovery/poll", "internal/dockerapi"}},
	// posted keeps what was sent over HTTP; who sends it is not its affair.
	"internal/discovery/posted": {2, []string{"internal/atomicfile", "internal/catalog", "internal/discovery/poll"}},
	// certificates sees the key pairs in a directory.
	"internal/discovery/certificates": {2, []string{"internal/atomicfile", "internal/catalog", "internal/discovery/poll", "internal/files"}},
	// spec reads what files want, engines does it on one, command is the commands, with routes planned and confirmed over the API.
	"internal/deploy/spec":    {2, []string{"internal/compose", "internal/files", "internal/yamlnode"}},
	"internal/deploy/engines": {2, []string{"internal/catalog", "internal/deploy", "internal/deploy/marks", "internal/deploy/spec", "internal/dockerapi"}},
	"internal/deploy/command": {5, []string{"internal/api", "internal/api/local", "internal/app", "internal/catalog", "internal/console", "internal/deploy", "internal/deploy/engines", "internal/deploy/marks", "internal/deploy/spec", "internal/dockerapi", "internal/fleet/agent/command", "internal/human", "internal/plan", "internal/swarmservice"}},
	// deploy decides what a deploy does next, and walks.
	"internal/deploy": {2, []string{"internal/clock", "internal/deploy/marks"}},
	// marks is what names of containers say about deploys.
	"internal/deploy/marks":   {1, nil},
	"internal/discovery/poll": {1, []string{"internal/catalog"}},
	// daemon is what the sources that follow Docker daemons have in common.
	"internal/discovery/daemon": {1, []string{"internal/catalog", "internal/clock", "internal/dockerapi"}},

	// dockerflow is the HTTP faces of Docker Flow: calls in, notifications out.
	// env translates variables of Docker Flow for every part that they concern.
	"internal/dockerflow/env": {3, []string{
		"internal/catalog", "internal/compile/dockerflow", "internal/dockerflow", "internal/engine/haproxy", "internal/engine/haproxy/binary", "internal/engine/haproxy/render", "internal/route",
	}},
	// statistics shows counters of the embedded engine as HAProxy shows its own.
	"internal/dockerflow/statistics": {2, []string{"internal/engine/traffic", "internal/route"}},
	// A call has the parameters that labels have: one table.
	"internal/dockerflow": {2, []string{"internal/catalog", "internal/clock", "internal/compile/dockerflow", "internal/metrics", "internal/route"}},

	// compile makes a table of what the dialects read; each dialect is one package.
	"internal/compile": {2, []string{
		"internal/catalog", "internal/compile/certified", "internal/compile/chars", "internal/compile/dockerflow", "internal/compile/draft", "internal/compile/meant", "internal/compile/native", "internal/compile/nginxproxy", "internal/compile/traefik", "internal/human", "internal/nearest", "internal/owners", "internal/route",
	}},
	// claims answers who may claim what, with rights, its wire types; command prints that.
	"internal/admin/claims":   {2, []string{"internal/api", "internal/api/rights", "internal/catalog", "internal/owners", "internal/route", "internal/route/canonical"}},
	"internal/api/anchor":     {2, []string{"internal/acme/authority", "internal/api"}},
	"internal/api/rights":     {2, []string{"internal/api"}},
	"internal/owners/command": {5, []string{"internal/api", "internal/api/rights", "internal/check", "internal/console", "internal/fleet/agent/command", "internal/human", "internal/plan", "internal/route"}},
	// owners says who may claim what.
	"internal/owners": {1, []string{"internal/catalog", "internal/route", "internal/route/canonical"}},
	// native judges the path of a user file by the rule that opens it.
	"internal/compile/native": {2, []string{
		"internal/catalog", "internal/compile/chars", "internal/compile/draft", "internal/compile/rule", "internal/files", "internal/human", "internal/nearest", "internal/route",
	}},
	"internal/compile/dockerflow": {2, []string{"internal/catalog", "internal/compile/chars", "internal/compile/draft", "internal/compile/rule", "internal/human", "internal/route", "internal/route/userhash", "internal/route/canonical"}}, "internal/compile/traefik": {2, []string{"internal/catalog", "internal/compile/chars", "internal/compile/draft", "internal/compile/rule", "internal/files", "internal/human", "internal/nearest", "internal/route", "internal/route/canonical", "internal/route/userhash"}}, "internal/compile/certified": {2, []string{"internal/catalog", "internal/route"}}, "internal/compile/meant": {1, []string{"internal/catalog", "internal/compile/chars"}}, "internal/compile/nginxproxy": {2, []string{"internal/catalog", "internal/compile/chars", "internal/compile/draft", "internal/compile/rule", "internal/human", "internal/route"}},
	// draft is what one route asks for, the same for every dialect.
	"internal/compile/draft": {2, []string{"internal/catalog", "internal/compile/chars", "internal/compile/rule", "internal/route", "internal/route/canonical"}},
	// rule is the language of the label fairway.rule; chars is what labels are made of.
	"internal/compile/rule":  {1, []string{"internal/compile/chars", "internal/nearest", "internal/route"}},
	"internal/compile/chars": {1, []string{"internal/human", "internal/route"}},

	// embedded is policy (balance) plus transport; balance knows no HTTP server.
	"internal/engine/embedded":         {2, []string{"internal/engine/certs", "internal/engine/embedded/balance", "internal/engine/embedded/bucket", "internal/engine/embedded/gzipped", "internal/engine/embedded/http1", "internal/engine/embedded/http3", "internal/engine/embedded/library", "internal/engine/embedded/paced", "internal/engine/embedded/relay", "internal/engine/embedded/terminate", "internal/engine/embedded/wire", "internal/engine/errorpage", "internal/route/field", "internal/engine/traffic", "internal/engine/users", "internal/metrics", "internal/route", "internal/route/match", "internal/route/canonical", "internal/route/arrival", "internal/route/tlsoption"}},
	"internal/engine/embedded/balance": {1, []string{"internal/engine/probe", "internal/engine/traffic", "internal/latency", "internal/route"}},
	// wire reads and writes messages of HTTP/1.1 in memory, and opens no connection.
	"internal/engine/embedded/wire": {1, []string{"internal/route/field"}},
	// library writes answers to what libraries have read.
	"internal/engine/embedded/library": {1, []string{"internal/engine/embedded/http1", "internal/route", "internal/route/field"}},
	// http3 ends QUIC.
	"internal/engine/embedded/http3": {1, nil},
	// terminate ends TLS, over TCP and QUIC.
	"internal/engine/embedded/terminate": {1, []string{"internal/engine/certs", "internal/route", "internal/route/tlsoption"}},
	"internal/engine/embedded/http1":     {1, []string{"internal/engine/embedded/wire", "internal/route/field"}},
	// paced bounds the pauses of bodies, bucket limits rates, gzipped compresses, relay passes bytes: parts of the engine that know nothing of it.
	"internal/engine/embedded/paced":   {1, []string{"internal/engine/embedded/http1"}},
	"internal/engine/embedded/bucket":  {1, []string{"internal/route"}},
	"internal/engine/embedded/gzipped": {1, nil},
	"internal/engine/embedded/relay":   {1, []string{"internal/route/canonical"}},
	// errorpage is what Fairway itself answers, the same for every engine.
	"internal/engine/errorpage": {1, []string{"internal/files"}},
	// probe is one active check, the same for every engine.
	"internal/engine/probe": {1, []string{"internal/route", "internal/route/arrival"}},
	// traffic is what every engine reports of requests and endpoints, in one form.
	"internal/engine/traffic": {1, []string{"internal/latency", "internal/metrics"}},
	// latency is how long requests took, in the buckets that all count and keep.
	"internal/latency": {1, nil},
	// certs holds the key pairs and client authorities that listeners name.
	"internal/engine/certs": {1, []string{"internal/files", "internal/human", "internal/metrics", "internal/route"}},
	// users follows the user files that routes name, for every engine, and checks logins
	// for those that do it themselves.
	"internal/engine/users": {1, []string{"internal/files", "internal/route", "internal/route/userhash"}},
	// overquic is its client of HTTP/3.
	"internal/engine/enginetest/overquic": {1, nil},
	// script is the text of its cases.
	"internal/engine/enginetest/script": {1, nil},
	// enginetest is the behaviour suite; only tests import it, and it waits as they do.
	"internal/engine/enginetest": {2, []string{"internal/engine/enginetest/overquic", "internal/engine/enginetest/script", "internal/engine/errorpage", "internal/route", "internal/route/match", "internal/route/canonical", "internal/testkit"}},

	// haproxy drives HAProxy: render is pure, socket, binary and process are the
	// hands; the fleet uses the hands alone.
	"internal/engine/haproxy": {2, []string{
		"internal/engine/errorpage",
		"internal/clock", "internal/engine/certs",
		"internal/engine/haproxy/binary", "internal/engine/haproxy/ending", "internal/engine/haproxy/handshake", "internal/engine/haproxy/plan", "internal/engine/haproxy/process", "internal/engine/haproxy/quote", "internal/engine/haproxy/render",
		"internal/engine/haproxy/resolve", "internal/engine/haproxy/socket", "internal/engine/probe", "internal/engine/traffic", "internal/engine/users", "internal/latency", "internal/metrics", "internal/route",
	}},
	// plan is what a worker has, what it must have, and the commands between.
	"internal/engine/haproxy/plan":   {1, []string{"internal/engine/haproxy/binary", "internal/engine/haproxy/render", "internal/engine/haproxy/socket", "internal/route"}},
	"internal/engine/haproxy/render": {1, []string{"internal/engine/errorpage", "internal/engine/haproxy/handshake", "internal/engine/haproxy/quote", "internal/engine/haproxy/lua", "internal/engine/haproxy/pcre", "internal/engine/haproxy/rate", "internal/engine/haproxy/socket", "internal/route", "internal/route/userhash", "internal/route/match", "internal/route/canonical"}},
	// lua is what HAProxy does with unusual requests; pcre prints expressions for its library.
	"internal/engine/haproxy/lua":  {1, []string{"internal/engine/errorpage"}},
	"internal/engine/haproxy/pcre": {1, nil},
	"internal/engine/haproxy/rate": {1, []string{"internal/route"}},
	// resolve finds the addresses of names.
	"internal/engine/haproxy/resolve": {1, []string{"internal/clock", "internal/route"}},
	// handshake is what HAProxy has to know of TLS.
	"internal/engine/haproxy/handshake": {1, []string{"internal/engine/certs", "internal/engine/haproxy/quote", "internal/route", "internal/route/tlsoption"}},
	// quote makes words of the files of HAProxy.
	"internal/engine/haproxy/quote":  {1, nil},
	"internal/engine/haproxy/socket": {1, nil},
	// ending puts the end of a request into words.
	"internal/engine/haproxy/ending":  {1, nil},
	"internal/engine/haproxy/binary":  {1, nil},
	"internal/engine/haproxy/process": {1, []string{"internal/atomicfile", "internal/clock", "internal/engine/haproxy/binary", "internal/engine/haproxy/socket"}},

	// acme decides when certificates are got; ca is the protocol, authority one of our own, dns01 a challenge over DNS; setup makes all out of the configuration.
	"internal/acme":            {2, []string{"internal/acme/ca", "internal/atomicfile", "internal/catalog", "internal/discovery/poll", "internal/engine/certs", "internal/feed", "internal/files", "internal/metrics", "internal/route", "internal/route/canonical"}},
	"internal/acme/ca":         {1, nil},
	"internal/acme/dns01":      {1, []string{"internal/acme/dns01/edit"}},
	"internal/acme/dns01/edit": {1, []string{"internal/files"}},
	"internal/acme/setup":      {3, []string{"internal/acme", "internal/acme/authority", "internal/acme/ca", "internal/acme/dns01", "internal/acme/dns01/edit", "internal/consul", "internal/consul/certstore", "internal/discovery", "internal/engine/certs", "internal/feed", "internal/files", "internal/metrics", "internal/route", "internal/serve"}},
	"internal/acme/authority":  {1, []string{"internal/atomicfile", "internal/files", "internal/route/canonical"}},

	// dns answers for what the catalogue has, server over UDP and TCP; forward has names of others looked up.
	"internal/dns":         {2, []string{"internal/api/names", "internal/catalog"}},
	"internal/dns/server":  {3, []string{"internal/api/names", "internal/catalog", "internal/clock", "internal/condition", "internal/dns", "internal/dns/forward", "internal/metrics"}},
	"internal/dns/forward": {1, []string{"internal/api/names", "internal/clock", "internal/files", "internal/metrics"}},
	"internal/dns/command": {2, []string{"internal/api", "internal/api/names", "internal/console", "internal/human"}},

	"internal/history": {2, []string{"internal/api", "internal/boltfile", "internal/metrics", "internal/route", "internal/route/diff"}},
	// notify reports what happened to what exists; observe adds what live tables,
	// their certificate files, the engine and conditions show.
	"internal/notify":         {2, []string{"internal/api", "internal/boltfile", "internal/catalog", "internal/clock", "internal/files", "internal/metrics"}},
	"internal/notify/observe": {2, []string{"internal/condition", "internal/files", "internal/human", "internal/notify", "internal/route"}},
	// swarmservice changes services of a Swarm, for the command line and for rules.
	"internal/swarmservice": {2, []string{"internal/clock", "internal/dockerapi", "internal/human"}},
	// usage reads what containers use and routes answer, and writes it into series.
	// The table says which instance an endpoint is.
	"internal/usage": {2, []string{"internal/catalog", "internal/dockerapi", "internal/engine/traffic", "internal/latency", "internal/route", "internal/series"}},
	// series keeps readings over time; rules act on them, and say so in events of notify.
	"internal/series": {1, []string{"internal/api", "internal/latency", "internal/metrics"}},
	"internal/rules":  {2, []string{"internal/api", "internal/catalog", "internal/metrics", "internal/nearest", "internal/notify", "internal/series"}},

	// fleet manages HAProxy elsewhere; agent is its part inside the container.
	// Its fleet file has names, and is read as other files are.
	"internal/fleet": {3, []string{"internal/catalog", "internal/clock", "internal/feed", "internal/files", "internal/fleet/driver", "internal/history", "internal/metrics", "internal/yamlnode"}},
	// driver works on one container over the Docker API; it decodes what the agent
	// there prints.
	"internal/fleet/driver": {2, []string{
		"internal/clock", "internal/dockerapi", "internal/engine/haproxy/binary", "internal/engine/haproxy/socket", "internal/fleet/agent/report",
	}},
	"internal/fleet/agent/command": {2, []string{"internal/console", "internal/fleet/agent", "internal/human"}},
	"internal/fleet/agent": {2, []string{
		"internal/atomicfile", "internal/clock", "internal/engine/haproxy/binary", "internal/engine/haproxy/process", "internal/engine/haproxy/socket", "internal/fleet/agent/report",
	}},
	// report is what the agent prints.
	"internal/fleet/agent/report": {1, nil},

	// admin holds what it shows, and converts it into the words of the API.
	"internal/admin": {4, []string{
		"internal/acme/authority", "internal/api/anchor",
		"internal/admin/certified", "internal/condition",
		"internal/admin/way", "internal/admin/access", "internal/admin/body", "internal/admin/claims", "internal/api/names", "internal/api/published", "internal/api/rights", "internal/owners", "internal/admin/explain", "internal/admin/find", "internal/admin/logs", "internal/admin/meter", "internal/admin/requests", "internal/admin/show", "internal/admin/stream", "internal/api", "internal/catalog",
		"internal/compile/native", // the reference of labels
		"internal/control", "internal/engine/certs", "internal/fleet", "internal/fleet/driver", "internal/history", "internal/metrics", "internal/notify", "internal/plan", "internal/route", "internal/route/canonical",
		"internal/rules", "internal/serve", "internal/series",
	}},
	// oidc asks an issuer who a person is.
	"internal/admin/oidc": {2, []string{"internal/admin/way", "internal/api", "internal/engine/certs", "internal/files", "internal/human"}},
	"internal/admin/way":  {1, nil},
	// access says who calls; show converts; explain asks the matcher.
	"internal/admin/access": {2, []string{"internal/admin/way", "internal/api", "internal/atomicfile", "internal/engine/certs", "internal/route"}},
	"internal/admin/show": {3, []string{
		"internal/api/automatic", "internal/api", "internal/catalog", "internal/condition", "internal/control", "internal/engine/certs", "internal/fleet", "internal/fleet/driver", "internal/history", "internal/notify", "internal/route", "internal/route/diff", "internal/route/match",
	}},
	"internal/admin/meter":   {2, []string{"internal/api", "internal/engine/traffic", "internal/latency"}},
	"internal/admin/explain": {3, []string{"internal/admin/show", "internal/api", "internal/condition", "internal/nearest", "internal/route", "internal/route/field", "internal/route/match", "internal/route/canonical", "internal/route/arrival", "internal/route/tlsoption"}},
	// logs gives what instances write; stream writes server-sent events.
	"internal/admin/logs":   {2, []string{"internal/admin/stream", "internal/api", "internal/catalog"}},
	"internal/admin/stream": {2, []string{"internal/api"}},
	// body reads what operations are sent; requests shows what an engine reports of requests.
	"internal/admin/body": {2, []string{"internal/api"}},
	// find ranks what a search may mean.
	"internal/admin/find":     {3, []string{"internal/admin/show", "internal/api", "internal/catalog", "internal/route"}},
	"internal/admin/requests": {3, []string{"internal/admin/show", "internal/admin/stream", "internal/api", "internal/engine/traffic", "internal/human", "internal/route"}},
	// ui is the pages over the same operations that the API has.
	// A list of a page can be had as commands print it, as CSV.
	"internal/admin/ui": {2, []string{"internal/admin/way", "internal/admin/ui/answered", "internal/admin/ui/assets", "internal/admin/ui/compare", "internal/admin/ui/draw", "internal/admin/ui/export", "internal/admin/ui/happened", "internal/admin/ui/labelref", "internal/admin/ui/listing", "internal/admin/ui/routeurl", "internal/admin/ui/signs", "internal/api", "internal/api/automatic", "internal/api/rights", "internal/console", "internal/human", "internal/printer"}},
	// listing searches, filters, sorts and cuts what pages list, export makes a file of it; answered is the page Names.
	"internal/admin/ui/listing":  {1, nil},
	"internal/admin/ui/answered": {2, []string{"internal/admin/ui/export", "internal/admin/ui/listing", "internal/api", "internal/api/names", "internal/printer"}},
	"internal/admin/ui/export":   {2, []string{"internal/admin/ui/listing", "internal/console", "internal/printer"}},
	// signs are those of conditions; happened puts together what happened.
	"internal/admin/ui/signs":    {1, []string{"internal/api"}},
	"internal/admin/ui/happened": {2, []string{"internal/admin/ui/signs", "internal/api"}},
	// routeurl says what a browser opens for a route; labelref reads the reference of labels.
	"internal/admin/ui/routeurl": {2, []string{"internal/api"}},
	"internal/admin/ui/labelref": {1, nil},
	// assets has the files of pages; compare prepares differences.
	"internal/admin/ui/assets":  {1, nil},
	"internal/admin/ui/compare": {2, []string{"internal/api", "internal/human"}},
	// draw lays out the pictures of pages.
	"internal/admin/ui/draw": {2, []string{"internal/api", "internal/human"}},

	"internal/heap": {1, nil},
	// condition judges what the engine, the sources and its own connections show.
	"internal/condition": {2, []string{"internal/catalog", "internal/clock", "internal/engine/traffic", "internal/feed", "internal/human", "internal/metrics", "internal/route"}},

	"internal/catalog": {1, []string{"internal/feed", "internal/nearest"}},
	// feed publishes snapshots and tables to those who follow them.
	"internal/feed":       {1, nil},
	"internal/atomicfile": {1, nil},
	"internal/clock":      {1, nil},
	"internal/boltfile":   {1, []string{"internal/atomicfile"}},
	"internal/metrics":    {1, nil},
	"internal/files":      {1, nil},
	// confload fills a configuration from defaults, file, environment and flags.
	"internal/confload": {1, []string{"internal/nearest", "internal/yamlnode"}},
	"internal/serve":    {1, nil},
	"internal/human":    {1, nil},
	// console prints, and knows nothing of what.
	"internal/console": {1, []string{"internal/human"}},
	"internal/route":   {1, []string{"internal/human", "internal/route/canonical", "internal/route/tlsoption"}},
	// tlsoption is what handshakes must have, for all engines.
	"internal/route/tlsoption": {1, []string{"internal/route/canonical"}},
	// diff compares tables.
	"internal/route/diff": {1, []string{"internal/route"}},
	// userhash is the forms of hashes of passwords.
	"internal/route/userhash": {1, nil},
	// match finds the route that takes a request; explain asks it why.
	"internal/route/match": {1, []string{"internal/route"}},
	// canonical is the one form of hosts and paths.
	"internal/route/canonical": {1, []string{"internal/human"}},
	// arrival is what an engine makes of a request's head; explain does the same.
	"internal/route/arrival": {1, []string{"internal/route", "internal/route/canonical", "internal/route/field"}},
	// field is the lines of a head, for what reads or changes one.
	"internal/route/field": {1, nil},
	// api escapes what an answer says, as everything that people read.
	"internal/api":             {1, []string{"internal/api/automatic", "internal/api/events", "internal/human"}},
	"internal/api/automatic":   {1, []string{"internal/human"}},
	"internal/admin/certified": {3, []string{"internal/acme", "internal/acme/ca", "internal/admin/show", "internal/api", "internal/api/automatic", "internal/condition", "internal/engine/certs", "internal/route", "internal/route/tlsoption"}},
	"internal/acme/command":    {5, []string{"internal/api", "internal/api/automatic", "internal/console", "internal/fleet/agent/command", "internal/printer"}},
	// names is what is said about DNS.
	"internal/api/names": {1, []string{"internal/api"}},
	// events reads server-sent events.
	"internal/api/events": {1, nil},
	"internal/api/local":  {1, []string{"internal/api"}},
	"internal/dockerapi":  {1, []string{"internal/catalog"}}, // which variables may be kept
	// consul speaks to the HTTP API of Consul; certstore keeps certificates there.
	"internal/consul":       {1, []string{"internal/clock", "internal/files"}},
	"internal/consul/setup": {3, []string{"internal/atomicfile", "internal/catalog", "internal/consul", "internal/discovery", "internal/discovery/consul", "internal/discovery/consulkv", "internal/metrics", "internal/publish", "internal/publish/consul"}},
	// publish decides what a registry is to have; consul writes it; command is its commands.
	"internal/publish":          {2, []string{"internal/catalog"}},
	"internal/publish/consul":   {2, []string{"internal/api/published", "internal/catalog", "internal/consul", "internal/metrics", "internal/publish"}},
	"internal/publish/command":  {2, []string{"internal/api", "internal/api/published", "internal/console", "internal/human"}},
	"internal/api/published":    {1, []string{"internal/api"}},
	"internal/consul/certstore": {1, []string{"internal/consul"}},
	// containerlog reads the logs of instances where their sources watch.
	"internal/containerlog": {2, []string{"internal/catalog", "internal/dockerapi", "internal/human"}},
	// nearest serves the hints in errors of those who read what people wrote.
	"internal/nearest": {1, nil},
	// yamlnode reads what people write in YAML, and reports faults with their lines.
	"internal/yamlnode": {1, []string{"internal/nearest"}},
	// situations is what can be wrong and what has to be said of it, for the tests of the
	// judge and of all that shows what it found.
	"internal/condition/situations": {3, []string{"internal/catalog", "internal/condition", "internal/engine/traffic", "internal/route"}},
	// admintest serves such a situation, for tests of commands and pages.
	"internal/admin/admintest": {4, []string{
		"internal/admin", "internal/admin/ui", "internal/catalog", "internal/compile", "internal/condition", "internal/condition/situations",
		"internal/control", "internal/engine/traffic", "internal/metrics", "internal/plan", "internal/route",
	}},
	// testkit and dockertest are for tests alone.
	"internal/testkit": {1, nil},
	// consultest and pebbletest start real agents and a certificate authority.
	"internal/consul/consultest": {1, []string{"internal/testkit"}},
	"internal/acme/pebbletest":   {1, []string{"internal/testkit"}},
	"internal/consul/consulfake": {1, []string{"internal/consul"}},
	// servername is clients whose server name and host differ, for the tests of every engine.
	"internal/engine/enginetest/servername": {2, []string{"internal/engine/enginetest/overquic", "internal/route", "internal/route/tlsoption", "internal/testkit"}},
	// hostile is endpoints that misbehave, for the tests of every engine.
	"internal/engine/enginetest/hostile": {2, []string{"internal/engine/traffic", "internal/route", "internal/testkit"}},
	"internal/admin/oidc/oidctest":       {1, nil},
	"internal/dockerapi/dockertest":      {1, nil},
}

// forTests are the packages that only tests and the behaviour suite import.
var forTests = []string{"internal/testkit", "internal/dockerapi/dockertest", "internal/condition/situations", "internal/admin/admintest", "internal/admin/oidc/oidctest", "internal/engine/enginetest/hostile", "internal/engine/enginetest/overquic", "internal/engine/enginetest/servername", "internal/consul/consultest", "internal/consul/consulfake", "internal/acme/pebbletest"}

// Measures of the house. Wiring may be longer: it reads top to bottom.
const (
	maxFileLines     = 600
	maxFunctionLines = 80
	maxPackageLines  = 2500
)

// largePackages are the packages above the measure: how many lines they have at most,
// and what is to become of them. A number may only be lowered, and a line goes when
// its package is below the measure.
var largePackages = map[string]struct {
	lines int
	next  string
}{
	"internal/engine/embedded":       {4421, "what speaks to endpoints, and the filters, become packages of their own"},
	"internal/engine/enginetest":     {6084, "the behaviour suite: cases, not product code"},
	"internal/engine/haproxy":        {3060, "what HAProxy reports and the checks of snippets may become packages"},
	"internal/engine/haproxy/render": {3475, "the Lua files and the sections may part"},
	"internal/fleet":                 {3120, "the fleet file, the decisions and the server of documents become packages"},
}

// TestPackageSizes keeps packages at a size that can be held in one head.
func TestPackageSizes(t *testing.T) {
	sizes := map[string]int{}
	for _, f := range parseModule(t) {
		if !f.test && f.pkg != "." && !strings.HasPrefix(f.pkg, "test/") {
			sizes[f.pkg] += f.fset.File(f.ast.Pos()).LineCount() - 1
		}
	}
	const slack = 100 // by how much a number may lag behind a package that has shrunk
	for pkg, lines := range sizes {
		large, known := largePackages[pkg]
		switch {
		case !known && lines > maxPackageLines:
			t.Errorf("%s has %d lines, more than %d: part it", pkg, lines, maxPackageLines)
		case known && lines > large.lines:
			t.Errorf("%s has %d lines, and grew beyond %d: it is to shrink (%s)", pkg, lines, large.lines, large.next)
		case known && lines <= maxPackageLines:
			t.Errorf("%s has %d lines: take it off the list", pkg, lines)
		case known && lines < large.lines-slack:
			t.Errorf("%s has shrunk to %d lines: lower its number", pkg, lines)
		}
	}
	for pkg := range largePackages {
		if sizes[pkg] == 0 {
			t.Errorf("%s is listed and is not there", pkg)
		}
	}
}

var longFunctions = []string{
	"internal/app.New", // the wiring, deliberately one straight function
}

// oldWords are words that the field has better ones for, with how many of each are left
// in Go files and documentation. A number may only be lowered.
var oldWords = map[string]int{
	"told": 224, "tells": 52, "tell": 30, "nobody": 150, "somebody": 43, "whatever": 64, "whoever": 19, "shall": 9, "believed": 2,
	"hearsay": 0, "owed": 2, "mood": 1, "deed": 0, "deeds": 0, "worries": 0, "leaver": 0, "leavers": 0, "sight": 0, "sights": 0, "spot": 0, "spots": 0,
	"ledger": 0, "fate": 0, "parcel": 0, "attend": 0, "hands": 4,
}
