package admin

import (
	"reflect"
	"time"

	"fairway/internal/admin/meter"
	"fairway/internal/admin/stream"
	"fairway/internal/api"
)

// watchLook is how often to look for what no feed announces: state and traffic.
const watchLook = time.Second

// watch streams server-sent events: "change" at the beginning and whenever something is
// not as it was, "traffic" every second when asked for.
func (s *Server) watch(r *request) error {
	out, err := s.open(r)
	if err != nil {
		return err
	}
	defer out.Close()
	var last *api.Change
	var before *api.Traffic
	look := time.NewTicker(watchLook)
	defer look.Stop()
	for out.KeepAlive() {
		snapshots, tables := s.options.Catalogue.Changed(), s.options.Tables.Changed()
		if now := s.change(); last == nil || !reflect.DeepEqual(*last, now) {
			last = &now
			out.Send("change", now)
		}
		if r.flag("traffic") {
			if found := s.meter.Read(time.Now()); found != nil && found != before {
				out.Send("traffic", meter.Since(before, found))
				before = found
			}
		}
		select {
		case <-out.Over.Done():
			return nil
		case <-snapshots:
		case <-tables:
		case <-look.C:
		}
	}
	return nil // the client has gone
}

// change is what there is at this moment.
func (s *Server) change() api.Change {
	st := s.options.Tables.Status()
	c := api.Change{State: string(st.State), Pending: st.Pending, Stale: []string{}}
	if snapshot := s.options.Catalogue.Newest(); snapshot != nil {
		c.Revision = snapshot.Revision
	}
	if table := s.options.Tables.Table(); table != nil {
		c.Hash, c.Problems = table.Hash, len(table.Problems)
	}
	for _, source := range s.options.Sources() {
		if source.Stale {
			c.Stale = append(c.Stale, source.Name)
		}
	}
	report := s.options.Conditions.Report()
	c.Condition, c.Findings = string(report.State), len(report.Findings)
	return c
}

// open begins a stream, which has to be closed. It is over when the client has gone, the
// server stops, or the client's token is revoked or its session is over, which an open
// stream does not keep from ending as idle.
func (s *Server) open(r *request) (*stream.Stream, error) {
	return s.streams.Open(r.w, r.Request, r.who.Role, func() bool { return s.access.StillHolds(r.Request, r.who.Role) })
}
