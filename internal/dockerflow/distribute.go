package dockerflow

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// everywhere carries out a call on all replicas of the proxy at once: on this one
// by itself, on the others by passing the call on. Those that it failed on are
// named; it has still been carried out on the rest.
func (p *Proxy) everywhere(r *http.Request, body []byte, here func(context.Context) verdict) verdict {
	ctx, cancel := context.WithTimeout(r.Context(), p.o.Deadline)
	defer cancel()
	siblings, err := p.siblings(ctx)
	var (
		mu      sync.Mutex
		failed  []string
		calls   sync.WaitGroup
		verdict verdict
	)
	for _, address := range siblings {
		calls.Go(func() {
			if err := p.passOn(ctx, r, body, address, ignore); err != nil {
				p.log.Warn("call could not be passed on", "address", address, "error", err)
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, address)
			}
		})
	}
	verdict = here(ctx)
	calls.Wait()
	switch {
	case verdict.status != statusOK && len(failed) == 0:
		return verdict
	case verdict.status != statusOK:
		failed = append(failed, "this replica: "+verdict.message)
	case err != nil:
		return *refuse(http.StatusInternalServerError, err.Error())
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		return *refuse(http.StatusInternalServerError, "could not be distributed to: "+strings.Join(failed, ", "))
	}
	verdict.message = strings.TrimPrefix(verdict.message+"; distributed to all instances", "; ")
	return verdict
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

// ignore reads an answer of which only the status counts.
func ignore(body io.Reader) error {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, maxBody))
	return nil
}

// passOn repeats a call to another replica, which is not to pass it on in turn, and
// has take read the answer.
func (p *Proxy) passOn(ctx context.Context, r *http.Request, body []byte, address string, take func(io.Reader) error) error {
	query := r.URL.Query()
	for key := range query {
		if strings.EqualFold(key, "distribute") {
			delete(query, key)
		}
	}
	query.Set("distribute", "false")
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+address+r.URL.EscapedPath()+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		req.Header.Set("Content-Type", t)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		_ = ignore(res.Body)
		return fmt.Errorf("answered %s", res.Status)
	}
	return take(res.Body)
}

// ownAddress reports whether an address is one of this machine's or container's.
func ownAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	want, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == want.Unmap()
	})
}
