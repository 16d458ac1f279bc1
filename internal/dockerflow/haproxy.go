package dockerflow

import (
	"cmp"
	"context"
	"net/http"
	"slices"
)

// Statistics are those of the engine.
type Statistics interface {
	// Statistics are in the form in which HAProxy shows its own: CSV, with the
	// names of the columns in the first line. Not every engine has every column.
	Statistics(ctx context.Context) ([]byte, error)
}

// HAProxy is the engine, where that is HAProxy.
type HAProxy interface {
	// ConfigText is the configuration that it runs, without passwords; nil before
	// the first.
	ConfigText() []byte
}

// maxStatistics bounds what is taken from another replica.
const maxStatistics = 64 << 20

// configText is the configuration of HAProxy, or the table where something else
// serves it; nil before there is one.
func (p *Proxy) configText() []byte {
	if p.o.HAProxy != nil {
		return p.o.HAProxy.ConfigText()
	}
	if table := p.o.Tables.Newest(); table != nil {
		return []byte(table.String())
	}
	return nil
}

// statistics are those of the engine; with distribute, those of all replicas, one
// after the other.
func (p *Proxy) statistics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), p.o.Deadline)
	defer cancel()
	all, err := p.o.Statistics.Statistics(ctx)
	if err == nil && yes(folded(r.URL.Query(), "distribute")) {
		var others []byte
		others, err = p.otherStatistics(ctx, r)
		all = append(all, others...)
	}
	if err != nil {
		p.log.Warn("statistics cannot be read", "error", err)
		answer(w, http.StatusInternalServerError, reply{statusNOK, "the statistics cannot be read"})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(all) // a client that went away needs no answer
}

// otherStatistics asks the other replicas.
func (p *Proxy) otherStatistics(ctx context.Context, r *http.Request) ([]byte, error) {
	siblings, err := p.siblings(ctx)
	if err != nil {
		return nil, err
	}
	answers, errs := askAll(siblings, func(address string) ([]byte, error) { return p.passOn(ctx, r, nil, address, maxStatistics) })
	return slices.Concat(answers...), cmp.Or(errs...)
}
