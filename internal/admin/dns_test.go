package admin

import (
	"errors"
	"time"

	"fairway/internal/api/names"
)

// dnsNames answers for a service of a hostile name.
type dnsNames struct{}

func (dnsNames) State() names.Names {
	return names.Names{
		Listen: []string{"127.0.0.1:53", "172.17.0.1:53"}, Zones: []string{"docker"}, Serial: 1772542800, Services: 2, Instances: 3, Unsure: "source file:services.yml cannot be asked",
		Taken:     []names.TakenName{{Name: "db.corp.example", Service: "shop-db@docker", ByLabel: true}, {Name: "web.docker", Holder: "shop-web@docker", Service: "blog-web@docker"}},
		Clients:   []names.NameClient{{Address: "172.18.0.30", Instance: "shop-api-1", Questions: 12, Last: time.Date(2026, 3, 3, 12, 59, 0, 0, time.UTC)}},
		Resolvers: []names.Resolver{{Address: "10.1.1.1:53", Domain: ".", State: "up", Seconds: 0.0021}},
	}
}

func (dnsNames) Names() []names.Name {
	return []names.Name{{Name: "shop.docker", Kind: "service", Of: "shop@docker"}, {Name: "shop-1.docker", Kind: "instance", Of: hostile}}
}

func (dnsNames) Explain(name, qtype, client string) (names.NameExplanation, error) {
	if client == "nonsense" {
		return names.NameExplanation{}, errors.New("\"nonsense\" is no IP address")
	}
	return names.NameExplanation{
		Name: name, Type: qtype, Client: client, Rcode: "NOERROR", Records: []string{"shop.docker.\t5\tIN\tA\t172.18.0.2"}, Zone: "docker", Form: "service",
		View: "instance api-1 on proxy", Rung: "own address", Members: []names.NameMember{{Service: "shop", Instance: "shop-1", Address: "172.18.0.2", Why: "network proxy"}, {Service: "shop", Instance: hostile, Why: "it is starting"}},
	}, nil
}
