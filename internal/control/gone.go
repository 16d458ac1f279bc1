package control

import (
	"net"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// world finds what exists by what recorded endpoints say of it.
type world struct {
	instances map[[2]string]*catalog.Instance // by source and short ID
	services  map[string]*catalog.Service     // by ID
}

func worldOf(s *catalog.Snapshot) world {
	w := world{map[[2]string]*catalog.Instance{}, map[string]*catalog.Service{}}
	for _, svc := range s.Services {
		w.services[svc.ID] = svc
		for _, in := range svc.Instances {
			w.instances[[2]string{in.Source, in.ShortID()}] = in
		}
	}
	return w
}

// left returns a recorded backend with those of its endpoints that still exist, and how
// many are gone. An address alone proves nothing: engines give it to the next container.
func (w world) left(b *route.Backend) (left *route.Backend, gone int) {
	var list []route.Endpoint
	for _, e := range b.Endpoints {
		if w.has(b, e) {
			list = append(list, e)
		}
	}
	if gone = len(b.Endpoints) - len(list); gone == 0 {
		return b, 0
	}
	return withEndpoints(b, list), gone
}

// has says whether the container or task of an endpoint still has its address. Endpoints
// whose ID names neither, such as those of a services file, are what they were.
func (w world) has(b *route.Backend, e route.Endpoint) bool {
	id := strings.TrimSuffix(e.ID, "@"+e.Source)
	id = id[:max(0, strings.LastIndexByte(id, ':'))]
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		return true
	}
	at := func(list []catalog.Address) bool {
		for _, a := range list {
			if a.Host == host {
				return true
			}
		}
		return false
	}
	if id == catalog.VirtualID {
		svc := w.services[b.Service]
		return svc != nil && at(svc.Virtual)
	}
	if !catalog.IsShortID(id) {
		return true
	}
	in := w.instances[[2]string{e.Source, id}]
	if in == nil || in.State == catalog.StateStopped {
		return false
	}
	for _, p := range in.Ports {
		if p.Published == e.Address {
			return true
		}
	}
	return at(in.Addresses)
}
