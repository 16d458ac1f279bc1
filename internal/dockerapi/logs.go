package dockerapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/moby/moby/client"
)

const (
	// maxLogLine is how much is kept of a line of a container's log, in bytes; the rest of
	// it is left out.
	maxLogLine = 16 << 10
	// maxLogPiece bounds a piece of the engine's stream, in bytes; it sends 16 KiB.
	maxLogPiece = 1 << 20
	// engineError is the kind of a piece that says why the engine cannot go on.
	engineError = 3
)

// LogLine is a line that a container has written.
type LogLine struct {
	Time   time.Time // by the engine's clock
	Text   string    // without the end of the line; at most 16 KiB of it
	Stderr bool      // it was written to standard error; never with a terminal
}

// LogOptions say which lines are wanted.
type LogOptions struct {
	// Tail is how many of the newest lines that are there already; zero for none.
	Tail int
	// Follow goes on with those that come.
	Follow bool
}

// ContainerLog returns the newest lines that a container has written on both its outputs, at
// most tail. GET /containers/{id}/logs. A logging driver that cannot be read is an error.
func (c *Client) ContainerLog(ctx context.Context, id string, tail int) (lines []LogLine, err error) {
	err = c.ContainerLogs(ctx, id, LogOptions{Tail: tail}, func(l LogLine) error {
		lines = append(lines, l)
		return nil
	})
	return lines, err
}

// ContainerLogs calls got with lines that a container has written on both its outputs. It
// returns when they end, which with Follow they do with the container; with the error of
// got; or when ctx ends. Without Follow all of it may take as long as Timeout, else the
// engine's first answer. GET /containers/{id}/logs. A logging driver that cannot be read is
// an error.
func (c *Client) ContainerLogs(ctx context.Context, id string, o LogOptions, got func(LogLine) error) error {
	return c.readLog(ctx, "logs", o, got, func(ctx context.Context) (io.ReadCloser, error) {
		return c.api.ContainerLogs(ctx, id, client.ContainerLogsOptions{
			ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: strconv.Itoa(o.Tail), Follow: o.Follow,
		})
	})
}

// TaskLogs is ContainerLogs for a task of a Swarm, of a manager, which fetches the lines from
// the task's node. GET /tasks/{id}/logs.
func (c *Client) TaskLogs(ctx context.Context, id string, o LogOptions, got func(LogLine) error) error {
	return c.readLog(ctx, "task logs", o, got, func(ctx context.Context) (io.ReadCloser, error) {
		return c.api.TaskLogs(ctx, id, client.TaskLogsOptions{
			ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: strconv.Itoa(o.Tail), Follow: o.Follow,
		})
	})
}

func (c *Client) readLog(ctx context.Context, what string, o LogOptions, got func(LogLine) error, open func(context.Context) (io.ReadCloser, error)) (err error) {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(c.timeout, cancel)
	defer late.Stop()
	defer func() {
		switch {
		case err == nil:
			return
		case ctx.Err() != nil:
			err = ctx.Err()
		case reading.Err() != nil:
			err = fmt.Errorf("no end within %v", c.timeout)
		}
		err = fmt.Errorf("docker %s: %w", what, err)
	}()
	r, err := open(reading)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.Follow && !late.Stop() {
		return reading.Err()
	}
	return readLines(r, got)
}

// readLines reads lines of a log with times before them. Where the container has a terminal
// they come as they are, which begins with a digit of a time; else in pieces, as
// demultiplex has them.
func readLines(r io.Reader, got func(LogLine) error) error {
	in := bufio.NewReaderSize(r, 32<<10)
	first, err := in.Peek(1)
	if err != nil {
		return ended(err)
	}
	if first[0] > engineError {
		return readPlain(in, got)
	}
	return readPieces(in, got)
}

// ended is the error of a stream that ends between two lines.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readPlain reads the log of a container with a terminal.
func readPlain(in *bufio.Reader, got func(LogLine) error) error {
	for {
		var line partial
		for {
			part, err := in.ReadSlice('\n')
			line.add(part)
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && line.text == nil {
				return ended(err)
			}
			break
		}
		if err := line.give(false, got); err != nil {
			return err
		}
	}
}

// readPieces reads the log of a container with two outputs. Each piece is a line, or a part
// of one where it does not end the line; each has a time, and that of the first counts.
func readPieces(in *bufio.Reader, got func(LogLine) error) error {
	var header [8]byte
	var lines [2]partial // of standard output, which standard input counts as, and error
	for {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			if err = ended(err); err != nil {
				return err
			}
			return errors.Join(lines[0].give(false, got), lines[1].give(true, got))
		}
		size := binary.BigEndian.Uint32(header[4:])
		if header[0] > engineError || header[1] != 0 || header[2] != 0 || header[3] != 0 || size > maxLogPiece {
			return fmt.Errorf("a piece of kind % x and %d bytes", header[:4], size)
		}
		piece := make([]byte, size)
		if _, err := io.ReadFull(in, piece); err != nil {
			return err
		}
		if header[0] == engineError {
			return fmt.Errorf("the engine says: %.200q", bytes.TrimSpace(piece))
		}
		line := &lines[header[0]/2]
		if line.text != nil { // it goes on, behind a time of its own
			if stamp, rest, ok := bytes.Cut(piece, []byte(" ")); ok && isTime(stamp) {
				piece = rest
			}
		}
		for part := range bytes.Lines(piece) {
			line.add(part)
			if !bytes.HasSuffix(part, []byte("\n")) {
				break
			}
			if err := line.give(header[0] == 2, got); err != nil {
				return err
			}
		}
	}
}

func isTime(stamp []byte) bool {
	_, err := time.Parse(time.RFC3339Nano, string(stamp))
	return err == nil
}

// partial is what there is of a line; the zero value is nothing.
type partial struct{ text []byte }

// add keeps what there is room for.
func (p *partial) add(part []byte) {
	const room = maxLogLine + len(time.RFC3339Nano) + 1
	p.text = append(p.text, part[:min(len(part), room-min(room, len(p.text)))]...)
}

// give gives the line to got, if there is one, and begins another.
func (p *partial) give(stderr bool, got func(LogLine) error) error {
	if p.text == nil {
		return nil
	}
	stamp, text, _ := bytes.Cut(bytes.TrimRight(p.text, "\r\n"), []byte(" "))
	p.text = nil
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return errors.New("a line without a time")
	}
	return got(LogLine{Time: at.UTC(), Text: string(text[:min(len(text), maxLogLine)]), Stderr: stderr})
}
