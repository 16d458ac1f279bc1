package api

import (
	"testing"

	"fairway/internal/api/automatic"
)

// TestCertificatesWrong: orders that fail are wrong, too.
func TestCertificatesWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		of   Certificates
		want bool
	}{
		"nothing":      {},
		"sound":        {of: Certificates{Certificates: []Certificate{{State: automatic.CertificateValid}, {State: automatic.CertificateExpiring}}, Automatic: []automatic.Managed{{State: automatic.Valid}, {State: automatic.Waiting}, {State: automatic.Kept}}}},
		"expired":      {of: Certificates{Certificates: []Certificate{{State: automatic.CertificateExpired}}}, want: true},
		"uncovered":    {of: Certificates{Uncovered: []UncoveredHost{{Host: "a.example"}}}, want: true},
		"failed":       {of: Certificates{Automatic: []automatic.Managed{{State: automatic.Failed}}}, want: true},
		"no authority": {of: Certificates{Automatic: []automatic.Managed{{State: automatic.NoAuthority}}}, want: true},
		"trouble":      {of: Certificates{Authority: &automatic.Trouble{Error: "refused"}}, want: true},
	} {
		if got := tt.of.Wrong(); got != tt.want {
			t.Errorf("%s: wrong is %v", name, got)
		}
	}
}
