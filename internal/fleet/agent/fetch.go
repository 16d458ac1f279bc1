package agent

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"fairway/internal/clock"
	"fairway/internal/fleet/agent/report"
)

// NewClient makes a client for the control server. ca is a file with authorities, empty for
// those of the system; cert and key are files with our own certificate, empty for none.
func NewClient(ca, cert, key string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA: %s holds no certificate", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	t.TLSClientConfig = config
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("more than five redirects")
		}
		if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("a redirect away from https")
		}
		return nil
	}}, nil
}

type fetched struct {
	content []byte // nil when it is the one that the tag names
	etag    string // empty when the control server gives none to rely on
}

// address is the URL of the configuration, and its form without secrets.
func (a *Agent) address() (*url.URL, string, error) {
	u, err := url.Parse(a.o.URL + url.PathEscape(a.o.Name))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The error of Parse quotes the URL, which may hold a password.
		return nil, "", errors.New("CFG_GET_URL is not a URL like http://control/haproxy/")
	}
	plain := *u
	plain.User, plain.RawQuery = nil, ""
	return u, plain.String(), nil
}

// statusError is an answer other than the configuration.
type statusError int

func (e statusError) Error() string {
	text := fmt.Sprintf("the control server answers %d %s", int(e), http.StatusText(int(e)))
	switch int(e) {
	case http.StatusNotFound:
		text += ": it has no configuration of this name"
	case http.StatusUnauthorized, http.StatusForbidden:
		text += ": a token or a certificate that may read it is needed"
	}
	return text
}

// again reports whether an attempt that failed is worth another.
func again(err error) bool {
	var status statusError
	if !errors.As(err, &status) {
		return true
	}
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// fetch gets the configuration, with further attempts within the deadline.
func (a *Agent) fetch(ctx context.Context) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		got, err := a.get(ctx, "", 0)
		if err == nil || attempt >= a.o.Retries || !again(err) {
			return got, err
		}
		pause := time.Second << min(attempt, 5)
		a.say("Download failed: %v. Another attempt in %s.", err, pause)
		if ended := clock.Sleep(ctx, pause); ended != nil {
			return fetched{}, err
		}
	}
}

// get asks once. With a tag the control server may wait for a change as long as wait.
func (a *Agent) get(ctx context.Context, etag string, wait time.Duration) (fetched, error) {
	u, _, err := a.address()
	if err != nil {
		return fetched{}, err
	}
	if wait > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += "wait=" + wait.String()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fetched{}, errors.New("CFG_GET_URL and the name make no URL")
	}
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	if a.o.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.o.Token)
	}
	answer, err := a.o.Client.Do(request)
	if err != nil {
		// Without the URL that the error carries.
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fetched{}, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		return fetched{etag: etag}, nil
	default:
		return fetched{}, statusError(answer.StatusCode)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, report.MaxContent+1))
	switch {
	case err != nil:
		return fetched{}, fmt.Errorf("the answer breaks off: %w", err)
	case len(content) > report.MaxContent:
		return fetched{}, fmt.Errorf("the configuration is larger than %d MiB", report.MaxContent>>20)
	case len(content) == 0:
		return fetched{}, errors.New("the configuration is empty")
	}
	// Fairway's own control server names the content by its digest. Other tags, of time
	// and size, do not show every change: they are not used.
	etag = answer.Header.Get("ETag")
	named := strings.Trim(etag, `"`)
	if len(named) != 2*sha256.Size || strings.Trim(named, "0123456789abcdef") != "" {
		return fetched{content: content}, nil
	}
	if named != report.Digest(content) {
		return fetched{}, errors.New("the content does not have the digest that the control server says it has")
	}
	return fetched{content: content, etag: etag}, nil
}
