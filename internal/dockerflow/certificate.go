package dockerflow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"fairway/internal/clock"
)

type certReply struct {
	Status, Message string
	Certs           []certEcho
}

// certEcho is a certificate in the shape of the original; ProxyServiceName is the file's.
type certEcho struct {
	ServicePort, ProxyServiceName, CertsDir, CertContent string
}

func (p *Proxy) cert(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		w.Header().Set("Allow", http.MethodPut)
		answer(w, http.StatusMethodNotAllowed, certReply{Status: statusNOK, Message: "only PUT is allowed"})
		return
	}
	body, err := io.ReadAll(r.Body)
	name := r.URL.Query().Get("certName")
	here := func(context.Context) verdict {
		if err := p.o.Certificates.Put(name, body); err != nil {
			return refuse(http.StatusBadRequest, err.Error())
		}
		p.log.Info("certificate received", "name", name)
		return done("")
	}
	var v verdict
	switch {
	case err != nil:
		v = refuse(http.StatusBadRequest, "the body cannot be read")
	case name == "":
		v = refuse(http.StatusBadRequest, "certName query parameter is mandatory")
	case len(body) == 0:
		v = refuse(http.StatusBadRequest, "the body, the certificate with its key, is mandatory")
	case yes(r.URL.Query().Get("distribute")):
		v = p.everywhere(r, body, here)
	default:
		v = here(r.Context())
	}
	if v.code != http.StatusOK {
		v.code = http.StatusBadRequest // for everything, as in the original
	}
	answer(w, v.code, certReply{Status: v.status(), Message: v.message})
}

// certs lists the certificates that were put. Their contents hold private keys: only another
// replica, by Docker's DNS, gets them.
func (p *Proxy) certs(w http.ResponseWriter, r *http.Request) {
	names, err := p.o.Certificates.Names()
	if err != nil {
		p.log.Error("certificates cannot be listed", "error", err)
		answer(w, http.StatusInternalServerError, certReply{Status: statusNOK, Message: "the certificates cannot be listed"})
		return
	}
	sibling := p.isSibling(r)
	list := []certEcho{}
	for _, name := range names {
		e := certEcho{ProxyServiceName: name, CertContent: masked}
		if sibling {
			if pem, err := p.o.Certificates.Get(name); err == nil {
				e.CertContent = string(pem)
			}
		}
		list = append(list, e)
	}
	answer(w, http.StatusOK, certReply{Status: statusOK, Certs: list})
}

// isSibling reports whether a call comes from another replica of this proxy.
func (p *Proxy) isSibling(r *http.Request) bool {
	peer, ok := directPeer(r)
	return ok && !p.o.Own(net.JoinHostPort(peer.String(), p.o.Port)) && p.replicas.has(r)
}

// adoptTries is how often the other replicas are asked for certificates at start:
// Docker's DNS may not know them yet, or there may be no Swarm at all.
const adoptTries = 12

// adoptAll takes over the certificates of the other replicas.
func (p *Proxy) adoptAll(ctx context.Context) {
	var err error
	for range adoptTries {
		err = p.adopt(ctx)
		p.adopted.Store(true)
		if err == nil || clock.Sleep(ctx, p.o.PullInterval) != nil {
			return
		}
	}
	p.log.Info("not all certificates of other replicas could be taken over", "reason", err)
}

// adopt asks each of the other replicas once. The error names one that could not be asked.
func (p *Proxy) adopt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.o.Deadline)
	defer cancel()
	siblings, err := p.siblings(ctx)
	if err != nil {
		return err
	}
	answers, errs := askAll(siblings, func(address string) ([]byte, error) { return p.get(ctx, "http://"+address+proxyPath+"certs") })
	for i, address := range siblings {
		if errs[i] == nil {
			errs[i] = p.take(answers[i], address)
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("certificates of %s: %w", address, errs[i])
		}
	}
	return cmp.Or(errs...)
}

// take keeps the certificates of a replica's answer that are not here already.
func (p *Proxy) take(answer []byte, address string) error {
	var list certReply
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	have, err := p.o.Certificates.Names()
	if err != nil {
		return err
	}
	for _, c := range list.Certs {
		if c.CertContent == masked || slices.Contains(have, c.ProxyServiceName) {
			continue
		}
		if err := p.o.Certificates.Put(c.ProxyServiceName, []byte(c.CertContent)); err != nil {
			return err
		}
		p.log.Info("certificate taken over from another replica", "name", c.ProxyServiceName, "address", address)
	}
	return nil
}
