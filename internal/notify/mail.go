package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// How a mail server is spoken to.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// mailer sends mail: plain text, so that nothing in it is ever markup.
type mailer struct {
	channel Channel
	texts   texts
}

// receiver is the server.
func (m *mailer) receiver() string { return "mail by " + m.channel.Server }

// send delivers one mail to the server.
func (m *mailer) send(ctx context.Context, p *batch) error {
	msg, err := m.message(p)
	if err != nil {
		return err
	}
	client, err := m.client(ctx, p.from)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if e, ok := errors.AsType[*mail.SendError](err); ok && !e.IsTemp() && (e.Reason == mail.ErrSMTPData || e.Reason == mail.ErrSMTPDataClose) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// message makes the mail of a batch. What events say is encoded, in subject and text.
func (m *mailer) message(p *batch) (*mail.Msg, error) {
	title, err := render(m.texts.title, p, plainText)
	if err != nil {
		return nil, err
	}
	body, err := render(m.texts.body, p, plainText)
	if err != nil {
		return nil, err
	}
	msg := mail.NewMsg(mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent())
	if err := msg.From(m.channel.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := msg.To(m.channel.To...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	// A mail program would decode what looks like an encoded word.
	msg.Subject(strings.ReplaceAll(clean(title, 200), "=?", "= ?"))
	msg.SetDateWithValue(p.at)
	msg.SetMessageIDWithValue(strings.ToLower(p.id) + "@fairway.invalid")
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, body)
	return msg, nil
}

// client connects to the server as the configuration says. The end of ctx closes
// the connection: the library leaves it open when something goes wrong early.
func (m *mailer) client(ctx context.Context, from string) (*mail.Client, error) {
	host, port, err := net.SplitHostPort(m.channel.Server)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	config, err := trustOf(m.channel.CA)
	if err != nil {
		return nil, err
	}
	config.ServerName = host
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: allowed}
	options := []mail.Option{
		mail.WithPort(number), mail.WithTLSConfig(config), mail.WithTimeout(15 * time.Second), mail.WithHELO(helo(from)),
	}
	dial := dialer.DialContext
	switch m.channel.TLS {
	case tlsImplicit:
		dial = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext
		options = append(options, mail.WithSSL())
	case tlsNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	options = append(options, mail.WithDialContextFunc(func(dialling context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(dialling, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}))
	if m.channel.Username != "" {
		password, err := readSecret(m.channel.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("password-file: %w", err)
		}
		auth := mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5)
		if m.channel.TLS == tlsNone {
			auth = mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc) // on this machine only; Check has seen to it
		}
		options = append(options, auth, mail.WithUsername(m.channel.Username), mail.WithPassword(password))
	}
	return mail.NewClient(host, options...)
}

var notInHost = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// helo is the name of this machine, as far as it can be one.
func helo(from string) string {
	name := strings.Trim(notInHost.ReplaceAllString(from, ""), "-.")
	if name == "" || len(name) > 255 {
		return "localhost"
	}
	return name
}
