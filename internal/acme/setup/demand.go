package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"fairway/internal/acme"
	"fairway/internal/route"
)

// OnDemand is the keys below acme.on-demand, as in docs/https.md.
type OnDemand struct {
	Ask     string   `name:"ask" placeholder:"URL" help:"Get a certificate for a name once a client asks for it, if GET URL?domain=NAME is answered with 2xx. It is asked again before each renewal. Embedded engine."`
	Hosts   []string `name:"hosts" placeholder:"HOST" sep:"," help:"Which names may be asked for: shop.example, *.shops.example (one label), **.shops.example (one or more) or * (all). A route over HTTPS has to take them. Repeatable."`
	Names   int      `name:"names" placeholder:"N" preset:"1000" least:"1" most:"10000" help:"How many such names there may be at a time."`
	PerHour int      `name:"per-hour" placeholder:"N" preset:"50" least:"1" most:"10000" help:"How many new ones in an hour."`
}

// check says what is wrong with the keys.
func (o *OnDemand) check(haproxy bool, add func(key, value, reason string)) {
	if o.Ask == "" {
		if len(o.Hosts) > 0 {
			add("acme.on-demand.ask", "", "acme.on-demand.hosts needs it: without a service that says yes nothing is ordered; write acme.on-demand.ask: http://127.0.0.1:9000/allowed")
		}
		return
	}
	if haproxy {
		add("acme.on-demand.ask", "", "HAProxy ends TLS by itself and cannot wait for a certificate: write engine: embedded, or take acme.on-demand out")
	}
	if u, err := url.Parse(o.Ask); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		add("acme.on-demand.ask", "", "write http:// or https://, without credentials, as http://127.0.0.1:9000/allowed")
	}
	if len(o.Hosts) == 0 {
		add("acme.on-demand.hosts", "", "acme.on-demand.ask needs it: write which names may be asked for, as **.shops.example, or * for all")
	}
	for _, text := range o.Hosts {
		if _, err := route.ParseHost(text); err != nil {
			add("acme.on-demand.hosts", text, err.Error())
		}
	}
}

// open makes what the keeper needs; nil for none.
func (o *OnDemand) open(version string) (*acme.OnDemand, error) {
	if o.Ask == "" {
		return nil, nil
	}
	d := &acme.OnDemand{Names: o.Names, Most: o.PerHour, Ask: asking(o.Ask, version)}
	for _, text := range o.Hosts {
		h, err := route.ParseHost(text)
		if err != nil {
			return nil, fmt.Errorf("acme.on-demand.hosts: %w", err)
		}
		d.Hosts = append(d.Hosts, h)
	}
	return d, nil
}

// asking asks a service by HTTP: 2xx is a yes, 3xx and 4xx are a no, all else is no answer.
func asking(target, version string) func(context.Context, string) (bool, error) {
	client := &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 1 << 14},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, name string) (bool, error) {
		u, err := url.Parse(target)
		if err != nil {
			return false, err
		}
		query := u.Query()
		query.Set("domain", name)
		u.RawQuery = query.Encode()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return false, err
		}
		r.Header.Set("User-Agent", "Fairway/"+cmp.Or(version, "devel"))
		resp, err := client.Do(r)
		if err != nil {
			if failed := (*url.Error)(nil); errors.As(err, &failed) {
				err = failed.Err // without the URL, which may have a secret
			}
			return false, fmt.Errorf("%s cannot be asked: %w", u.Host, err)
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection serves again
		_ = resp.Body.Close()
		switch {
		case resp.StatusCode < 300:
			return true, nil
		case resp.StatusCode < 500:
			return false, nil
		}
		return false, fmt.Errorf("%s answers %d", u.Host, resp.StatusCode)
	}
}
