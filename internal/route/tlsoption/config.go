package tlsoption

import "slices"

// Config is the keys below tls that are about handshakes, as in docs/https.md.
type Config struct {
	MinVersion string       `name:"min-version" placeholder:"VERSION" preset:"1.2" oneof:"1.2,1.3" help:"Oldest version of TLS for clients: 1.2 or 1.3."`
	Curves     []string     `name:"curves" placeholder:"NAME" sep:"," derived:"those of the engine; the embedded one prefers X25519MLKEM768" help:"Key exchanges for clients: X25519MLKEM768, X25519, P-256, P-384, P-521. With HAProxy those that its library knows. Repeatable."`
	ALPN       []string     `name:"alpn" placeholder:"PROTOCOL" sep:"," preset:"h2,http/1.1" help:"Protocols for clients with TLS: h2, http/1.1, or one of them. Repeatable."`
	Hosts      []HostConfig `name:"hosts" placeholder:"{…}" sep:"\n" help:"Hosts that demand more of TLS clients: records {host: '*.bank.example', min-version: '1.3', client-ca: PATH}, as in docs/https.md. In a flag or variable one a line, in braces. Repeatable."`
}

// HostConfig is a record of the key tls.hosts.
type HostConfig struct {
	// Host is a name, or *. and the name above it.
	Host string `yaml:"host"`
	// MinVersion is 1.2 or 1.3; empty means tls.min-version.
	MinVersion string `yaml:"min-version"`
	// ClientCA is a file with CA certificates in PEM: clients must have a certificate of one.
	ClientCA string `yaml:"client-ca"`
	// Require is false to let in clients without a certificate, too; nil is true.
	Require *bool `yaml:"require"`
}

// Check calls add with what is wrong: the key, what it is, and what to write instead.
func (c Config) Check(add func(key, value, reason string)) {
	if err := (Options{Curves: c.Curves}).Check(); err != nil {
		add("tls.curves", "", err.Error())
	}
	if err := (Options{ALPN: c.ALPN}).Check(); err != nil {
		add("tls.alpn", "", err.Error())
	}
	seen := map[string]bool{}
	for _, h := range c.Hosts {
		host, err := h.host()
		switch {
		case err != nil:
			add("tls.hosts", h.Host, err.Error())
		case seen[host.Host]:
			add("tls.hosts", h.Host, "the host is there twice")
		case h.MinVersion == "" && h.ClientCA == "" && h.Require != nil:
			add("tls.hosts", h.Host, "it says whether certificates are required, and not by whom: add client-ca")
		}
		seen[host.Host] = true
	}
}

func (c HostConfig) host() (Host, error) {
	h := Host{MinVersion: c.MinVersion, ClientCAFile: c.ClientCA, Require: c.ClientCA != "" && (c.Require == nil || *c.Require)}
	var err error
	if h.Host, err = Canonical(c.Host); err != nil {
		return h, err
	}
	return h, h.Check()
}

// Options are what the keys ask for; what is usual is empty.
func (c Config) Options() Options {
	o := Options{Curves: c.Curves}
	if c.MinVersion != Version12 {
		o.MinVersion = c.MinVersion
	}
	if !slices.Equal(c.ALPN, []string{HTTP2, HTTP11}) {
		o.ALPN = c.ALPN
	}
	return o
}

// HostList are the hosts with demands; those that Check refuses are left out.
func (c Config) HostList() (list []Host) {
	for _, h := range c.Hosts {
		if host, err := h.host(); err == nil {
			list = append(list, host)
		}
	}
	return list
}

// Authorities are the files that hosts name.
func (c Config) Authorities() (files []string) {
	for _, h := range c.Hosts {
		if h.ClientCA != "" {
			files = append(files, h.ClientCA)
		}
	}
	return files
}
