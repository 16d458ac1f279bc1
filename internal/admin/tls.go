package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairway/internal/api"
)

// TLS says how the listener proves who it is, and whose client certificates it
// believes. The zero value is no TLS.
type TLS struct {
	// CertFile and KeyFile are PEM files. They are reread when they change.
	CertFile, KeyFile string
	// ClientCAFile is a PEM file with the authorities that vouch for client
	// certificates; empty asks for none.
	ClientCAFile string
}

func (o TLS) on() bool { return o.CertFile != "" }

// certLook is how long a certificate is used before its files are looked at again.
const certLook = time.Second

// certificate is a key pair that follows its files. A pair that is broken now
// stays as it was.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  string
	pair   *tls.Certificate
}

// newTLS returns the configuration of the listener and the names in its
// certificate; nil without TLS.
func newTLS(o TLS, log *slog.Logger) (*tls.Config, []string, error) {
	if !o.on() {
		if o != (TLS{}) {
			return nil, nil, errors.New("TLS needs a certificate with its key")
		}
		return nil, nil, nil
	}
	c := &certificate{cert: o.CertFile, key: o.KeyFile, log: log}
	pair, err := c.get(time.Now())
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(time.Now()) },
	}
	if o.ClientCAFile != "" {
		pem, err := os.ReadFile(o.ClientCAFile)
		if err != nil {
			return nil, nil, fmt.Errorf("authorities for clients: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("authorities for clients: %s: no certificate in PEM", o.ClientCAFile)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, namesIn(pair.Leaf), nil
}

// namesIn returns the names and addresses that a certificate is for, wildcards
// left out.
func namesIn(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		if !strings.Contains(name, "*") {
			names = append(names, strings.ToLower(name))
		}
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// get returns the newest pair that is sound.
func (c *certificate) get(now time.Time) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && now.Sub(c.looked) < certLook {
		return c.pair, nil
	}
	c.looked = now
	stamp := stampOf(c.cert) + stampOf(c.key)
	if c.pair != nil && stamp == c.stamp {
		return c.pair, nil
	}
	c.stamp = stamp
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	switch {
	case err != nil && c.pair == nil:
		return nil, fmt.Errorf("certificate %s: %w", c.cert, err)
	case err != nil:
		c.log.Error("certificate of the admin API cannot be reloaded, the old one stays", "file", c.cert, "error", err)
	default:
		c.pair = &pair
	}
	return c.pair, nil
}

// stampOf changes with the contents of a file.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path + err.Error()
	}
	return path + strconv.FormatInt(info.Size(), 10) + info.ModTime().String()
}

// byCertificate says whose the verified client certificate of a connection is:
// the organisation of the subject is the role, the common name the name.
func byCertificate(state *tls.ConnectionState) (who api.Identity, shown bool, err *api.Error) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return who, false, nil
	}
	leaf := state.VerifiedChains[0][0]
	for _, role := range slices.Backward(api.Roles()) {
		if slices.Contains(leaf.Subject.Organization, role) {
			return api.Identity{Name: leaf.Subject.CommonName, Role: role, By: api.ByCertificate, Expires: leaf.NotAfter.UTC()}, true, nil
		}
	}
	return who, true, status(http.StatusForbidden, "the client certificate names no role: its organisation has to be viewer, operator or admin")
}
