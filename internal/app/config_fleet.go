package app

// FleetConfig is the keys below fleet.
type FleetConfig struct {
	File     string `name:"file" placeholder:"PATH" help:"Fleet file with the managed hosts and the readers of their configurations. Reread on changes."`
	Listen   string `name:"listen" placeholder:"ADDR" preset:"off" help:"Address for HAProxies to fetch their configurations, as /haproxy/NAME; off for none."`
	TLSCert  string `name:"tls-cert" placeholder:"PATH" help:"PEM file with the certificate of that address, and its chain; reread for each connection."`
	TLSKey   string `name:"tls-key" placeholder:"PATH" help:"PEM file with its key."`
	ClientCA string `name:"client-ca" placeholder:"PATH" help:"CA certificates in PEM for client certificates of readers."`
}

func (v *validation) fleet(c *Config) {
	f := &c.Fleet
	v.address("fleet.listen", f.Listen)
	if f.File != "" {
		v.readable("fleet.file", f.File)
	} else if f.Listen != Off {
		v.add("fleet.listen", f.Listen, "needs fleet.file")
	}
	for _, file := range []struct{ key, path, needs, other string }{
		{"fleet.tls-cert", f.TLSCert, "fleet.tls-key", f.TLSKey},
		{"fleet.tls-key", f.TLSKey, "fleet.tls-cert", f.TLSCert},
		{"fleet.client-ca", f.ClientCA, "fleet.tls-cert", f.TLSCert},
	} {
		if file.path == "" {
			continue
		}
		v.readable(file.key, file.path)
		if file.other == "" {
			v.add(file.key, file.path, "needs "+file.needs)
		}
	}
}
