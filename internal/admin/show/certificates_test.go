package show

import (
	"testing"
	"time"

	"fairway/internal/api/automatic"
	"fairway/internal/engine/certs"
)

// TestCertificateState: what lives for a week is not expiring from its first day on.
func TestCertificateState(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		life, left time.Duration
		want       string
	}{
		{90 * day, 15 * day, automatic.CertificateValid},
		{90 * day, 13 * day, automatic.CertificateExpiring},
		{90 * day, -day, automatic.CertificateExpired},
		{7 * day, 7 * day, automatic.CertificateValid},
		{7 * day, 2 * day, automatic.CertificateValid},
		{7 * day, day, automatic.CertificateExpiring},
		{7 * day, 8 * day, automatic.CertificateNotYet},
	} {
		u := certs.Use{NotBefore: now.Add(tt.left - tt.life), NotAfter: now.Add(tt.left)}
		if got := certificateState(u, now); got != tt.want {
			t.Errorf("of %s with %s left: %s, want %s", tt.life, tt.left, got, tt.want)
		}
	}
}
