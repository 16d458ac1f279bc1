// Package events reads server-sent events.
package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxLine bounds a line of a stream in bytes.
const maxLine = 1 << 20

// ErrEnded means that a stream has ended, as one does when its server stops.
var ErrEnded = errors.New("the stream has ended")

// Read calls got with each event, and with its data, until got fails, which is its error; or
// until the stream ends or says nothing for as long as silence, which both are ErrEnded. It
// closes the body.
func Read(body io.ReadCloser, silence time.Duration, got func(event string, data []byte) error) error {
	defer body.Close()
	silent := time.AfterFunc(silence, func() { _ = body.Close() })
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	event := ""
	for lines.Scan() {
		silent.Reset(silence)
		switch name, value, _ := bytes.Cut(lines.Bytes(), []byte(": ")); string(name) {
		case "event":
			event = string(value)
		case "data":
			if err := got(event, value); err != nil {
				silent.Stop()
				return err
			}
		}
	}
	if !silent.Stop() {
		return fmt.Errorf("%w: nothing came for %v", ErrEnded, silence)
	}
	if lines.Err() != nil {
		return fmt.Errorf("%w: %w", ErrEnded, lines.Err())
	}
	return ErrEnded
}
