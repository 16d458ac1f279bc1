package notify

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Channel says where events go, and which. Files with secrets are read for each message.
type Channel struct {
	// Name is unique: letters, digits, dots, dashes and underscores.
	Name string `yaml:"name"`
	// Kind is webhook, mail or slack.
	Kind string `yaml:"kind"`

	// URL is http:// or https://; URLFile holds it when it is a secret, as with Slack.
	URL     string `yaml:"url"`
	URLFile string `yaml:"url-file"`
	// Secrets are files with the secrets that a webhook is signed with, one signature
	// each: "whsec_" and base64, or at least 16 bytes of anything else.
	Secrets []string `yaml:"secrets"`

	// Server is the mail server, HOST:PORT.
	Server string `yaml:"server"`
	// TLS is starttls (the default), implicit, or none: a password on this machine alone.
	TLS string `yaml:"tls"`
	// Username and PasswordFile are for a server that asks who one is.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password-file"`
	// From and To are mail addresses.
	From string   `yaml:"from"`
	To   []string `yaml:"to"`

	// CA is a PEM file of authorities for the receiver; empty means the machine's.
	CA string `yaml:"ca"`

	// Events are the kinds that are sent: "node.*"; "!node.*" leaves out. Empty is all.
	Events []string `yaml:"events"`
	// Subjects are the names or subjects of the events, in the same form.
	Subjects []string `yaml:"subjects"`

	// Title and Body are templates in place of the usual texts; see docs/notify.md.
	Title string `yaml:"title"`
	Body  string `yaml:"body"`

	// Rate is how many messages go out at most: "10/10m" is ten at once, then one a
	// minute. What is more goes together.
	Rate string `yaml:"rate"`
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// CheckName refuses what is no name of a channel or rule.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return errors.New("name: letters, digits, dots, dashes and underscores are needed, at most 64")
	}
	return nil
}

// The kinds of channels.
const (
	KindWebhook = "webhook"
	KindMail    = "mail"
	KindSlack   = "slack"
)

// rates are the usual ones.
var rates = map[string]string{KindWebhook: "1000/100s", KindMail: "10/10m", KindSlack: "20/2m"}

// Check returns all that is wrong, by field, without looking at files.
func (c Channel) Check() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if err := CheckName(c.Name); err != nil {
		faults = append(faults, err)
	}
	switch c.Kind {
	case KindWebhook, KindSlack:
		faults = append(faults, c.checkURL()...)
	case KindMail:
		faults = append(faults, c.checkMail()...)
	default:
		fault("kind %q: write webhook, mail or slack", c.Kind)
		return faults
	}
	faults = append(faults, c.checkUnused()...)
	for _, pattern := range slices.Concat(c.Events, c.Subjects) {
		if _, err := path.Match(strings.TrimPrefix(pattern, "!"), ""); err != nil {
			fault("pattern %q: brackets do not match", pattern)
		}
	}
	for _, pattern := range c.Events {
		if !slices.ContainsFunc(Kinds(), func(k Kind) bool { return Matches(strings.TrimPrefix(pattern, "!"), string(k)) }) {
			fault("events: %q is no kind of event", pattern)
		}
	}
	if _, err := parseTemplates(c); err != nil {
		fault("%w", err)
	}
	if _, _, err := parseRate(c.Rate); c.Rate != "" && err != nil {
		fault("rate: %w", err)
	}
	return faults
}

func (c Channel) checkURL() []error {
	switch {
	case c.URL != "" && c.URLFile != "":
		return []error{errors.New("url and url-file: one of them")}
	case c.Kind == KindSlack && c.URLFile == "":
		return []error{errors.New("url-file: the URL of a Slack webhook is a secret; name the file that holds it")}
	case c.URL == "" && c.URLFile == "":
		return []error{errors.New("url: is missing")}
	case c.URL != "":
		if _, err := parseURL(c.URL); err != nil {
			return []error{err}
		}
	}
	return nil
}

// parseURL checks the URL of a receiver. The error does not repeat it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("url: is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("url: write https://HOST/PATH or http://HOST/PATH")
	case u.User != nil:
		return nil, errors.New("url: user and password do not belong there; use url-file with a token in the path, or secrets")
	}
	return u, nil
}

func (c Channel) checkMail() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	host, port, err := net.SplitHostPort(c.Server)
	if n, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || n == 0 || host == "" {
		fault("server %q: write HOST:PORT", c.Server)
	}
	switch c.TLS {
	case "", tlsStart, tlsImplicit:
	case tlsNone:
		if c.Username != "" && !loopback(host) {
			fault("tls none: a password would be sent to %s for all to read", host)
		}
	default:
		fault("tls %q: write starttls, implicit or none", c.TLS)
	}
	if (c.Username == "") != (c.PasswordFile == "") {
		fault("username and password-file: both or none")
	}
	for _, address := range append([]string{c.From}, c.To...) {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address && a.String() != address && !strings.HasSuffix(address, "<"+a.Address+">") {
			fault("address %q: write ops@example.com", address)
		}
	}
	if len(c.To) == 0 {
		fault("to: is missing")
	}
	return faults
}

// checkUnused refuses settings that have no meaning for the kind.
func (c Channel) checkUnused() []error {
	var faults []error
	for _, s := range []struct {
		name  string
		given bool
		kinds []string // for which it has a meaning
	}{
		{"from", c.From != "", []string{KindMail}},
		{"password-file", c.PasswordFile != "", []string{KindMail}},
		{"secrets", len(c.Secrets) > 0, []string{KindWebhook}},
		{"server", c.Server != "", []string{KindMail}},
		{"title", c.Title != "", []string{KindMail, KindSlack}},
		{"tls", c.TLS != "", []string{KindMail}},
		{"to", len(c.To) > 0, []string{KindMail}},
		{"url", c.URL != "", []string{KindWebhook, KindSlack}},
		{"url-file", c.URLFile != "", []string{KindWebhook, KindSlack}},
		{"username", c.Username != "", []string{KindMail}},
	} {
		if s.given && !slices.Contains(s.kinds, c.Kind) {
			faults = append(faults, fmt.Errorf("%s: has no meaning for kind %s", s.name, c.Kind))
		}
	}
	return faults
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parseRate reads "10/10m".
func parseRate(text string) (burst int, every time.Duration, err error) {
	number, span, ok := strings.Cut(text, "/")
	burst, numErr := strconv.Atoi(number)
	within, spanErr := time.ParseDuration(span)
	if !ok || numErr != nil || spanErr != nil || burst < 1 || burst > 100_000 || within < time.Second || within > 24*time.Hour {
		return 0, 0, fmt.Errorf("%q: write a number and a time, 10/10m", text)
	}
	return burst, within / time.Duration(burst), nil
}

// wants reports whether an event goes to the channel.
func (c Channel) wants(e *Event) bool {
	return chosen(c.Events, string(e.Kind)) && chosen(c.Subjects, e.Name, e.Subject)
}

// chosen reports whether patterns choose one of the names. The last that matches decides;
// only those that leave out choose everything else.
func chosen(patterns []string, names ...string) bool {
	chosen := len(patterns) == 0 || strings.HasPrefix(patterns[0], "!")
	for _, pattern := range patterns {
		plain, out := strings.CutPrefix(pattern, "!")
		if slices.ContainsFunc(names, func(name string) bool { return Matches(plain, name) }) {
			chosen = !out
		}
	}
	return chosen
}

// Matches is path.Match for names in which a slash is nothing special.
func Matches(pattern, name string) bool {
	flat := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(flat.Replace(pattern), flat.Replace(name))
	return ok && err == nil
}
