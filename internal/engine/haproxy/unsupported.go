package haproxy

import (
	"context"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/route"
)

// Unsupported says why a route with its backend, nil for none, cannot be served as
// the table means it, in a short phrase; empty when it can. It is answered from what is
// known: lines of HAProxy's own are checked beside the call, which waits until
// no answer has come for two seconds, ten at most for calls that follow each other. What comes later is reported by Options.OnChange and counted by Answers.
func (e *Engine) Unsupported(r *route.Route, b *route.Backend) string {
	return e.judge.unsupported(r, b)
}

// Answers counts how often Unsupported has got another answer than it gave before.
func (e *Engine) Answers() uint64 { return e.judge.answers.Load() }

// UnsupportedBy is Engine.Unsupported for who has no engine: of the program at path,
// empty for the usual one, or of the oldest HAProxy that is supported when there is
// none.
func UnsupportedBy(ctx context.Context, path string) func(*route.Route, *route.Backend) string {
	program, err := binary.Find(ctx, path)
	if err != nil {
		program = nil
	}
	return newJudge(program).unsupported
}
