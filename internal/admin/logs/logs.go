// Package logs gives clients of the admin API what instances write.
package logs

import (
	"context"
	"errors"
	"time"

	"fairway/internal/admin/stream"
	"fairway/internal/api"
	"fairway/internal/catalog"
)

// Source reads what instances write. *containerlog.Logs is one.
type Source interface {
	// Read calls got with the newest tail lines of an instance, and with follow goes on with
	// those that come, until the instance or ctx ends or got fails.
	Read(ctx context.Context, in *catalog.Instance, tail int, follow bool, got func(at time.Time, text string, stderr bool) error) error
}

const (
	maxBytes = 4 << 20     // of the text of lines that are given at once
	look     = time.Second // how often a stream is seen to
	waiting  = 256         // lines that wait for the client
)

// Newest returns the newest lines of an instance, at most tail and 4 MiB of text, the oldest
// first.
func Newest(ctx context.Context, from Source, in *catalog.Instance, tail int) (lines []api.LogLine, err error) {
	size := 0
	err = from.Read(ctx, in, tail, false, func(at time.Time, text string, stderr bool) error {
		lines = append(lines, api.LogLine{At: at, Text: text, Stderr: stderr})
		for size += len(text); size > maxBytes; lines = lines[1:] {
			size -= len(lines[0].Text)
		}
		return nil
	})
	return lines, err
}

// Follow streams "line" for each line and "end" when there will be no more; without it the
// stream was cut.
func Follow(out *stream.Stream, from Source, in *catalog.Instance, tail int) {
	lines, end := make(chan api.LogLine, waiting), make(chan error, 1)
	ctx, cancel := context.WithCancel(out.Over)
	go func() {
		defer close(lines)
		end <- from.Read(ctx, in, tail, true, func(at time.Time, text string, stderr bool) error {
			select {
			case lines <- api.LogLine{At: at, Text: text, Stderr: stderr}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() {
		cancel()
		for range lines { // it has ended when the channel is closed
		}
	}()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for out.KeepAlive() {
		select {
		case <-ticker.C:
		case line, more := <-lines:
			if more {
				out.Send("line", line)
				continue
			}
			if out.Over.Err() != nil { // it was cut, and the instance goes on
				return
			}
			text := ""
			if err := <-end; err != nil && !errors.Is(err, context.Canceled) {
				text = err.Error()
			}
			out.Send("end", api.LogEnd{Error: text})
			return
		}
	}
}
