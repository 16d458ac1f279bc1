package dockerapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// tlsConfig is nil for a connection without TLS.
type tlsConfig = *tls.Config

// tcpWay dials host:port with mutual TLS, or without any when the operator says
// so in as many words.
func tcpWay(u *url.URL, o Options) (*way, error) {
	if u.Hostname() == "" || u.Port() == "" {
		return nil, errors.New("want tcp://host:port")
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("a path has no meaning with tcp")
	}
	if u.User != nil {
		return nil, errors.New("a user has no meaning with tcp")
	}
	conf, err := clientTLS(u.Hostname(), o)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: o.Timeout}
	return &way{
		host:    Host{Name: u.Hostname()},
		address: "tcp://" + u.Host,
		dial:    func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", u.Host) },
		tls:     conf,
	}, nil
}

// clientTLS returns nil for a connection without TLS, which needs Insecure.
func clientTLS(host string, o Options) (*tls.Config, error) {
	var missing []string
	for _, f := range []struct{ what, name string }{
		{"CA", o.CAFile}, {"certificate", o.CertFile}, {"key", o.KeyFile},
	} {
		if f.name == "" {
			missing = append(missing, f.what)
		}
	}
	switch {
	case len(missing) == 3 && o.Insecure:
		return nil, nil
	case o.Insecure:
		return nil, errors.New("insecure contradicts the TLS files that are given")
	case len(missing) > 0:
		return nil, fmt.Errorf("tcp needs TLS: the file for %s is missing (or set insecure, which lets anybody on the network own the machine)",
			strings.Join(missing, ", "))
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA: no certificate in %s", o.CAFile)
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS12,
		ServerName:           host,
		RootCAs:              roots,
		GetClientCertificate: load,
	}, nil
}
