package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairway/internal/files"
)

const (
	// maxFile bounds a file with a secret, maxAuthorities one with authorities.
	maxFile        = 64 << 10
	maxAuthorities = 16 << 20
	// minSecret is the shortest secret, in bytes.
	minSecret = 16
)

// webhook posts JSON, signed as Standard Webhooks says, past proxies and redirects.
type webhook struct {
	channel Channel
	texts   texts
	body    func(w *webhook, p *batch) ([]byte, error)
}

// client is for one call: the file with the authorities is read anew.
func (w *webhook) client() (*http.Client, error) {
	trust, err := trustOf(w.channel.CA)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: allowed}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSClientConfig:     trust,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableKeepAlives:   true,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// trustOf trusts the authorities in a file; those of the machine for none.
func trustOf(file string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return config, nil
	}
	data, err := files.ReadStream(file, maxAuthorities)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("ca: %s holds no certificate", file)
	}
	return config, nil
}

// allowed refuses addresses at which no receiver is, but the metadata of a cloud:
// it sees the address after the name was looked up.
func allowed(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip == netip.MustParseAddr("fd00:ec2::254") {
		return fmt.Errorf("address %s is none of a receiver", ip)
	}
	return nil
}

// receiver is the URL without path and parameters, which may be secret.
func (w *webhook) receiver() string {
	if w.channel.URLFile != "" {
		return "the URL in " + w.channel.URLFile
	}
	u, err := url.Parse(w.channel.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// send makes one call.
func (w *webhook) send(ctx context.Context, p *batch) error {
	address := w.channel.URL
	if w.channel.URLFile != "" {
		var err error
		if address, err = readSecret(w.channel.URLFile); err != nil {
			return fmt.Errorf("url-file: %w", err)
		}
	}
	u, err := parseURL(address)
	if err != nil {
		return err
	}
	client, err := w.client()
	if err != nil {
		return err
	}
	body, err := w.body(w, p)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("url: cannot be called")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "fairway")
	if err := w.sign(req, p, body); err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		if around, ok := errors.AsType[*url.Error](err); ok {
			return around.Err // without the URL
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the receiver is done
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusRequestEntityTooLarge, res.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w with status %d", errRefused, res.StatusCode)
	}
	err = fmt.Errorf("answered with status %d", res.StatusCode)
	if wait := retryAfter(res.Header, p.at); wait > 0 {
		return &laterError{err, wait}
	}
	return err
}

// laterError is the error of a receiver that says when to come again.
type laterError struct {
	error
	wait time.Duration
}

// askedMost bounds for how long a receiver may put us off.
const askedMost = time.Hour

// retryAfter reads that header (RFC 9110, 10.2.3); zero for none and for nonsense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(askedMost, time.Duration(seconds)*time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(askedMost, max(0, at.Sub(now)))
}

// sign adds ID, time, and a signature of both and the body with each secret.
func (w *webhook) sign(req *http.Request, p *batch, body []byte) error {
	at := strconv.FormatInt(p.at.Unix(), 10)
	req.Header.Set("Webhook-Id", p.id)
	req.Header.Set("Webhook-Timestamp", at)
	var signatures []string
	for _, path := range w.channel.Secrets {
		text, err := readSecret(path)
		if err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
		key, err := signingKey(text)
		if err != nil {
			return fmt.Errorf("secrets: %s: %w", path, err)
		}
		signatures = append(signatures, signature(key, p.id, at, body))
	}
	if len(signatures) > 0 {
		req.Header.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
	return nil
}

// signature is "v1," and the HMAC of id.timestamp.body in base64.
func signature(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + at + "."))
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signingKey reads a secret. The error does not repeat it.
func signingKey(text string) ([]byte, error) {
	key := []byte(text)
	if encoded, ok := strings.CutPrefix(text, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("what follows whsec_ is no base64")
		}
	}
	if len(key) < minSecret {
		return nil, fmt.Errorf("a secret has at least %d bytes", minSecret)
	}
	return key, nil
}

// wire is the body of a webhook, as Standard Webhooks recommends.
type wire struct {
	Type      Kind      `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      wireData  `json:"data"`
}

type wireData struct {
	Event
	Severity Severity `json:"severity"`
	From     string   `json:"from"`
	// Events are the single events of a summary, in order.
	Events []Event `json:"events,omitempty"`
	// Lost is how many events were given up before.
	Lost int `json:"lost,omitempty"`
}

func webhookBody(w *webhook, p *batch) ([]byte, error) {
	if w.texts.body != nil {
		text, err := render(w.texts.body, p, jsonText)
		if err == nil && json.Valid([]byte(text)) {
			return []byte(text), nil
		}
		if err == nil {
			err = errors.New("body: the template does not make JSON")
		}
		return nil, err
	}
	e := p.summary()
	data := wireData{Event: e, Severity: e.Kind.Severity(), From: p.from, Lost: p.lost}
	if len(p.events) > 1 {
		data.Events = p.events
	}
	return json.Marshal(wire{Type: e.Kind, Timestamp: e.At, Data: data})
}

func slackBody(w *webhook, p *batch) ([]byte, error) {
	text, err := render(w.texts.body, p, slackEscape)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Text string `json:"text"`
	}{text})
}

// readSecret returns what is in a file, without the space around it.
func readSecret(path string) (string, error) {
	data, err := files.ReadStream(path, maxFile)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty", path)
	case strings.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("%s has more than one line", path)
	}
	return text, nil
}
