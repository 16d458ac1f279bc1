package dockerapi

import (
	"net/url"
	"strings"
)

// CheckURL says what is wrong with the URL of an engine; nothing when New takes it. secured
// says that there are certificates for tcp://, or that none are wanted.
func CheckURL(raw string, secured bool) (reasons []string) {
	u, err := url.Parse(raw)
	if err != nil {
		return []string{"no URL; write unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]"}
	}
	refuse := func(reason string) { reasons = append(reasons, reason) }
	if _, secret := u.User.Password(); secret {
		refuse("a password does not belong in a URL; use docker-tls or docker-ssh")
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			refuse("write unix:// and an absolute path: unix:///var/run/docker.sock")
		}
	case "tcp":
		if u.Hostname() == "" || u.Port() == "" {
			refuse("write tcp://HOST:PORT")
		}
		if !secured {
			refuse("needs docker-tls.ca, docker-tls.cert and docker-tls.key; docker-insecure allows it without TLS")
		}
	case "ssh":
		if u.Hostname() == "" {
			refuse("write ssh://[USER@]HOST[:PORT]")
		}
	default:
		refuse("write unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]")
	}
	return reasons
}
