package admin

import (
	"net/http"

	"fairway/internal/api"
	"fairway/internal/api/names"
)

// Names answers DNS. *dns.Server is one.
type Names interface {
	// State says how it is doing.
	State() names.Names
	// Names returns the names that are answered, sorted.
	Names() []names.Name
	// Explain says what is answered to a question; the error is about the question.
	Explain(name, qtype, client string) (names.NameExplanation, error)
}

// nameOperations are the operations about DNS.
func (s *Server) nameOperations() []operation {
	d := s.options.Names
	return where(d != nil, "DNS is off: set dns.listen",
		get("/v1/dns", func(*request) (names.Names, error) { return d.State(), nil }),
		list("/v1/dns/names", func(*request) ([]names.Name, error) { return d.Names(), nil }),
		get("/v1/dns/explain", func(r *request) (names.NameExplanation, error) {
			x, err := d.Explain(r.text("name"), r.text("type"), r.text("client"))
			if err != nil {
				err = api.Errorf(http.StatusBadRequest, "%v", err)
			}
			return x, err
		}).with(
			param{name: "name", help: "Name that is asked for, or an address for its name.", required: true},
			text("type", "Type of the record; A by default."),
			text("client", "IP address that asks; this machine by default.")),
	)
}
