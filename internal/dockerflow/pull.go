package dockerflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"fairway/internal/catalog"
)

// maxList bounds what a listener may answer.
const maxList = 32 << 20

// Run takes over certificates from the other replicas and pulls all services from
// each listener: at once, then at the interval until it has worked, and, with
// Repeat, ever after. It returns nil when ctx ends.
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

// pullFrom pulls from one listener.
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
		select {
		case <-time.After(p.o.PullInterval):
		case <-ctx.Done():
			return
		}
	}
}

// pull takes over the list of a listener: those of its services that were kept on
// its word alone and are no longer in the list are forgotten. A service at fault is
// left out and spoils no other one.
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
		c := readMap(params)
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
