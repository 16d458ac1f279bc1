package dockerflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"fairway/internal/catalog"
	"fairway/internal/clock"
)

// everywhere carries out a call on all replicas of the proxy at once, and names those that
// it failed on.
func (p *Proxy) everywhere(r *http.Request, body []byte, here func(context.Context) verdict) verdict {
	ctx, cancel := context.WithTimeout(r.Context(), p.o.Deadline)
	defer cancel()
	siblings, err := p.siblings(ctx)
	var (
		errs   []error
		others sync.WaitGroup
	)
	others.Go(func() {
		_, errs = askAll(siblings, func(address string) ([]byte, error) { return p.passOn(ctx, r, body, address, maxBody) })
	})
	v := here(ctx)
	others.Wait()
	var failed []string
	for i, err := range errs {
		if err != nil {
			p.log.Warn("call could not be passed on", "address", siblings[i], "error", err)
			failed = append(failed, siblings[i])
		}
	}
	switch {
	case v.code != http.StatusOK && len(failed) == 0:
		return v
	case v.code != http.StatusOK:
		failed = append(failed, "this replica: "+v.message)
	case err != nil:
		return refuse(http.StatusInternalServerError, err.Error())
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		return refuse(http.StatusInternalServerError, "could not be distributed to: "+strings.Join(failed, ", "))
	}
	return done(strings.TrimPrefix(v.message+"; distributed to all instances", "; "))
}

// askAll asks all addresses at once. Answers and errors are in the order of the addresses.
func askAll(addresses []string, ask func(address string) ([]byte, error)) (answers [][]byte, errs []error) {
	answers, errs = make([][]byte, len(addresses)), make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { answers[i], errs[i] = ask(address) })
	}
	asking.Wait()
	return answers, errs
}

// siblings are the addresses, with port, of the other replicas.
func (p *Proxy) siblings(ctx context.Context) ([]string, error) {
	name := "tasks." + p.o.ServiceName
	hosts, err := p.o.Lookup(ctx, name)
	if err != nil || len(hosts) == 0 {
		return nil, fmt.Errorf("the replicas cannot be found under %s: is SERVICE_NAME the name of the proxy's service?", name)
	}
	var others []string
	for _, host := range hosts {
		address := host
		if _, _, err := net.SplitHostPort(host); err != nil {
			address = net.JoinHostPort(host, p.o.Port)
		}
		if !p.o.Own(address) {
			others = append(others, address)
		}
	}
	slices.Sort(others)
	return slices.Compact(others), nil
}

// passOn repeats a call to another replica, which is not to pass it on in turn.
func (p *Proxy) passOn(ctx context.Context, r *http.Request, body []byte, address string, most int64) ([]byte, error) {
	query := r.URL.Query()
	maps.DeleteFunc(query, func(key string, _ []string) bool { return strings.EqualFold(key, "distribute") })
	query.Set("distribute", "false")
	target := "http://" + address + r.URL.EscapedPath() + "?" + query.Encode()
	return p.call(ctx, r.Method, target, r.Header.Get("Content-Type"), body, most)
}

// call makes a call to another program, and returns the answer up to a bound.
func (p *Proxy) call(ctx context.Context, method, target, contentType string, body []byte, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, most))
	if res.StatusCode >= 300 {
		err = fmt.Errorf("answered %s", res.Status)
	}
	return answer, err
}

func (p *Proxy) get(ctx context.Context, url string) ([]byte, error) {
	return p.call(ctx, http.MethodGet, url, "", nil, maxList)
}

// ownAddress reports whether an address is one of this machine's or container's.
func ownAddress(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	want, err := netip.ParseAddr(host)
	own, _ := net.InterfaceAddrs() // when they cannot be read, none is ours
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == want.Unmap()
	})
}

const maxList = 32 << 20

// Run takes over certificates from the other replicas and pulls all services from each
// listener, until ctx ends with Repeat, else until it has worked. It returns nil.
func (p *Proxy) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { p.adoptAll(ctx) })
	for _, address := range p.o.Listeners {
		running.Go(func() { p.pullFrom(ctx, address) })
	}
	running.Wait()
	<-ctx.Done()
	return nil
}

func (p *Proxy) pullFrom(ctx context.Context, address string) {
	for failing := false; ; {
		err := p.pull(ctx, address)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if !p.pulled.Swap(true) || failing {
				p.log.Info("services pulled from the listener", "listener", shown(address))
			}
			if failing = false; !p.o.Repeat {
				return
			}
		case !failing:
			failing = true
			p.log.Warn("services cannot be pulled from the listener, trying again", "listener", shown(address), "error", err)
		}
		if clock.Sleep(ctx, p.o.PullInterval) != nil {
			return
		}
	}
}

// pull takes over the list of a listener: services from it that are no longer in the list
// are forgotten. A service at fault is left out.
func (p *Proxy) pull(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, p.o.Deadline)
	defer cancel()
	body, err := p.get(ctx, listenerURL(address)+listenerPath+"get-services")
	if err != nil {
		return err
	}
	var list []map[string]string
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("get-services: %w", err)
	}
	var services []*catalog.Service
	for _, params := range list {
		values := valuesOf(params)
		c := readCall(values, values)
		if _, refused := p.o.Settings.judge(c); refused || p.o.Settings.foreign(c) || gone(c) {
			continue
		}
		service, err := p.posted(c)
		if err != nil {
			p.log.Warn("service of the listener is left out", "service", c.service, "error", err)
			continue
		}
		services = append(services, service)
	}
	_, err = p.o.Posted.Replace("listener "+address, services)
	return err
}

// askListeners asks every listener to announce all services again.
func (p *Proxy) askListeners(ctx context.Context) error {
	if len(p.o.Listeners) == 0 {
		return errors.New("no listener is configured: set LISTENER_ADDRESS")
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Deadline)
	defer cancel()
	_, errs := askAll(p.o.Listeners, func(address string) ([]byte, error) {
		body, err := p.get(ctx, listenerURL(address)+listenerPath+"notify-services")
		if err != nil {
			err = fmt.Errorf("listener %s: %w", shown(address), err)
		}
		return body, err
	})
	return errors.Join(errs...)
}

// listenerURL makes a URL of an address: a bare host listens on 8080.
func listenerURL(address string) string {
	address = strings.TrimSuffix(address, "/")
	scheme, host, ok := strings.Cut(address, "://")
	if !ok {
		scheme, host = "http", address
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "8080")
	}
	return scheme + "://" + host
}
