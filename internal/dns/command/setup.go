package command

// setups are what others are configured with, by their names.
var setups = map[string]string{
	"resolved": `
# /etc/systemd/resolved.conf.d/fairway.conf, then: systemctl restart systemd-resolved
# Programs of this machine ask Fairway for ZONE and for the addresses of Docker's own bridge.
[Resolve]
DNS=ADDRESS
Domains=~ZONE ~17.172.in-addr.arpa
`,
	"dnsmasq": `
# /etc/dnsmasq.d/fairway.conf, then: systemctl restart dnsmasq
server=/ZONE/ADDRESS
server=/17.172.in-addr.arpa/ADDRESS
rebind-domain-ok=/ZONE/
`,
	"unbound": `
# /etc/unbound/unbound.conf.d/fairway.conf, then: systemctl restart unbound
server:
    domain-insecure: "ZONE"
    private-domain: "ZONE"
    do-not-query-localhost: no
stub-zone:
    name: "ZONE"
    stub-addr: ADDRESS
`,
	"compose": `
# In a Compose file, for each service that needs the names of ZONE. Names of networks that
# the container is on are answered by Docker itself, all else by Fairway.
services:
  app:
    dns: [ADDRESS]
`,
	"daemon.json": `
# /etc/docker/daemon.json, then: systemctl restart docker
# Every container asks Fairway for every name that is not of its networks: while Fairway is
# down they have no names of others. Give one server alone: some resolvers ask all of them
# at once and take the first answer.
{ "dns": ["ADDRESS"], "dns-search": ["ZONE"] }
`,
}
