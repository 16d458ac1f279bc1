package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/discovery"
)

// readTimeout bounds how long Diagnose waits for the sources.
const readTimeout = 10 * time.Second

// Diagnose explains the services and instances of a name without a Fairway that
// runs: it asks the sources once and compiles what they say. What only a running
// Fairway knows, such as which claim came first in a conflict, it judges as a first
// start would. The error says that no source could be asked, and why.
func Diagnose(ctx context.Context, sources []discovery.Source, settings compile.Settings, name string) ([]compile.Diagnosis, error) {
	s, err := readOnce(ctx, sources)
	if err != nil {
		return nil, err
	}
	compiler := compile.New(settings)
	return compiler.Diagnose(s, compiler.Compile(s, nil), name), nil
}

// readOnce returns the first snapshot in which every source has answered or failed.
func readOnce(ctx context.Context, sources []discovery.Source) (*catalog.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	feed := &catalog.Feed{}
	collector, err := discovery.New(discovery.Options{Sources: sources, Feed: feed, Settle: readTimeout})
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- collector.Run(ctx) }()
	s, err := feed.Next(ctx, nil)
	cancel()
	if runErr := <-done; runErr != nil {
		return nil, runErr
	}
	if err != nil {
		return nil, fmt.Errorf("no source answered within %v", readTimeout)
	}
	var failed []string
	for _, status := range s.Sources {
		if status.Stale {
			failed = append(failed, status.Name+": "+status.Error)
		}
	}
	if len(failed) == len(s.Sources) {
		return nil, errors.New(strings.Join(failed, "; "))
	}
	return s, nil
}
