package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/fleet"
	"fairway/internal/history"
)

// Limits of the fleet's operations.
const (
	// maxDocumentBody is room for a configuration of 16 MiB in base64.
	maxDocumentBody = 24 << 20
	// fleetTime is how long operations may take that ask every host.
	fleetTime        = 5 * time.Minute
	defaultRevisions = 50
	maxRevisions     = 1000
)

// fleetOperations concern documents and hosts. Contents, with passwords, need operators.
func (s *Server) fleetOperations() []operation {
	const document, rollout = "/v1/fleet/documents/{document}", "/v1/fleet/documents/{document}/rollout"
	f := fleetDesk{s.options.Fleet}
	hosts := text("hosts", "Names of hosts with commas between them; all that have the document by default.")
	revision := func(name, help string) param { return number(name, 0, help) }
	all := where(f.fleet != nil, "there is no fleet here; fleet.file names one",
		list("/v1/fleet/documents", f.documents),
		list("/v1/fleet/hosts", f.hosts).with(text("document", "Name of a document; all by default.")),
		list(document+"/revisions", f.revisions).with(number("limit", maxRevisions, "How many; 50 by default.")),
		get(document+"/revisions/{number}", f.revision).by(api.RoleOperator),
		post(document+"/revisions", f.put).by(api.RoleOperator).upTo(maxDocumentBody).refuses(http.StatusConflict, http.StatusInsufficientStorage),
		get(document+"/diff", f.diff).by(api.RoleOperator).with(
			revision("from", "Number of a revision; the one before by default."), revision("to", "Number of a revision; the newest by default.")),
		post(document+"/check", f.check).by(api.RoleOperator).onlyAsks().upTo(maxDocumentBody),
		get(document+"/plan", f.plan).by(api.RoleOperator).with(revision("revision", "Number of a revision; the newest by default."), hosts),
		get(document+"/drift", f.drift).by(api.RoleOperator).with(hosts),
		post(document+"/drift", f.repair).by(api.RoleOperator).refuses(http.StatusConflict, http.StatusUnprocessableEntity, http.StatusBadGateway),
		get(rollout, f.rollout),
		post(rollout, f.start).by(api.RoleOperator).refuses(http.StatusConflict, http.StatusUnprocessableEntity, http.StatusBadGateway),
		act(http.MethodDelete, rollout, f.stop).by(api.RoleOperator).refuses(http.StatusConflict),
		list(document+"/rollouts", f.rollouts))
	for i := range all {
		serve := all[i].serve
		all[i].serve = func(r *request) error {
			_ = http.NewResponseController(r.w).SetWriteDeadline(time.Now().Add(fleetTime)) // without it the usual one holds
			return serve(r)
		}
	}
	return all
}

// fleetDesk puts what the fleet says into the words of the API.
type fleetDesk struct{ fleet *fleet.Fleet }

// document is the name in the path.
func (r *request) document() string { return r.PathValue("document") }

func (d fleetDesk) documents(*request) (items []api.FleetDocument, err error) {
	found, err := d.fleet.List()
	for _, f := range found {
		out := api.FleetDocument{
			Name: f.Newest.Document, Newest: f.Newest.Number, Released: f.Released,
			Author: f.Newest.Author, Time: f.Newest.Time.UTC(), Message: f.Newest.Message, Digest: f.Newest.Digest,
			Template: f.Template, Hosts: append([]string{}, f.Hosts...),
		}
		if f.Rollout.Number > 0 {
			p, err := d.fleet.Progress(f.Newest.Document)
			if err != nil {
				return nil, err
			}
			shown := show.Progress(p)
			shown.Hosts = nil
			out.Rollout = &shown
		}
		items = append(items, out)
	}
	return items, err
}

// shown is revisions of a document without their contents.
func (d fleetDesk) shown(document string, found ...history.Revision) ([]api.FleetRevision, error) {
	released, err := d.fleet.Released(document)
	return show.All(found, func(r history.Revision) api.FleetRevision {
		return api.FleetRevision{
			Document: r.Document, Number: r.Number, Time: r.Time.UTC(), Author: r.Author, Message: r.Message,
			Digest: r.Digest, Size: r.Size, Released: r.Number == released,
		}
	}), err
}

func (d fleetDesk) revisions(r *request) ([]api.FleetRevision, error) {
	found, err := d.fleet.Revisions(r.document(), r.limit(defaultRevisions))
	if err != nil {
		return nil, err
	}
	return d.shown(r.document(), found...)
}

func (d fleetDesk) revision(r *request) (out api.FleetRevision, err error) {
	var n uint64
	if text := r.PathValue("number"); text != "newest" {
		if n, err = strconv.ParseUint(text, 10, 64); err != nil || n == 0 {
			return out, api.Errorf(http.StatusNotFound, "no such revision; write newest, or a number from 1")
		}
	}
	found, err := d.fleet.Revision(r.document(), n)
	if err != nil {
		return out, err
	}
	shown, err := d.shown(found.Document, found)
	shown[0].Content = found.Content
	return shown[0], err
}

func (d fleetDesk) put(r *request, n api.NewFleetRevision) (out api.FleetRevision, err error) {
	made, err := d.fleet.Put(history.Draft{Document: r.document(), Expect: n.Expect, Author: r.operator(), Message: n.Message, Content: n.Content})
	if err != nil {
		return out, err
	}
	shown, err := d.shown(made.Document, made)
	return shown[0], err
}

func (d fleetDesk) diff(r *request) (api.FleetDiff, error) {
	from, to, diff, err := d.fleet.Diff(r.document(), r.number("from", 0), r.number("to", 0))
	return api.FleetDiff{From: from, To: to, Diff: diff}, err
}

func (d fleetDesk) check(r *request, n api.NewFleetCheck) (api.List[api.FleetCheck], error) {
	content := n.Content
	if len(content) == 0 {
		found, err := d.fleet.Revision(r.document(), n.Revision)
		if err != nil {
			return api.List[api.FleetCheck]{}, err
		}
		content = found.Content
	}
	found, err := d.fleet.Check(r.Context(), r.document(), content, n.Hosts)
	return listOf(r, show.All(found, show.Check)), err
}

func (d fleetDesk) plan(r *request) (api.FleetPlan, error) {
	revision, found, err := d.fleet.Plan(r.Context(), r.document(), r.number("revision", 0), r.names("hosts"))
	return show.Differences(revision.Number, found), err
}

func (d fleetDesk) drift(r *request) (api.FleetPlan, error) {
	released, err := d.fleet.Released(r.document())
	if err != nil {
		return api.FleetPlan{}, err
	}
	found, err := d.fleet.Drift(r.Context(), r.document(), r.names("hosts"))
	return show.Differences(released, found), err
}

func (d fleetDesk) repair(r *request, n api.NewFleetRepair) (api.FleetRepair, error) {
	out := api.FleetRepair{Host: n.Host}
	switch n.Action {
	case "adopt":
		made, err := d.fleet.Adopt(r.Context(), n.Host, r.document(), n.Expect, r.operator(), n.Message)
		if err != nil {
			return out, err
		}
		shown, err := d.shown(made.Document, made)
		out.Revision, out.Text = &shown[0], fmt.Sprintf("what host %s has is revision %d now; a rollout puts it on the other hosts", n.Host, made.Number)
		return out, err
	case "restore":
		out.Text = fmt.Sprintf("host %s has the revision again that is out", n.Host)
		return out, d.fleet.Restore(r.Context(), n.Host, r.document())
	}
	return out, api.Errorf(http.StatusBadRequest, "action %.50q: want adopt or restore", n.Action)
}

func (d fleetDesk) start(r *request, n api.NewFleetRollout) (api.FleetRollout, error) {
	settings, err := fleetSettings(n.Settings)
	if err != nil {
		return api.FleetRollout{}, err
	}
	if _, err := d.fleet.Start(r.Context(), fleet.Order{
		Document: r.document(), Revision: n.Revision, Expect: n.Expect, Hosts: n.Hosts, Author: r.operator(), Message: n.Message, Settings: settings,
	}); err != nil {
		return api.FleetRollout{}, err
	}
	return d.rollout(r)
}

// fleetSettings reads the texts of settings.
func fleetSettings(s api.FleetSettings) (fleet.Settings, error) {
	out := fleet.Settings{Canary: s.Canary, AllowDrift: s.AllowDrift, AllowDown: s.AllowDown}
	var err error
	if s.Wave != "" {
		if out.Wave, err = fleet.ParseShare(s.Wave); err != nil {
			return out, api.Errorf(http.StatusBadRequest, "wave %q: %v", s.Wave, err)
		}
	}
	if s.Pause != "" {
		if out.Pause, err = time.ParseDuration(s.Pause); err != nil || out.Pause <= 0 {
			return out, api.Errorf(http.StatusBadRequest, "pause %q: want a duration such as 30s", s.Pause)
		}
	}
	return out, nil
}

func (d fleetDesk) stop(r *request) (api.Done, error) {
	if err := d.fleet.Stop(r.document(), r.operator()); err != nil {
		return api.Done{}, err
	}
	return r.done("the rollout is being reverted")
}

func (d fleetDesk) rollout(r *request) (api.FleetRollout, error) {
	p, err := d.fleet.Progress(r.document())
	return show.Progress(p), err
}

func (d fleetDesk) rollouts(r *request) (items []api.FleetRollout, err error) {
	found, err := d.fleet.Ended(r.document())
	for _, e := range found {
		shown := show.Rollout(e.Rollout)
		for state, n := range e.States {
			shown.States[string(state)] = n
		}
		items = append(items, shown)
	}
	return items, err
}

func (d fleetDesk) hosts(r *request) ([]api.FleetHost, error) {
	found, err := d.fleet.Status(r.text("document"))
	return show.All(found, show.Host), err
}
