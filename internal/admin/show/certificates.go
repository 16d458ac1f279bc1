package show

import (
	"time"

	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/engine/certs"
)

// expiresSoon is how long before its end a certificate is called expiring: a fifth of its
// life, and two weeks at most. The event of it has the same term.
func expiresSoon(u certs.Use) time.Duration {
	return min(14*24*time.Hour, u.NotAfter.Sub(u.NotBefore)/5)
}

// Certificates are the certificates of the listeners, and the hosts that have none.
func Certificates(i *certs.Inventory) api.Certificates {
	return api.Certificates{
		At:           i.At.UTC(),
		Certificates: All(i.Certificates, func(u certs.Use) api.Certificate { return Certificate(u, i.At) }),
		Uncovered: All(i.Uncovered, func(u certs.Uncovered) api.UncoveredHost {
			return api.UncoveredHost{Host: u.Host, Routes: u.Routes, Text: u.Text, Hint: u.Hint}
		}),
	}
}

// Certificate is a certificate of listeners, as it is at a time.
func Certificate(u certs.Use, at time.Time) api.Certificate {
	return api.Certificate{
		File: u.File, State: certificateState(u, at), Error: u.Error, Names: list(u.Names), Issuer: u.Issuer, Key: u.Key,
		NotBefore: u.NotBefore.UTC(), NotAfter: u.NotAfter.UTC(), Listeners: list(u.Listeners), Routes: list(u.Routes),
	}
}

func certificateState(u certs.Use, now time.Time) string {
	switch {
	case u.NotAfter.IsZero():
		return automatic.CertificateUnreadable
	case now.After(u.NotAfter):
		return automatic.CertificateExpired
	case now.Before(u.NotBefore):
		return automatic.CertificateNotYet
	case u.NotAfter.Sub(now) < expiresSoon(u):
		return automatic.CertificateExpiring
	}
	return automatic.CertificateValid
}

// list is a list that is never null.
func list(of []string) []string { return append([]string{}, of...) }
