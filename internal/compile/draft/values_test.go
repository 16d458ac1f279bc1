package draft

import (
	"fmt"
	"strings"
	"testing"
)

// TestValues reads values straight and compares what comes out as text; "refused"
// stands for any error.
func TestValues(t *testing.T) {
	show := func(v any, err error) string {
		if err != nil {
			return "refused"
		}
		return fmt.Sprint(v)
	}
	redirect := func(s string) string {
		r, err := ReadRedirect(s)
		if err != nil {
			return "refused"
		}
		return strings.TrimSpace(fmt.Sprintf("%d %s %s %s", r.Status, r.Scheme, r.Host, r.Path))
	}
	balance := func(s string) string {
		b, err := ReadBalance(s)
		return show(strings.TrimSpace(fmt.Sprintf("%s %s %s", b.Policy, b.On, b.Name)), err)
	}
	rate := func(s string) string {
		r, err := ReadRate(s)
		if err != nil {
			return "refused"
		}
		return fmt.Sprintf("%d per %v burst %d", r.Requests, r.Per, r.Burst)
	}
	size := func(s string) string { n, err := ReadSize(s); return show(n, err) }
	prefixes := func(s string) string { p, err := ReadPrefixes(s); return show(p, err) }
	file := func(s string) string {
		a, err := ReadAuthFile(s)
		if err != nil {
			return "refused"
		}
		return a.File
	}
	hsts := func(s string) string {
		op, err := ReadHSTS(s)
		if err != nil {
			return "refused"
		}
		return op.Set[0].Value
	}
	health := func(s string) string { p, err := ReadHealthPath(s); return show(p, err) }
	for _, c := range []struct {
		read        func(string) string
		value, want string
	}{
		{redirect, "https://new.example", "307 https new.example"},
		{redirect, "http://New.Example./a/../b", "307 http new.example /b"},
		{redirect, "308  https://new.example:8443/", "308 https new.example:8443 /"},
		{redirect, "https://[2001:db8::1]:444/x", "307 https [2001:db8::1]:444 /x"},
		{redirect, "https://[2001:db8::1]", "307 https [2001:db8::1]"},
		{redirect, "303 /only/path", "303   /only/path"},
		{redirect, "304 /x", "refused"},
		{redirect, "//evil.example", "refused"},
		{redirect, "javascript:alert(1)", "refused"},
		{redirect, "https:///x", "refused"},
		{redirect, "https://a.example?x=1", "refused"},
		{redirect, "https://a.example/#", "refused"},
		{redirect, "https://a.example:0", "refused"},
		{redirect, "https://a b", "refused"},
		{redirect, "https://a.example/%2f", "refused"},
		{redirect, "https://a_b.example\\x", "refused"},
		{redirect, "", "refused"},
		{balance, "round-robin", "round-robin"},
		{balance, "hash:client-ip", "hash client-ip"},
		{balance, "hash:path", "hash path"},
		{balance, "hash:cookie:sid", "hash cookie sid"},
		{balance, "hash:query:q", "hash query q"},
		{balance, "hash:header:x-a", "hash header X-A"},
		{balance, "hash", "refused"},
		{balance, "hash:path:x", "refused"},
		{balance, "hash:header:", "refused"},
		{balance, "hash:header:a b", "refused"},
		{balance, "hash:query:", "refused"},
		{balance, "least-conn:x", "refused"},
		{balance, "leastconn", "refused"},
		{rate, "100/s", "100 per 1s burst 100"},
		{rate, "5/h burst 1", "5 per 1h0m0s burst 1"},
		{rate, "0/s", "refused"},
		{rate, "-1/s", "refused"},
		{rate, "1/d", "refused"},
		{rate, "1/s burst", "refused"},
		{rate, "1/s burst 0", "refused"},
		{rate, "1/s bust 3", "refused"},
		{size, "0", "0"},
		{size, "10", "10"},
		{size, "10b", "10"},
		{size, "2KB", "2000"},
		{size, "2 KiB", "2048"},
		{size, "1024GiB", "1099511627776"},
		{size, "1025GiB", "refused"},
		{size, "9223372036854775807GiB", "refused"},
		{size, "-1MB", "refused"},
		{size, "1.5MB", "refused"},
		{size, "MB", "refused"},
		{prefixes, "10.1.2.3/8, 10.0.0.0/8,192.0.2.1", "[10.0.0.0/8 192.0.2.1/32]"},
		{prefixes, "::ffff:10.0.0.0/104", "[10.0.0.0/8]"},
		{prefixes, "::ffff:0:0/95", "refused"},
		{prefixes, "fe80::1%eth0", "refused"},
		{prefixes, "all", "refused"},
		{prefixes, strings.Repeat("10.0.0.1,", MaxListItems) + "10.0.0.2", "refused"},
		{file, "file:/run/secrets/users", "/run/secrets/users"},
		{file, "file:users", "refused"},
		{file, "file:/run/../etc/passwd", "refused"},
		{file, "file:/run/", "refused"},
		{file, "/run/users", "refused"},
		{hsts, "1y", "max-age=31536000"},
		{hsts, "31536000s", "max-age=31536000"},
		{hsts, "180d Subdomains", "max-age=15552000; includeSubDomains"},
		{hsts, "2y preload subdomains", "max-age=63072000; includeSubDomains; preload"},
		{hsts, "8760h preload", "max-age=31536000; preload"},
		{hsts, "0s", "max-age=0"},
		{hsts, "10y", "max-age=315360000"},
		{hsts, "11y", "refused"},
		{hsts, "99999999999999d", "refused"},
		{hsts, "31536000", "refused"},
		{hsts, "1.5s", "refused"},
		{hsts, "-1d", "refused"},
		{hsts, "-1s", "refused"},
		{hsts, "y", "refused"},
		{hsts, "preload", "refused"},
		{hsts, "1y preload preload", "refused"},
		{hsts, "1y includeSubDomains", "refused"},
		{hsts, "", "refused"},
		{health, "/up", "/up"},
		{health, "/up?a=b%20c", "/up?a=b%20c"},
		{health, "up", "refused"},
		{health, "//evil.example/up", "refused"},
		{health, "/up#x", "refused"},
		{health, "http://169.254.169.254/", "refused"},
	} {
		if got := c.read(c.value); got != c.want {
			t.Errorf("%.80q is read as %q, want %q", c.value, got, c.want)
		}
	}
}
