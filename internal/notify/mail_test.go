package notify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"fairway/test/smtpsink"
)

// keyPair makes a certificate for 127.0.0.1 and the file that vouches for it.
func keyPair(t *testing.T) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, ca
}

func sink(t *testing.T, o smtpsink.Options) *smtpsink.Sink {
	t.Helper()
	s, err := smtpsink.Listen("", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestMail(t *testing.T) {
	config, ca := keyPair(t)
	password := write(t, "hunter2\n")
	for name, c := range map[string]struct {
		server  smtpsink.Options
		channel Channel
		want    string // error
	}{
		"starttls":             {smtpsink.Options{TLS: config}, Channel{CA: ca}, ""},
		"starttls, who":        {smtpsink.Options{TLS: config, User: "ops", Password: "hunter2"}, Channel{CA: ca, Username: "ops", PasswordFile: password}, ""},
		"implicit, who":        {smtpsink.Options{TLS: config, Implicit: true, User: "ops", Password: "hunter2"}, Channel{TLS: "implicit", CA: ca, Username: "ops", PasswordFile: password}, ""},
		"none":                 {smtpsink.Options{}, Channel{TLS: "none"}, ""},
		"none, who":            {smtpsink.Options{User: "ops", Password: "hunter2"}, Channel{TLS: "none", Username: "ops", PasswordFile: password}, ""},
		"no starttls offered":  {smtpsink.Options{}, Channel{CA: ca}, "does not support STARTTLS"},
		"unknown authority":    {smtpsink.Options{TLS: config}, Channel{}, "certificate"},
		"wrong password":       {smtpsink.Options{TLS: config, User: "ops", Password: "other"}, Channel{CA: ca, Username: "ops", PasswordFile: password}, "535"},
		"temporary refusal":    {smtpsink.Options{Reply: func(smtpsink.Mail) string { return "451 later" }}, Channel{TLS: "none"}, "451"},
		"it is never accepted": {smtpsink.Options{Reply: func(smtpsink.Mail) string { return "554 no" }}, Channel{TLS: "none"}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sink(t, c.server)
			c.channel.Kind, c.channel.Server, c.channel.From, c.channel.To = KindMail, s.Addr(), "fairway@example.com", []string{"ops@example.com", "more@example.com"}
			err := channelOf(t, c.channel).sender.send(t.Context(), parcelOf(nodeDown))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mails := s.Mails()
			if len(mails) != 1 || mails[0].From != "fairway@example.com" || !slices.Equal(mails[0].To, []string{"ops@example.com", "more@example.com"}) ||
				mails[0].TLS != (c.channel.TLS != "none") || mails[0].User != c.channel.Username {
				t.Fatalf("mails %+v", mails)
			}
			header, text := readMail(t, mails[0].Data)
			if header["Subject"] != "[host-1] node n3 is down" || header["Message-Id"] != "<id0@fairway.invalid>" || header["Auto-Submitted"] != "auto-generated" {
				t.Errorf("header %v", header)
			}
			if want := "node n3 is down\n\nwhen: 2026-05-01T12:00:00Z\nwhat: node.down\nsubject: node/abc\naddress: 10.0.0.3\n\n-- \nhost-1\n"; text != want {
				t.Errorf("text %q", text)
			}
		})
	}
}

// readMail takes a mail apart.
func readMail(t *testing.T, data string) (header map[string]string, text string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	header = map[string]string{}
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Errorf("header %s stands %d times", name, len(values))
		}
		if header[name], err = new(mime.WordDecoder).DecodeHeader(values[0]); err != nil {
			t.Fatal(err)
		}
	}
	if kind := header["Content-Type"]; kind != "text/plain; charset=UTF-8" {
		t.Errorf("content type %q", kind)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return header, strings.ReplaceAll(string(body), "\r\n", "\n")
}

// hostile are names that want to be more than names.
var hostile = []string{
	"<script>alert(1)</script><img src=x onerror=alert(1)>",
	"x\r\nBcc: victim@example.com\r\n\r\nHello",
	"x\nSubject: other\n.\nMAIL FROM:<evil@example.com>",
	"\x00\x1b[31mred\x07\x7f\u0085\u202egnp.exe\u2066\ufeff",
	"=?UTF-8?Q?=0D=0ABcc:_victim@example.com?=",
	"<!channel> <@U123> <https://evil.example|click> [click](https://evil.example) @here @channel `x` *y*",
	`"}], "admin": true, "x": "{{.Secret}} ${HOME} $(id)`,
	"\xff\xfe\xc0\xaf",
	strings.Repeat("A", 64<<10),
	strings.Repeat("é\r\n", 20<<10),
	"",
}

func FuzzHostile(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	post, err := newChannel(Channel{Name: "m", Kind: KindMail, Server: "127.0.0.1:25", From: "fairway@example.com", To: []string{"ops@example.com"}}, "host-1")
	if err != nil {
		f.Fatal(err)
	}
	mailOf := func(t *testing.T, p *batch) string {
		t.Helper()
		msg, err := post.sender.(*mailer).message(p)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := msg.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	f.Fuzz(func(t *testing.T, name string) {
		e := Event{Kind: ServiceDown, Subject: "service/" + name, Name: name, Text: "service " + name + " is down", Details: map[string]string{name: name, "image": name}}
		p := parcelOf(e, e)
		for _, single := range []*batch{p, {id: "id0", from: name, at: noon, events: p.events[:1]}} {
			plain, _ := readMail(t, mailOf(t, parcelOf(nodeDown)))
			header, text := readMail(t, mailOf(t, single))
			for name := range header {
				if _, ok := plain[name]; !ok {
					t.Errorf("header %s has come in", name)
				}
			}
			if header["To"] != plain["To"] || header["From"] != plain["From"] || strings.ContainsAny(header["Subject"], "\r\n") || len(header["Subject"]) > 300 {
				t.Errorf("header %q", header)
			}
			wantShowable(t, strings.ReplaceAll(text, "\n", " "))

			body, err := webhookBody(&webhook{}, single)
			var got wire
			if err != nil || json.Unmarshal(body, &got) != nil {
				t.Fatalf("%v: %s", err, body)
			}
			for _, s := range []string{got.Data.Name, got.Data.Text, got.Data.Subject, got.Data.Details["image"]} {
				wantShowable(t, s)
			}
			if body, err = slackBody(&webhook{texts: chat(t)}, single); err != nil {
				t.Fatal(err)
			}
			var message struct{ Text string }
			if err := json.Unmarshal(body, &message); err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(message.Text, "<>`") || strings.Contains(message.Text, "](") || strings.Contains(message.Text, "@c") || len(message.Text) > 40_000 {
				t.Errorf("chat gets %q", message.Text)
			}
		}
	})
}

func chat(t *testing.T) texts {
	t.Helper()
	c, err := parseTemplates(Channel{Kind: KindSlack})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantShowable(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || hidden(r) }) || len(s) > 20<<10 {
		t.Errorf("%.200q has what cannot be shown", s)
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		channel Channel
		want    string
	}{
		"name":              {Channel{Name: "a b", Kind: KindWebhook, URL: "https://a.example"}, "name: "},
		"kind":              {Channel{Kind: "pager"}, `kind "pager"`},
		"no url":            {Channel{Kind: KindWebhook}, "url: is missing"},
		"two urls":          {Channel{Kind: KindWebhook, URL: "https://a.example", URLFile: "x"}, "one of them"},
		"ftp":               {Channel{Kind: KindWebhook, URL: "ftp://a.example"}, "write https://"},
		"slack in the open": {Channel{Kind: KindSlack, URL: "https://hooks.slack.com/x"}, "is a secret"},
		"signed slack":      {Channel{Kind: KindSlack, URLFile: "x", Secrets: []string{"y"}}, "secrets: has no meaning for kind slack"},
		"mail to nobody":    {Channel{Kind: KindMail, Server: "a:25", From: "a@b.c"}, "to: is missing"},
		"no port":           {Channel{Kind: KindMail, Server: "mail.example", From: "a@b.c", To: []string{"a@b.c"}}, "write HOST:PORT"},
		"two addresses":     {Channel{Kind: KindMail, Server: "a:25", From: "a@b.c", To: []string{"a@b.c, d@e.f"}}, "write ops@example.com"},
		"line in address":   {Channel{Kind: KindMail, Server: "a:25", From: "a@b.c", To: []string{"a@b.c\r\nBcc: x@y.z"}}, "write ops@example.com"},
		"open password":     {Channel{Kind: KindMail, Server: "a:25", From: "a@b.c", To: []string{"a@b.c"}, TLS: "none", Username: "u", PasswordFile: "p"}, "for all to read"},
		"no password":       {Channel{Kind: KindMail, Server: "a:25", From: "a@b.c", To: []string{"a@b.c"}, Username: "u"}, "both or none"},
		"url of mail":       {Channel{Kind: KindMail, Server: "a:25", From: "a@b.c", To: []string{"a@b.c"}, URL: "https://a.example"}, "url: has no meaning"},
		"server of a hook":  {Channel{Kind: KindWebhook, URL: "https://a.example", Server: "a:25"}, "server: has no meaning"},
		"no such event":     {Channel{Kind: KindWebhook, URL: "https://a.example", Events: []string{"node.dwon"}}, `"node.dwon" is no kind`},
		"pattern":           {Channel{Kind: KindWebhook, URL: "https://a.example", Subjects: []string{"[a"}}, "brackets"},
		"template":          {Channel{Kind: KindWebhook, URL: "https://a.example", Body: "{{.Secret}}"}, "body: "},
		"half a template":   {Channel{Kind: KindWebhook, URL: "https://a.example", Body: "{{"}, "body: "},
		"rate":              {Channel{Kind: KindWebhook, URL: "https://a.example", Rate: "10"}, "rate: "},
	} {
		if c.channel.Name == "" {
			c.channel.Name = "ops"
		}
		var got []string
		for _, err := range c.channel.Check() {
			got = append(got, err.Error())
		}
		if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: faults %q, want %q", name, got, c.want)
		}
	}
}
