package socket

import (
	"errors"
	"fmt"
	"strings"
)

// MaxPayload is how many bytes the payload of one command may have. HAProxy
// closes the connection when a command with its payload is larger than its
// buffer, which has 16 KiB unless it was configured otherwise.
const MaxPayload = 12 << 10

// maxLine is how long the line of a command may be without its payload.
const maxLine = 4 << 10

// ErrTooLarge is the cause of errors about commands that do not fit HAProxy's
// buffer. What they were meant to do needs a reload.
var ErrTooLarge = errors.New("too large for one command")

// A Command is one command with its payload, quoted and safe to send. The zero
// Command is not a command.
type Command struct {
	line    string
	public  string   // line without what an error must not quote; empty for all of line
	payload []string // lines, none of them empty
}

// Cmd makes a command of words. Each word arrives at HAProxy as it is; words that no quoting can carry are an error: the empty one, and
// those with CR, LF or NUL.
func Cmd(words ...string) (Command, error) {
	if len(words) == 0 {
		return Command{}, errors.New("socket: a command without words")
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		q, err := quote(w)
		if err != nil {
			return Command{}, fmt.Errorf("socket: word %d of %q: %w", i+1, words[0], err)
		}
		b.WriteString(q)
	}
	if b.Len() > maxLine {
		return Command{}, fmt.Errorf("socket: %q: %d bytes: %w", words[0], b.Len(), ErrTooLarge)
	}
	return Command{line: b.String()}, nil
}

// quote escapes what HAProxy's command parser takes for more than a character: it
// splits words at blanks, commands at semicolons, and begins a payload at "<<".
func quote(word string) (string, error) {
	if word == "" {
		return "", errors.New("is empty")
	}
	if strings.ContainsAny(word, "\r\n\x00") {
		return "", errors.New("contains a line break or NUL")
	}
	const special = " \t;\\<\"'#"
	if !strings.ContainsAny(word, special) {
		return word, nil
	}
	var b strings.Builder
	for i := range len(word) {
		if strings.IndexByte(special, word[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(word[i])
	}
	return b.String(), nil
}

// withPayload attaches lines to a command. Empty lines and line breaks within a
// line are an error, as they would end the payload.
func (c Command) withPayload(lines []string) (Command, error) {
	if len(lines) == 0 {
		return Command{}, fmt.Errorf("socket: %q: an empty payload", c.verb())
	}
	size := 0
	for _, l := range lines {
		if l == "" || strings.ContainsAny(l, "\r\n\x00") {
			return Command{}, fmt.Errorf("socket: %q: a line of the payload is empty or contains a line break or NUL", c.verb())
		}
		size += len(l) + 1
	}
	if size > MaxPayload {
		return Command{}, fmt.Errorf("socket: %q: a payload of %d bytes: %w", c.verb(), size, ErrTooLarge)
	}
	c.payload = lines
	return c, nil
}

// quotable is the command as an error may quote it.
func (c Command) quotable() string {
	if c.public != "" {
		return c.public
	}
	return c.String()
}

// String is the line of the command as it is sent. The payload, which may be a
// private key, is not in it.
func (c Command) String() string {
	if len(c.payload) > 0 {
		return fmt.Sprintf("%s <<(%d lines)", c.line, len(c.payload))
	}
	return c.line
}

// verb is the first words, for errors and metrics.
func (c Command) verb() string {
	words := strings.SplitN(c.line, " ", 3)
	return strings.Join(words[:min(2, len(words))], " ")
}

// Verb is the first two words of the command ("add server"): they name what it
// does and never contain names of the user's.
func (c Command) Verb() string { return c.verb() }

// bytes is the command as it goes over the wire.
func (c Command) bytes() []byte {
	var b strings.Builder
	b.WriteString(c.line)
	if len(c.payload) > 0 {
		b.WriteString(" <<\n")
		for _, l := range c.payload {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
	return []byte(b.String())
}

// A CommandError is HAProxy's refusal of a command.
type CommandError struct {
	// Command is the command without its payload, and without the value of a map.
	Command string
	// Answer is what HAProxy said, on one line.
	Answer string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("haproxy refused %q: %s", e.Command, e.Answer)
}

// Refused reports whether err is HAProxy's refusal of a command with an answer that
// contains words. Without words any refusal will do.
func Refused(err error, words string) bool {
	var refused *CommandError
	return errors.As(err, &refused) && strings.Contains(refused.Answer, words)
}
