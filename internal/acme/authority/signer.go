package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"fairway/internal/route/canonical"
)

// How long certificates hold. Leaves are renewed by those who ask for them; the
// intermediate is renewed in its last third, the root when it would end before one.
const (
	rootLife         = 10 * 365 * 24 * time.Hour
	intermediateLife = 90 * 24 * time.Hour
	LeafLife         = 7 * 24 * time.Hour
)

// skew is by how much clocks of clients may be behind.
const skew = time.Hour

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// template is a certificate to be.
type template = x509.Certificate

// signer is a certificate with its key. It is never written to; nil signs nothing but a root.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authorityTemplate(what, name string, now time.Time, life time.Duration, below int) *template {
	if name != "" {
		what += " (" + name + ")"
	}
	return &template{
		Subject:   pkix.Name{CommonName: what, Organization: []string{"Fairway"}},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: below, MaxPathLenZero: below == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func rootTemplate(name string, now time.Time) *template {
	return authorityTemplate("Fairway root "+now.UTC().Format("2006-01-02"), name, now, rootLife, 1)
}

func intermediateTemplate(name string, now time.Time) *template {
	return authorityTemplate("Fairway internal", name, now, intermediateLife, 0)
}

// leafTemplate refuses what is neither a host, a wildcard of one label, nor an address.
func leafTemplate(name string, now time.Time) (*template, error) {
	t := &template{
		NotBefore: now.Add(-skew), NotAfter: now.Add(LeafLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(name) <= 64 { // RFC 5280, A.1
		t.Subject.CommonName = name
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" {
		t.IPAddresses = append(t.IPAddresses, ip.Unmap().AsSlice())
		return t, nil
	}
	host := strings.TrimPrefix(name, "*.")
	if is, err := canonical.Host(host); err != nil || is != host || host == "" || strings.ContainsAny(host, ":*") {
		return nil, fmt.Errorf("authority: %.100q is no name for a certificate", name)
	}
	t.DNSNames = []string{name}
	return t, nil
}

// sign makes a key with a certificate of s; one of a nil signer has signed itself.
func (s *signer) sign(t *template) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	by := &signer{cert: t, key: key}
	if s != nil {
		by = s
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return &signer{cert, key}, nil
}

// unfit says why a signer, nil for none, cannot be used: it is not signed by parent (nil:
// itself), or ends before rest is over. Empty when it can.
func (s *signer) unfit(parent *signer, now time.Time, rest time.Duration) string {
	if s == nil {
		return "there is none"
	}
	if parent == nil {
		parent = s
	}
	if s.cert.CheckSignatureFrom(parent.cert) != nil {
		return "another root has signed it"
	}
	if now.Add(rest).After(s.cert.NotAfter) {
		return "it ends on " + s.cert.NotAfter.Format(time.DateOnly)
	}
	return ""
}

func (s *signer) certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: s.cert.Raw})
}

func (s *signer) privateKey() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// parseSigner reads what certificate and privateKey wrote. No error has any of it.
func parseSigner(data []byte) (*signer, error) {
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, errors.New("it is no certificate with its key")
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("it is no authority")
	}
	return &signer{pair.Leaf, key}, nil
}
