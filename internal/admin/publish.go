package admin

import (
	"net/http"

	"fairway/internal/api"
	"fairway/internal/api/published"
)

// Publisher writes what exists into a registry. *consul.Publisher is one.
type Publisher interface {
	// State says how publishing is doing.
	State() published.Published
	// Apply has everything written now; with removals also those that are held.
	Apply(removals bool)
	// Withdraw has all entries of this Fairway removed, and nothing written until Apply.
	Withdraw()
}

// publishOperations are the operations about what is published.
func (s *Server) publishOperations() []operation {
	p := s.options.Publisher
	return where(p != nil, "nothing is published: set consul.publish.services",
		get("/v1/publish", func(*request) (published.Published, error) { return p.State(), nil }),
		act(http.MethodPost, "/v1/publish/apply", func(r *request) (api.Done, error) {
			p.Apply(r.flag("removals"))
			return r.did(nil, "what differs is being written")
		}).by(api.RoleOperator).with(boolean("removals", "Also removes the entries whose removal is held.")),
		act(http.MethodPost, "/v1/publish/withdraw", func(r *request) (api.Done, error) {
			p.Withdraw()
			return r.did(nil, "all entries of this Fairway are being removed, and nothing is written until it is applied")
		}),
	)
}
